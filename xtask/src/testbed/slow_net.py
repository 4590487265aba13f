"""Two network namespaces and a slow wire between them: slow_net.py PID_FILE MILLISECONDS SSHD_CONFIG

The kernels of small machines know no delays, so frames pass through this process, which holds each for so long. In the
first namespace (10.78.0.1) nothing runs but a sleeper, whose pid is written when all is ready: enter it by that. In the
second (10.78.0.2) runs an sshd. Both go when this process does.
"""
import collections
import ctypes
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import time

NEW_NETWORK = 0x40000000
SET_INTERFACE = 0x400454CA
TAP_WITHOUT_HEAD = 0x0002 | 0x1000
libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    """Moves this process into a network namespace."""
    namespace = os.open(path, os.O_RDONLY)
    if libc.setns(namespace, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), 'setns ' + path)
    os.close(namespace)


def run_in(pid, *command):
    subprocess.check_call(('nsenter', '-t', str(pid), '-n') + command)


def end_of(wire_address):
    """A namespace with a tap device in it; returns who holds it, and the device."""
    holder = subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', 'unshare', '-n', 'sleep', 'infinity'])
    ours = os.readlink('/proc/self/ns/net')
    while os.readlink('/proc/%d/ns/net' % holder.pid) == ours:
        time.sleep(.01)
    home = os.open('/proc/self/ns/net', os.O_RDONLY)
    enter('/proc/%d/ns/net' % holder.pid)
    device = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, SET_INTERFACE, struct.pack('16sH', b'slow', TAP_WITHOUT_HEAD))
    libc.setns(home, NEW_NETWORK)
    os.close(home)
    for words in (['addr', 'add', wire_address, 'dev', 'slow'], ['link', 'set', 'slow', 'up'], ['link', 'set', 'lo', 'up']):
        run_in(holder.pid, 'ip', *words)
    return holder.pid, device


def carry(ends, delay):
    """Each frame comes out at the other end so many seconds later; they cannot overtake each other."""
    other = dict(zip(ends, reversed(ends)))
    waiting = collections.deque()
    poll = select.poll()
    for end in ends:
        poll.register(end, select.POLLIN)
    while True:
        rest = max(0, waiting[0][0] - time.monotonic()) * 1000 if waiting else None
        for end, _ in poll.poll(rest):
            try:
                waiting.append((time.monotonic() + delay, other[end], os.read(end, 65536)))
            except BlockingIOError:
                pass
        while waiting and waiting[0][0] <= time.monotonic():
            _, end, frame = waiting.popleft()
            try:
                os.write(end, frame)
            except OSError:
                pass


def main(pid_file, milliseconds, config):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    near, one = end_of('10.78.0.1/24')
    far, two = end_of('10.78.0.2/24')
    subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', 'nsenter', '-t', str(far), '-n', '/usr/sbin/sshd', '-D', '-f', config])
    with open(pid_file + '.new', 'w') as file:
        file.write('%d\n' % near)
    os.rename(pid_file + '.new', pid_file)
    carry((one, two), float(milliseconds) / 1000)


main(*sys.argv[1:])
