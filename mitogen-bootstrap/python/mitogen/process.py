"""Runs other programs."""
import errno
import os
import select
import signal
import subprocess
import sys
import time
import mitogen
from mitogen.core import StreamError

# The process groups of programs that run; each is led by the program itself.
running = []


def end():
    """Ends what still runs when this process does."""
    for signum in running and (signal.SIGTERM, signal.SIGKILL) or ():
        for group in running[:]:
            kill(group, signum)
        time.sleep(.1)


def kill(group, signum):
    try:
        os.killpg(group, signum)
    except OSError:
        # It has ended, or has become another user's.
        pass


def prepare():
    # Python ignores these, and what is ignored stays so in a program that is started. Python 3 restores them itself.
    for name in 'SIGPIPE', 'SIGXFZ', 'SIGXFSZ':
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.setsid()


def run(argv, shell=False, stdin=None):
    """Runs a program to its end; `argv` is a list, or with `shell` a text for `sh -c`, `stdin` its input (bytes or text) or None.

    Returns (status, output, errors): status is negative for the signal that ended it, the others are bytes. The program has no input but
    this one, none of our descriptors, and signals as they are by default. It ends with this process, and when it prints more than fits
    one message.
    """
    options = {'start_new_session': True}
    name = argv
    if isinstance(argv, (list, tuple)):
        name = argv[0]
    if sys.version_info < (3, 2):
        options = {'preexec_fn': prepare}
        # Python 2 would use ASCII.
        if isinstance(argv, (list, tuple)):
            argv = [encoded(arg) for arg in argv]
        else:
            argv = encoded(argv)
    pipe = None
    if stdin is not None:
        pipe = subprocess.PIPE
        stdin = encoded(stdin)
    try:
        child = subprocess.Popen(argv, stdin=pipe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True, shell=bool(shell), **options)
    except OSError:
        # Python 2 does not say which file is missing.
        error = sys.exc_info()[1]
        if not error.filename:
            error.filename = name
        raise
    running.append(child.pid)
    try:
        try:
            output, errors = gather(child, stdin, mitogen.econtext.router.limit)
        except:
            kill(child.pid, signal.SIGKILL)
            raise
    finally:
        status = child.wait()
        running.remove(child.pid)
    return status, output, errors


def gather(child, stdin, limit):
    """Feeds a program its input and returns all that it printed."""
    if not hasattr(select, 'poll'):
        return child.communicate(stdin)
    poll = select.poll()
    parts = {}
    for stream in child.stdout, child.stderr:
        parts[stream.fileno()] = []
        poll.register(stream, select.POLLIN)
    if child.stdin:
        poll.register(child.stdin, select.POLLOUT)
    total = sent = 0
    left = len(parts)
    while left or child.stdin:
        try:
            ready = poll.poll()
        except (OSError, select.error):
            if sys.exc_info()[1].args[0] != errno.EINTR:
                raise
            continue
        for fd, _ in ready:
            if fd in parts:
                data = os.read(fd, 65536)
                parts[fd].append(data)
                total += len(data)
                if total > limit:
                    raise StreamError('a program printed more than the limit of %d bytes for one message' % limit)
                if not data:
                    poll.unregister(fd)
                    left -= 1
                continue
            try:
                # So much a pipe takes at once when it takes anything.
                sent += os.write(fd, stdin[sent:sent + 512])
            except OSError:
                # The program does not want it all.
                sent = len(stdin)
            if sent >= len(stdin):
                poll.unregister(fd)
                child.stdin.close()
                child.stdin = None
    return [''.encode().join(parts[stream.fileno()]) for stream in (child.stdout, child.stderr)]


def encoded(text):
    if not isinstance(text, type(''.encode())):
        text = text.encode('utf-8')
    return text


mitogen.econtext.broker.at_end.append(end)
