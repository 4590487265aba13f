"""A link among others: passes on what is not for us without unpacking it, and lets the broker write what the kernel did not take at once.

What waits is signed as late as possible, so that control can overtake bulk (mitogen-router/src/outbox.rs has the same rules):

    put --> queue (signed) --> descriptor
      \\--> small, bulk (not signed) --^   when the queue is empty: all small ones, then bulk, up to JOIN bytes

A small frame overtakes bulk, but not of the same source and destination. ADD_ROUTE goes before everything: what a new context sends is not believed
before it; so does GRANT. DEL_ROUTE overtakes nothing: what a lost context sent last is still believed. No frame of bulk is overtaken by more than FAIR bytes.
"""
import errno
import os
import sys
from mitogen import link, tree, wire
from mitogen.core import Message, StreamError
from mitogen.dispatch import deque
from mitogen.wire import EMPTY, HEADER, HEADER_LEN, pack, unpack

try:
    # Not in Python 2.4.
    from _struct import Struct  # novm
    unpack_head = getattr(Struct(HEADER), 'unpack_from')
except ImportError:
    def unpack_head(data, start):
        return unpack(HEADER, data[start:start + HEADER_LEN])

# Bytes read at once, except of a long frame or while more comes than that; joined for one write; that may wait in a link, behind the message at its head, before it
# is given up; the longest payload that may overtake; that may overtake one frame of bulk.
READ = 65536
MUCH = 262144
JOIN = 131072
QUEUE = 64 << 20
# The C library keeps what is freed from here on, up to this size: long frames would make it ask the system for memory each time.
EMPTY.ljust(1 << 22)
SMALL = 4096
FAIR = 65536
# Where a frame names the two that talk, and the handle; two handles as they stand there.
TALK = slice(2, 10)
HANDLE = slice(14, 18)
FIRST = pack('>L', tree.ADD_ROUTE), pack('>L', tree.GRANT)
DEL = pack('>L', tree.DEL_ROUTE)


class Decoder(wire.Decoder):
    """Passes on what is not for us without unpacking it."""

    def feed_link(self, data, link):
        """Takes bytes that came by a link."""
        if self.parts:
            self.parts.append(data)
            self.have += len(data)
            if self.have < self.need:
                return
            data = EMPTY.join(self.parts)
        way = link.router.way
        pos = 0
        end = len(data)
        skip = self.skip
        need = head = skip + HEADER_LEN
        chain = self.chain
        while end - pos >= head:
            start = pos + skip
            enc, dst, src, auth, handle, reply_to, length = unpack_head(data, start)
            if enc not in (0x4d49, 0x4d4a, 0x4d4b):
                raise StreamError('corrupt stream: a frame starts with %#06x' % (enc & 0xffff))
            if length > self.limit:
                raise StreamError('frame of %d bytes exceeds the limit of %d bytes' % (length, self.limit))
            need = head + length
            if end - pos < need:
                break
            stop = pos + need
            frame = data[start:stop]
            if skip:
                chain.feed(frame)
                if chain.mac() != data[pos:start]:
                    raise StreamError('bad frame signature')
            out = way(dst, src, auth, link)
            if out is not None:
                out.forward(frame)
            else:
                link.deliver(Message(enc=enc, dst_id=dst, src_id=src, auth_id=auth, handle=handle, reply_to=reply_to, data=frame[HEADER_LEN:]))
            pos = stop
            need = head
        self.parts = []
        self.have = end - pos
        self.need = need
        if self.have:
            self.parts = [data[pos:]]


