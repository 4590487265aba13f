"""The I/O thread: reads the parent's frames and the captured output, writes what senders could not, and ends the process."""
import errno
import os
import select
import sys
import time

clock = getattr(time, 'monotonic', time.time)
# Output is not read while this many bytes wait to be sent: whoever prints too much waits in his print.
FULL = 1 << 20
# Seconds that a running call, output in pipes and a stalled parent get at the end, all that may take, and how long a SIGTERM may.
GRACE = .25
LIMIT = 5
PATIENCE = .5


class Select(object):
    """select() in the clothes of poll(), for systems without the latter."""

    def __init__(self):
        self.fds = {}

    def register(self, fd, mask):
        self.fds[fd] = mask

    def unregister(self, fd):
        del self.fds[fd]

    def poll(self, timeout):
        if timeout is not None:
            timeout /= 1000.
        r, w, _ = select.select([f for f in self.fds if self.fds[f] & 1], [f for f in self.fds if self.fds[f] & 4], [], timeout)
        return [(f, 1) for f in r + w]


class Broker(object):
    def __init__(self):
        self.poller = getattr(select, 'poll', Select)()
        # What is watched: descriptor -> mask (1: for reading, 4: for writing).
        self.masks = {}
        self.reader, self.writer = os.pipe()
        self.awake = False
        # When the process must end; None while it need not.
        self.ending = None
        # The main thread has done its last work.
        self.idle = False

    def wake(self):
        """Has the I/O thread look around; from any thread."""
        if not self.awake:
            self.awake = True
            os.write(self.writer, 'x'.encode())

    def watch(self, fd, mask):
        if self.masks.get(fd, 0) != mask:
            self.masks[fd] = mask
            if mask:
                self.poller.register(fd, mask)
            else:
                self.poller.unregister(fd)

    def poll(self, seconds):
        if seconds is not None:
            seconds *= 1000
        while 1:
            try:
                return [fd for fd, _ in self.poller.poll(seconds)]
            except (select.error, OSError):
                if sys.exc_info()[1].args[0] != errno.EINTR:
                    raise

    def shutdown(self):
        """Begins the end, on the I/O thread."""
        if self.ending is None:
            self.started = clock()
            self.ending = self.started + GRACE
            self.dispatcher.close()

    def run(self):
        """The thread."""
        try:
            try:
                self.loop()
            except:
                import traceback
                self.router.log('mitogen', 50, traceback.format_exc())
        finally:
            die()

    def loop(self):
        link = self.router.parent
        outputs = self.outputs
        self.watch(self.reader, 1)
        self.watch(link.fd_in, 1)
        while 1:
            self.awake = False
            if link.dead:
                self.watch(link.fd_in, 0)
                self.shutdown()
            queued = link.queued
            self.watch(link.fd_out, queued and 4)
            for fd in outputs:
                self.watch(fd, int(queued < FULL))
            seconds = None
            if self.ending is not None:
                # Once the main thread is idle, only what is there already is taken.
                seconds = 0
                if queued or not self.idle:
                    seconds = max(0, self.ending - clock())
            ready = self.poll(seconds)
            for fd in ready:
                if fd == link.fd_in:
                    self.receive(link)
                elif fd == link.fd_out:
                    link.flush()
                    if self.ending is not None:
                        self.ending = clock() + GRACE
                elif fd == self.reader:
                    os.read(fd, 99)
                elif not outputs[fd].receive():
                    self.watch(fd, 0)
                    del outputs[fd]
            if seconds is not None and (not ready or clock() > self.started + LIMIT):
                if not outputs:
                    return
                for fd in list(outputs):
                    outputs.pop(fd).finish()
                    self.watch(fd, 0)
                self.ending = clock() + GRACE

    def receive(self, link):
        try:
            msgs = link.receive()
        except:
            # Nothing that follows can be located.
            self.router.log('mitogen', 40, 'lost the parent: %s' % (sys.exc_info()[1],))
            self.shutdown()
            self.watch(link.fd_in, 0)
            return
        if msgs is None:
            link.close()
        else:
            for msg in msgs:
                self.router.handle_message(msg, link)


def die():
    """Ends the process as upstream's do, by SIGTERM; by SIGKILL if a handler swallows that."""
    pid = os.getpid()
    os.kill(pid, 15)
    time.sleep(PATIENCE)
    os.kill(pid, 9)
