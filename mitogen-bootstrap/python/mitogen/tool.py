"""A tool that leads to a new context: its descriptors, its terminal, its process and its end. Nothing is known here of what it says."""
import fcntl
import os
import signal
import subprocess
import sys
import termios
from mitogen.core import PY3

try:
    from _socket import socketpair
except ImportError:
    from socket import socketpair


def private(fd):
    """A descriptor that no program inherits; Python does it itself since 3.4."""
    if sys.version_info < (3, 4):
        fcntl.fcntl(fd, fcntl.F_SETFD, 1)
    return fd


def nonblocking(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


def pair():
    ends = socketpair()
    fds = [private(os.dup(end.fileno())) for end in ends]
    for end in ends:
        end.close()
    return fds


def pipe():
    return [private(fd) for fd in os.pipe()]


def words(obj):
    """What a program can be given: bytes for Python 2."""
    if not PY3 and not isinstance(obj, str):
        obj = obj.encode('utf-8')
    return obj


class Tool(object):
    """A process, in a session of its own, with the terminal's end that must stay open as long as it lives."""
    # The context that it led to lives on without us.
    detached = False
    # It has led to one: what that starts may outlive it.
    born = False

    def __init__(self, argv, env, fds, slave):
        self.slave = None
        keywords = {}
        alone = sys.version_info < (3, 2)
        terminal = slave
        if slave in fds:
            # Python 2 has closed the original by then.
            terminal = 0
        if not alone:
            keywords['start_new_session'] = True
        if alone or slave is not None:
            # Between fork and exec, where other threads of ours do not run and their locks may be held: nothing but system calls. There is no other way to make
            # a terminal the controlling one: the new session's leader must ask for it.
            def prepare():
                if alone:
                    os.setsid()
                    for name in 'SIGPIPE', 'SIGXFZ', 'SIGXFSZ':
                        # What Python ignores would stay ignored.
                        if hasattr(signal, name):
                            signal.signal(getattr(signal, name), signal.SIG_DFL)
                    hide()
                if slave is not None:
                    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
            keywords['preexec_fn'] = prepare
        self.process = subprocess.Popen(argv, stdin=fds[0], stdout=fds[1], stderr=fds[2], close_fds=not alone, env=env, **keywords)
        self.pid = self.process.pid
        if slave in fds:
            # The tool holds it, and it must end with the tool.
            os.close(slave)
        else:
            self.slave = slave

    def poll(self):
        """The exit status, negative for a signal; None while it runs."""
        ran = self.process.returncode is None
        status = self.process.poll()
        if status is not None and ran and not self.born:
            # At this very moment its number is nobody else's: its helpers go with it.
            self.signal(9, True)
        if status is not None and self.slave is not None:
            os.close(self.slave)
            self.slave = None
        return status

    def stop(self, number, group=False):
        if self.process.returncode is None:
            self.signal(number, group)

    def signal(self, number, group):
        try:
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except OSError:
            # It is gone, or belongs to somebody else.
            pass


def hide():
    """Has all descriptors but the three closed when a program is executed. What Python 2 does instead is to close them, one by one, up to the limit."""
    for place in '/proc/self/fd', '/dev/fd':
        try:
            fds = [int(name) for name in os.listdir(place)]
            break
        except (OSError, ValueError):
            fds = range(256)
    for fd in fds:
        if fd > 2:
            try:
                fcntl.fcntl(fd, fcntl.F_SETFD, 1)
            except (IOError, OSError):
                pass