class Link(link.Link, tree.Branch):
    """A link among others. It takes the place of the other kind's class while that runs."""
    router = None
    # The process that was started for it.
    child = None
    # The broker knows that bytes wait, or that the link died; it has let the link go.
    told = False
    gone = False

    def grow_link(self):
        self.fd = self.fd_in
        self.router = self.broker.router
        self.decoder.__class__ = Decoder
        self.small = deque()
        self.bulk = deque()
        # How many frames of each pair (destination, source) are in bulk; how many bytes have overtaken the first of them.
        self.talks = {}
        self.ahead = 0
        # Bytes of the next read.
        self.size = READ

    def send(self, msg):
        """Sends a message of our own, unless this is a fork of our process."""
        if os.getpid() != self.pid:
            return
        frame = wire.encode(msg, None)
        self.lock.acquire()
        try:
            if not self.dead and (self is self.router.parent or self.has_room()):
                idle = not self.queue
                self.put(frame)
                if idle and not self.lazy:
                    self.write()
                if self.queued:
                    self.tell()
        finally:
            self.lock.release()

    def forward(self, frame):
        """Sends a frame of somebody else's, a little later; on the I/O thread."""
        self.lock.acquire()
        try:
            if not self.dead and self.has_room():
                self.put(frame)
                if not self.told:
                    # We are on the thread that will look.
                    self.told = True
                    self.broker.pending.append(self)
        finally:
            self.lock.release()

    def has_room(self):
        # The signature of a long frame stands alone.
        if self.queued <= QUEUE or self.queued - sum([len(data) for data in self.queue[:2]]) <= QUEUE:
            return True
        self.broker.defer(self.router.complain, self, 'lost: it does not read, and %d bytes wait for it' % self.queued)
        self.close()

    def put(self, frame):
        """Takes a frame without a signature."""
        if self.queued < JOIN and not self.small and not self.bulk:
            self.sign(frame)
        elif len(frame) <= SMALL + HEADER_LEN and (not self.bulk or self.overtakes(frame)):
            self.small.append(frame)
        else:
            talk = frame[TALK]
            self.talks[talk] = self.talks.get(talk, 0) + 1
            self.bulk.append(frame)
        self.queued += len(frame)

    def overtakes(self, frame):
        handle = frame[HANDLE]
        if handle not in FIRST and (handle == DEL or self.ahead > FAIR or frame[TALK] in self.talks):
            return False
        self.ahead += len(frame)
        return True

    def sign(self, frame):
        queue = self.queue
        chain = self.chain_out
        if chain:
            chain.feed(frame)
            self.queued += 20
            if len(frame) < READ:
                frame = chain.mac() + frame
            else:
                queue.append(chain.mac())
        queue.append(frame)

    def refill(self):
        """Signs what waited; whether there was any."""
        size = 0
        while self.small:
            self.sign(self.small.popleft())
        while self.bulk and size < JOIN:
            frame = self.bulk.popleft()
            size += len(frame)
            self.ahead = 0
            talk = frame[TALK]
            count = self.talks[talk] - 1
            if count:
                self.talks[talk] = count
            else:
                del self.talks[talk]
            self.sign(frame)
        return self.queue

    def close(self):
        link.Link.close(self)
        self.small.clear()
        self.bulk.clear()
        self.talks.clear()

    def write(self):
        queue = self.queue
        while queue or self.refill():
            data = queue[0]
            if len(queue) > 1 and len(data) < READ and not self.sent:
                size = count = 0
                while count < len(queue) and size < JOIN:
                    size += len(queue[count])
                    count += 1
                queue[:count] = [EMPTY.join(queue[:count])]
                data = queue[0]
            try:
                n = os.write(self.fd_out, data[self.sent:self.sent + link.CHUNK])
            except OSError:
                code = sys.exc_info()[1].errno
                if code == errno.EINTR:
                    continue
                if code != errno.EAGAIN:
                    self.close()
                return
            self.sent += n
            self.queued -= n
            if self.sent == len(data):
                self.sent = 0
                del queue[0]

    def tell(self):
        if not self.told:
            self.told = True
            self.broker.pending.append(self)
            self.broker.wake()

    def deliver(self, msg):
        try:
            self.router.handle_message(msg, self)
        except Exception:
            # One bad message is no reason to leave.
            self.router.log('mitogen', 40, 'a message of context %s to handle %s failed: %r' % (msg.src_id, msg.handle, sys.exc_info()[1]))

    def handle_readable(self):
        decoder = self.decoder
        size = self.size
        if decoder.parts:
            # So that a long frame ends where a read ends.
            size = min(max(size, decoder.need - decoder.have), 1 << 20)
        try:
            data = os.read(self.fd_in, size)
        except OSError:
            if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):
                return
            data = EMPTY
        if data:
            self.size = READ
            if len(data) >= READ:
                self.size = MUCH
            self.feed(data)
        else:
            self.lose()

    def feed(self, data):
        try:
            self.decoder.feed_link(data, self)
        except StreamError:
            # Nothing that follows could be located.
            self.suspect = False
            self.router.complain(self, 'lost: %s' % sys.exc_info()[1])
            self.lose()
