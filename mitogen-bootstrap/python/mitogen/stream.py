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
from mitogen import bulk, link, tree, wire
from mitogen.bulk import JOIN, LONG, READ, view
from mitogen.core import ENC_BYTES, ENC_PICKLE, ENC_PLAIN, BytesType, Message, StreamError
from mitogen.dispatch import deque
from mitogen.wire import EMPTY, HEADER, HEADER_LEN, pack, unpack

try:
    # Not in Python 2.4.
    from _struct import Struct  # novm
    unpack_length = getattr(Struct('>L'), 'unpack_from')
except ImportError:
    def unpack_length(data, start):
        return unpack('>L', data[start:start + 4])

# Bytes that may wait in a link, behind the message at its head, before it is given up; the longest payload that may overtake; that may overtake one frame of bulk.
QUEUE = 64 << 20
SMALL = 4096
FAIR = 65536
bulk.prime()
# How many kinds of frames a link knows the way of.
WAYS = 256
# What a frame starts with; where it names the two that talk, and the handle; two handles as they stand there.
MAGIC = [pack('>H', enc) for enc in (ENC_PLAIN, ENC_PICKLE, ENC_BYTES)]
TALK = slice(2, 10)
HANDLE = slice(14, 18)
FIRST = pack('>L', tree.ADD_ROUTE), pack('>L', tree.GRANT)
DEL = pack('>L', tree.DEL_ROUTE)


class Decoder(wire.Decoder):
    """Passes on what is not for us without unpacking it."""
    # The length of the last frame.
    last = 0

    def feed_link(self, data, link):
        """Takes bytes that came by a link."""
        if self.parts:
            self.parts.append(data)
            self.have += len(data)
            if self.have < self.need:
                return
            data = EMPTY.join(self.parts)
        ways = link.ways
        limit = self.limit
        pos = 0
        end = len(data)
        skip = self.skip
        need = head = skip + HEADER_LEN
        mac = skip and self.chain.mac
        while end - pos >= head:
            start = pos + skip
            # Who sends to whom on whose authority: looked at once.
            kind = data[start:start + 14]
            length, = unpack_length(data, start + 22)
            out = ways.get(kind)
            if not out and kind[:2] not in MAGIC:
                raise StreamError('corrupt stream: a frame starts with %#06x' % unpack('>H', kind[:2]))
            if length > limit:
                raise StreamError('frame of %d bytes exceeds the limit of %d bytes' % (length, limit))
            need = head + length
            if end - pos < need:
                break
            stop = pos + need
            if view and length >= LONG:
                frame = view(data)[start:stop]
            else:
                frame = data[start:stop]
            if skip and mac(frame) != data[pos:start]:
                raise StreamError('bad frame signature')
            if not out:
                enc, dst, src, auth, handle, reply_to, _ = unpack(HEADER, data[start:start + HEADER_LEN])
                out = link.router.way(dst, src, auth, link)
                if out:
                    if len(ways) >= WAYS:
                        ways.clear()
                    ways[kind] = out
            if out:
                out.forward(frame, stop == end)
            else:
                link.deliver(Message(enc=enc, dst_id=dst, src_id=src, auth_id=auth, handle=handle, reply_to=reply_to, data=data[pos + head:stop]))
            pos = stop
            self.last = need
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
        self.ways = {}
        self.router = self.broker.router
        if isinstance(self.decoder, bulk.Decoder):
            self.decoder.spill()
        self.decoder.__class__ = Decoder
        self.small = deque()
        self.bulk = deque()
        # How many frames of each pair (destination, source) are in bulk; how many bytes have overtaken the first of them.
        self.talks = {}
        self.ahead = 0

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

    def forward(self, frame, last=False):
        """Sends a frame of somebody else's, on the I/O thread: at once if no other is about to follow, else a little later, with those."""
        self.lock.acquire()
        try:
            if not self.queued and last and len(frame) < READ and not self.dead:
                chain = self.chain_out
                if chain:
                    frame = chain.mac(frame) + frame
                try:
                    sent = os.write(self.fd_out, frame)
                except OSError:
                    # The next look will show what it is.
                    sent = 0
                if sent == len(frame):
                    return
                self.queue.append(frame)
                self.sent = sent
                self.queued = len(frame) - sent
            elif not self.dead and self.has_room():
                self.put(frame)
            if self.queued and not self.told:
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
            talk = BytesType(frame[TALK])
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
            self.queued += 20
            mac = chain.mac(frame)
            if len(frame) < LONG:
                frame = mac + frame
            else:
                queue.append(mac)
        queue.append(frame)

    def refill(self):
        """Signs what waited."""
        size = 0
        while self.small:
            self.sign(self.small.popleft())
        while self.bulk and size < JOIN:
            frame = self.bulk.popleft()
            size += len(frame)
            self.ahead = 0
            talk = BytesType(frame[TALK])
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
        bulk.write(self, self.refill)

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
        size = READ
        if decoder.need > READ or decoder.last > READ:
            size = bulk.amount(decoder)
        try:
            data = os.read(self.fd_in, size)
        except OSError:
            if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):
                return
            data = EMPTY
        if data:
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
