"""Runs other programs."""
import signal
import subprocess
import sys


def default_signals():
    # Python ignores these, and what is ignored stays so in a program that is started. Python 3 restores them itself.
    for name in 'SIGPIPE', 'SIGXFZ', 'SIGXFSZ':
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def run(argv, shell=False, stdin=None):
    """Runs a program to its end; `argv` is a list, or with `shell` a text for `sh -c`, `stdin` its input (bytes or text) or None.

    Returns (status, output, errors): status is negative for the signal that ended it, the others are bytes. The program has no input but
    this one, none of our descriptors, and signals as they are by default.
    """
    preexec = None
    if sys.version_info < (3, 2):
        preexec = default_signals
        # Python 2 would use ASCII.
        if isinstance(argv, (list, tuple)):
            argv = [encoded(arg) for arg in argv]
        else:
            argv = encoded(argv)
    pipe = None
    if stdin is not None:
        pipe = subprocess.PIPE
        stdin = encoded(stdin)
    child = subprocess.Popen(argv, stdin=pipe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True, shell=bool(shell), preexec_fn=preexec)
    output, errors = child.communicate(stdin)
    return child.returncode, output, errors


def encoded(text):
    if not isinstance(text, type(''.encode())):
        text = text.encode('utf-8')
    return text
