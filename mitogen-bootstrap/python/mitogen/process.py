"""Runs other programs."""
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
import mitogen
from mitogen.core import ENC_BYTES, Message, StreamError
from mitogen.importer import allocate_lock

# The process groups of programs that run; each is led by the program itself.
running = []
# Each line that the guard reads names all of them. When no more can come, because this process is gone, it ends what the last line named.
GUARD = 'while read -r line; do groups=$line; done; for group in $groups; do kill -9 -$group; done'
guard = None
lock = allocate_lock()


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


def tell_guard():
    """Says what runs; a process that is killed cannot end it any more."""
    global guard
    lock.acquire()
    try:
        try:
            if not guard:
                null = os.open(os.devnull, os.O_RDWR)
                try:
                    guard = subprocess.Popen(['/bin/sh', '-c', GUARD, 'mitogen:guard'], stdin=subprocess.PIPE, stdout=null, stderr=null, close_fds=True, cwd='/', **detached())
                finally:
                    os.close(null)
                # No program of user code's is to hold it open.
                fcntl.fcntl(guard.stdin, fcntl.F_SETFD, 1)
            os.write(guard.stdin.fileno(), (' '.join([str(group) for group in running]) + '\n').encode())
        except EnvironmentError:
            # There is no shell, or somebody has killed it: then there is no guard.
            pass
    finally:
        lock.release()


def detached():
    """The options of a program with a session of its own and signals as they are by default."""
    if sys.version_info < (3, 2):
        return {'preexec_fn': prepare}
    return {'start_new_session': True}


def run(argv, shell=False, stdin=None):
    """Runs a program to its end; `argv` is a list, or with `shell` a text for `sh -c`, `stdin` its input (bytes or text) or None.

    Returns (status, output, errors): status is negative for the signal that ended it, the others are bytes. The program has no input but
    this one, none of our descriptors, and signals as they are by default. It ends with this process, and when it prints more than fits
    one message.
    """
    parts = [], []
    left = [mitogen.econtext.router.limit]

    def keep(number, data):
        parts[number - 1].append(data)
        left[0] -= len(data)
        if left[0] < 0:
            raise StreamError('a program printed more than the limit of %d bytes for one message' % mitogen.econtext.router.limit)
    status = attend(begin(argv, shell, stdin), encoded(stdin), keep)
    return (status,) + tuple([''.encode().join(part) for part in parts])


def stream(argv, shell, stdin, handle):
    """As `run`, but what the program prints goes to a handle of the controller's as it comes, and no faster than it is taken there. Returns the status.

    Each message is a digit (1 output, 2 errors; 0 says that the program runs) and bytes. When nobody takes them any more the program is ended.
    """
    from mitogen.credit import Credit
    econtext = mitogen.econtext
    router = econtext.router
    credit = Credit(econtext.master)

    def hear(msg):
        credit.handle_message(msg)
        if msg.is_dead and child.pid in running:
            kill(child.pid, signal.SIGKILL)

    def put(number, data):
        credit.spend(len(data) + 1)
        router.route(Message(enc=ENC_BYTES, handle=handle, reply_to=credit.handle, data=str(number).encode() + data))
    try:
        child = begin(argv, shell, stdin)
        router.add_handler(hear, credit.handle, True, False, 0)
        put(0, ''.encode())
        return attend(child, encoded(stdin), put)
    finally:
        credit.close()


def begin(argv, shell, stdin):
    """Starts a program."""
    name = argv
    if isinstance(argv, (list, tuple)):
        name = argv[0]
    if sys.version_info < (3, 2):
        # Python 2 would use ASCII.
        if isinstance(argv, (list, tuple)):
            argv = [encoded(arg) for arg in argv]
        else:
            argv = encoded(argv)
    pipe = None
    if stdin is not None:
        pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(argv, stdin=pipe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True, shell=bool(shell), **detached())
    except OSError:
        # Python 2 does not say which file is missing.
        error = sys.exc_info()[1]
        if not error.filename:
            error.filename = name
        raise
    running.append(child.pid)
    tell_guard()
    return child


def attend(child, stdin, put):
    """Waits for a program's end; what it prints is `put`. Returns its status."""
    try:
        try:
            relay(child, stdin, put)
        except:
            kill(child.pid, signal.SIGKILL)
            raise
    finally:
        status = child.wait()
        running.remove(child.pid)
        tell_guard()
    return status


def relay(child, stdin, put):
    """Feeds a program its input and hands on all that it prints."""
    if not hasattr(select, 'poll'):
        for number, data in zip((1, 2), child.communicate(stdin)):
            put(number, data)
        return
    poll = select.poll()
    numbers = {child.stdout.fileno(): 1, child.stderr.fileno(): 2}
    for fd in numbers:
        poll.register(fd, select.POLLIN)
    if child.stdin:
        poll.register(child.stdin, select.POLLOUT)
    sent = 0
    while numbers or child.stdin:
        try:
            ready = poll.poll()
        except (OSError, select.error):
            if sys.exc_info()[1].args[0] != errno.EINTR:
                raise
            continue
        for fd, _ in ready:
            if fd in numbers:
                data = os.read(fd, 65536)
                if data:
                    put(numbers[fd], data)
                else:
                    poll.unregister(fd)
                    del numbers[fd]
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


def encoded(text):
    if text is not None and not isinstance(text, type(''.encode())):
        text = text.encode('utf-8')
    return text


mitogen.econtext.broker.at_end.append(end)
