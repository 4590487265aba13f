"""Long frames that come to a context without children: read at their length, and copied once less. It takes the core's place when files are on their way."""
import errno
import os
import sys
from mitogen import link, wire
from mitogen.core import PY3, Message, StreamError
from mitogen.wire import EMPTY, HEADER, HEADER_LEN, unpack

# Bytes read at once, except of a long frame; what a long frame is; the most that is asked for at once.
READ = 65536
LONG = 32768
MOST = 1 << 20


class Decoder(wire.Decoder):
    # The length of the last frame, if it was a long one: they follow each other.
    last = 0

    def feed(self, data):
        size = self.have + len(data)
        if size != self.last:
            out = wire.Decoder.feed(self, data)
            if out:
                self.last = len(out[-1].data)
                if self.last < LONG or not PY3:
                    self.last = 0
                else:
                    self.last += self.skip + HEADER_LEN
            return out
        if self.parts:
            data = EMPTY.join(self.parts + [data])
        self.parts = []
        self.have = 0
        skip = self.skip
        body = skip + HEADER_LEN
        enc, dst, src, auth, handle, reply_to, length = unpack(HEADER, data[skip:body])
        if length != size - body or enc not in (0x4d49, 0x4d4a, 0x4d4b):
            # Something else of this length.
            self.last = 0
            return self.feed(data)
        if skip:
            self.chain.feed(memoryview(data)[skip:])  # novm
            if self.chain.mac() != data[:skip]:
                raise StreamError('bad frame signature')
        return [Message(enc=enc, dst_id=dst, src_id=src, auth_id=auth, handle=handle, reply_to=reply_to, data=data[body:])]


class Link(link.Link):
    def receive(self):
        decoder = self.decoder
        size = decoder.last
        if decoder.parts:
            size = decoder.need - decoder.have
        try:
            data = os.read(self.fd_in, min(max(size, READ), MOST))
            if data:
                return decoder.feed(data)
        except OSError:
            if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):
                return []
        except StreamError:
            self.broker.router.log('mitogen', 40, 'lost the parent: %s' % (sys.exc_info()[1],))
        self.lose()
        return []


def install(parent):
    """Gives the link to the parent these classes, unless it has others already; from any thread."""
    parent.lock.acquire()
    if parent.__class__ is link.Link:
        parent.decoder.__class__ = Decoder
        parent.__class__ = Link
    parent.lock.release()
