"""One link: a descriptor to read frames from and one to write them to, without ever waiting.

Any thread may send. The write is tried at once by the sender; what the kernel does not take is queued, and flushed by the I/O thread.
"""
import errno
import os
import sys
from mitogen.core import StreamError
from mitogen.importer import allocate_lock
from mitogen.wire import Decoder, encode

CHUNK = 262144
# Frames that wait are joined until they are this long: one write then takes many.
JOIN = 8192


class Link(object):
    # The broker's `wake()` has it look at `queued` again.
    def __init__(self, broker, fd_in, fd_out, chains, limit):
        self.broker = broker
        self.fd_in = fd_in
        self.fd_out = fd_out
        self.chain_out = chains[1]
        self.decoder = Decoder(chains[0], limit)
        # Signatures are chained, so frames are made and queued under one lock.
        self.lock = allocate_lock()
        self.queue = []
        # Bytes in the queue, and how many of its first entry are gone.
        self.queued = 0
        self.sent = 0
        # The kernel took no more when it was last tried; since then the I/O thread tries.
        self.full = False
        self.dead = False
        # Whether sending leaves the write to the next sender, who is about to come, or to the I/O thread, TICK later.
        self.lazy = False
        self.pid = os.getpid()

    def send(self, msg):
        """Sends a message, unless the link is dead or this is a fork of its process."""
        if os.getpid() != self.pid:
            return
        lock = self.lock
        lock.acquire()
        try:
            if not self.dead:
                data = encode(msg, self.chain_out)
                queue = self.queue
                lazy = self.lazy
                self.queued += len(data)
                if not queue:
                    queue.append(data)
                elif len(queue[-1]) > JOIN:
                    queue.append(data)
                    lazy = False
                else:
                    queue[-1] += data
                if not lazy and not self.full:
                    self.write()
                if self.queued and (self.broker.reading or not self.lazy):
                    self.tell()
        finally:
            lock.release()

    def flush(self):
        """Writes what can be written."""
        self.lock.acquire()
        try:
            self.write()
        finally:
            self.lock.release()

    def write(self):
        queue = self.queue
        while queue:
            data = queue[0]
            try:
                n = os.write(self.fd_out, data[self.sent:self.sent + CHUNK])
                self.full = False
            except OSError:
                code = sys.exc_info()[1].errno
                if code == errno.EINTR:
                    continue
                self.full = True
                if code != errno.EAGAIN:
                    self.close()
                return
            self.sent += n
            self.queued -= n
            if self.sent == len(data):
                self.sent = 0
                del queue[0]

    def lose(self):
        """Gives the link up, when nobody else is at it."""
        self.lock.acquire()
        try:
            self.close()
        finally:
            self.lock.release()

    def close(self):
        """Gives the link up, under the lock; the broker will notice."""
        self.dead = True
        self.queued = 0
        del self.queue[:]
        self.tell()

    def tell(self):
        self.broker.wake()

    def receive(self):
        """Reads what there is. Returns the messages it completes; closes the link at its end."""
        try:
            data = os.read(self.fd_in, 65536)
            if data:
                return self.decoder.feed(data)
        except OSError:
            if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):
                return []
        except StreamError:
            # Nothing that follows could be located.
            self.broker.router.log('mitogen', 40, 'lost the parent: %s' % (sys.exc_info()[1],))
        self.lose()
        return []
