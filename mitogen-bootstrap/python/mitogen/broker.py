"""The I/O thread: reads the parent's frames and the captured output, writes what senders could not, and ends the process.

For a while after each call the main thread reads the frames itself (the baton says who does): the next call then needs one wake-up less.
"""
import errno
import os
import select
import sys
import time
from mitogen.importer import allocate_lock

clock = getattr(time, 'monotonic', time.time)
# Output is not read while this many bytes wait to be sent: whoever prints too much waits in his print.
FULL = 1 << 20
# Seconds that a running call and output in pipes get at the end; that they and a parent that does not read may take.
GRACE = .25
LIMIT = 5
# How often this thread looks whether the main thread, which reads the link meanwhile, is held up by a call.
TICK = .005


class Broker(object):
    # When the process must end; None while it need not.
    ending = None
    # The main thread has done its last work.
    idle = False
    awake = False
    # Functions called at the very end, on the I/O thread.
    at_end = []
    # What takes this loop's place, in mitogen.loop, once there are children.
    change = None

    def __init__(self):
        self.reader, self.writer = os.pipe()
        # Who holds it reads the parent's link, and handles what comes.
        self.baton = allocate_lock()
        self.baton.acquire()

    def wake(self):
        """Has the I/O thread look around; from any thread."""
        if not self.awake:
            self.awake = True
            os.write(self.writer, 'x'.encode())

    def shutdown(self, msg=None):
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
                self.router.log('mitogen', 50, 'I/O thread failed: %r' % (sys.exc_info()[1],))
        finally:
            # Whatever failed: user code may have closed our descriptors.
            try:
                for fn in self.at_end:
                    fn()
            finally:
                # As upstream's end. A handler may swallow it.
                pid = os.getpid()
                os.kill(pid, 15)
                time.sleep(.5)
                os.kill(pid, 9)

    def loop(self):
        link = self.router.parent
        fd_in = link.fd_in
        outputs = self.outputs
        baton = self.baton
        reading = True
        while not self.change:
            self.awake = False
            if link.dead:
                self.shutdown()
            queued = link.queued
            readers = [self.reader]
            if queued < FULL:
                readers.extend(outputs)
            wait = seconds = None
            if self.ending is not None:
                # Once the main thread is idle, only what is there already is taken.
                wait = seconds = 0
                if queued or not self.idle:
                    # A parent may be slow to read.
                    wait = seconds = max(0, (self.ending, self.started + LIMIT)[queued > 0] - clock())
                if not reading:
                    baton.acquire()
                    reading = True
            if not reading:
                wait = TICK
            elif not link.dead:
                readers.append(fd_in)
            self.dispatcher.notify()
            try:
                ready, writable, _ = select.select(readers, [link.fd_out][:queued], [], wait)
            except select.error:
                if sys.exc_info()[1].args[0] != errno.EINTR:
                    raise
                continue
            reading = reading or baton.acquire(0)
            if writable:
                link.flush()
                if seconds is not None:
                    self.ending = clock() + GRACE
            for fd in ready:
                if fd == fd_in:
                    self.receive(link)
                    if self.dispatcher.queue:
                        # The main thread reads what follows, so that no other need wake it; at most TICK later we do.
                        baton.release()
                        reading = False
                elif fd == self.reader:
                    if not os.read(fd, 99):
                        raise IOError('user code has closed the descriptors of the context')
                elif not outputs[fd].receive():
                    del outputs[fd]
            if seconds is not None and (not ready and not writable or clock() > self.started + LIMIT):
                if not outputs:
                    return
                while outputs:
                    outputs.popitem()[1].finish()
                self.ending = clock() + GRACE
        if not reading:
            baton.acquire()
        self.change()

    def receive(self, link):
        for msg in link.receive():
            try:
                self.router.handle_message(msg, link)
            except Exception:
                # One bad message is no reason to leave.
                self.router.log('mitogen', 40, '%r: %r' % (msg, sys.exc_info()[1]))
