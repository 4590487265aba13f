"""A link among others: passes on what is not for us without unpacking it, and lets the broker write what the kernel did not take at once."""
import errno
import os
import sys
from mitogen import link, tree, wire
from mitogen.core import Message, StreamError
from mitogen.wire import EMPTY, HEADER, HEADER_LEN, unpack

# Bytes read at once, except of a long frame; joined for one write; that may wait in a link, behind the message at its head, before it is given up.
READ = 65536
JOIN = 131072
QUEUE = 64 << 20
# The C library keeps what is freed from here on, up to this size: long frames would make it ask the system for memory each time.
EMPTY.ljust(1 << 22)


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
            enc, dst, src, auth, handle, reply_to, length = unpack(HEADER, data[start:pos + head])
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

    def forward(self, frame):
        """Sends a frame of somebody else's, a little later; on the I/O thread."""
        self.lock.acquire()
        try:
            if self.dead:
                return
            queue = self.queue
            if self.queued > QUEUE and self.queued - len(queue[0]) > QUEUE:
                self.router.complain(self, 'lost: it does not read, and %d bytes wait for it' % self.queued)
                return self.close()
            chain = self.chain_out
            if chain:
                chain.feed(frame)
                if len(frame) < READ:
                    frame = chain.mac() + frame
                else:
                    queue.append(chain.mac())
                    self.queued += 20
            queue.append(frame)
            self.queued += len(frame)
            if not self.told:
                # We are on the thread that will look.
                self.told = True
                self.broker.pending.append(self)
        finally:
            self.lock.release()

    def write(self):
        queue = self.queue
        while queue:
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
        size = READ
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
            self.feed(data)
        else:
            self.close()

    def feed(self, data):
        try:
            self.decoder.feed_link(data, self)
        except StreamError:
            # Nothing that follows could be located.
            self.suspect = False
            self.router.complain(self, 'lost: %s' % sys.exc_info()[1])
            self.close()
