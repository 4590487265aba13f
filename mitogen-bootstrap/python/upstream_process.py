"""What our controller wants done in a context of upstream's: other programs run, and the context detached."""
import os
import signal
import subprocess
import mitogen.core


@mitogen.core.takes_econtext
def detach(econtext):
    """Leaves the tree; the answer finds no way back."""
    begin_session = os.setsid

    def begin_session_once():
        # Who leads a session or a group already, as after ssh or under our controller, is refused another: upstream gives up then.
        try:
            begin_session()
        except OSError:
            pass
    os.setsid = begin_session_once
    try:
        econtext.detach()
    finally:
        os.setsid = begin_session


def prepare():
    os.setsid()
    # Python ignores these, and what is ignored stays so in a program that is started.
    for name in 'SIGPIPE', 'SIGXFZ', 'SIGXFSZ':
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def encoded(text):
    if not isinstance(text, type(''.encode())):
        text = text.encode('utf-8')
    return text


def run(argv, shell=False, stdin=None):
    """Runs a program to its end, and returns its status (negative for a signal), its output and its errors."""
    if isinstance(argv, (list, tuple)):
        argv = [encoded(arg) for arg in argv]
    else:
        argv = encoded(argv)
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        close_fds=True, shell=bool(shell), preexec_fn=prepare)
    output, errors = child.communicate(encoded(stdin or ''))
    return child.returncode, output, errors
