"""Long frames: read at their length, written without being joined to their heads, and in the time of who sends them.

A link to the parent gets this when files or long values go by it; links among others (mitogen.stream) have some of it from the beginning.
"""
import errno
import os
import select
import sys
from mitogen import link, wire
from mitogen.core import ENC_BYTES, BytesType, Message, StreamError
from mitogen.importer import get_ident
from mitogen.wire import EMPTY, HEADER, HEADER_LEN, pack, unpack

try:
    # Since 3.3.
    writev = getattr(os, 'writev')
    view = memoryview  # novm
except (AttributeError, NameError):
    view = None

    def writev(fd, pieces):
        return os.write(fd, EMPTY.join(pieces))

try:
    readv = getattr(os, 'readv')
    from _struct import Struct
    unpack_from = getattr(Struct(HEADER), 'unpack_from')
except (AttributeError, ImportError):
    readv = None

# Bytes read at once, except of a long frame; what a long frame is; the most that is asked for at once; made into one write, and into how many pieces at most.
READ = 65536
LONG = 32768
MOST = 1 << 20
JOIN = 131072
PIECES = 256

# What a pipe is given to hold (it is 64 KiB), and how Linux is asked for that.
PIPE = 1 << 20
SETPIPE_SZ = 1031
# How many long frames are read in a row before anything else is looked at; how many places of their bytes are kept.
ROW = 8
PLACES = 16

primed = []
# Handles whose raw messages may carry a view of a place, to be given back with `recycle`; places that nobody uses.
direct = set()
places = []


def recycle(data):
    """The bytes of a message of a direct handle are done with."""
    if type(data) is not BytesType and len(places) < PLACES:
        places.append(data.obj)


def prime():
    """Has the C library keep the memory of long frames, which it would get from the system and give back each time: that costs more than a signature."""
    if not primed:
        primed.append(1)
        BytesType().ljust(1 << 22)


def write(link, refill):
    """Writes what can be written of a link's queue, under its lock."""
    queue = link.queue
    while queue or refill():
        size = count = 0
        for piece in queue[:PIECES]:
            if size >= JOIN and len(piece) >= LONG:
                break
            size += len(piece)
            count += 1
        pieces = queue[:count]
        if link.sent:
            pieces[0] = (view or BytesType)(pieces[0])[link.sent:]
        try:
            n = writev(link.fd_out, pieces)
            link.full = False
        except OSError:
            code = sys.exc_info()[1].errno
            if code == errno.EINTR:
                continue
            link.full = True
            if code != errno.EAGAIN:
                link.close()
            return
        link.queued -= n
        n += link.sent
        if n == size:
            del queue[:count]
            n = 0
        while n and n >= len(queue[0]):
            n -= len(queue.pop(0))
        link.sent = n


def sign(chain, pieces):
    """The signature of a frame that is in pieces."""
    if chain.past is not None:
        return chain.mac(EMPTY.join(pieces))
    for piece in pieces[:-1]:
        chain.inner.update(piece)
        if len(piece) > 2047:
            # As in `mac`: what follows would let other threads run.
            chain.inner = chain.inner.copy()
    return chain.mac(pieces[-1])


def amount(decoder):
    """How much to read: so that a long frame ends where a read ends, for long ones follow each other."""
    size = decoder.last
    if decoder.parts:
        size = decoder.need - decoder.have
    return min(max(size, READ), MOST)


class Decoder(wire.Decoder):
    # The length of the last frame, if it was a long one.
    last = 0
    # Where the next frame of that length is read to, and how much of it is there.
    place = None
    filled = 0

    def feed(self, data):
        size = self.have + len(data)
        if size != self.last:
            out = wire.Decoder.feed(self, data)
            if out:
                self.last = 0
                if view and len(out[-1].data) >= LONG:
                    self.last = self.skip + HEADER_LEN + len(out[-1].data)
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
        if skip and self.chain.mac(view(data)[skip:]) != data[:skip]:
            raise StreamError('bad frame signature')
        return [Message(enc=enc, dst_id=dst, src_id=src, auth_id=auth, handle=handle, reply_to=reply_to, data=data[body:])]

    def spill(self):
        """Has what is in a place taken up by whatever decodes what follows."""
        if self.filled:
            self.parts = [BytesType(view(self.place)[:self.filled])]
            self.have = self.filled
            self.need = self.filled = 0
        self.place = None

    def read(self, fd):
        """Reads what is to be the next of many frames of one length, without moving its bytes. Returns what `os.read` would, or its length, and messages."""
        size = self.last
        place = self.place
        if place is None:
            if self.parts:
                # To the end of a frame and no further: the next one has its place.
                data = os.read(fd, min(self.need - self.have, MOST))
                return data, data and self.feed(data)
            while places and len(places[-1]) != size:
                places.pop()
            if places:
                place = places.pop()
            else:
                place = bytearray(size)  # novm
            self.place = place
        count = readv(fd, [view(place)[self.filled:]])
        if not count:
            return 0, []
        self.filled = filled = self.filled + count
        skip = self.skip
        body = skip + HEADER_LEN
        if filled < body:
            return count, []
        enc, dst, src, auth, handle, reply_to, length = unpack_from(place, skip)
        if length != size - body or enc not in (0x4d49, 0x4d4a, 0x4d4b):
            # Something else than was expected.
            self.place = None
            self.filled = self.last = 0
            return count, self.feed(BytesType(view(place)[:filled]))
        if filled < size:
            return count, []
        frame = view(place)[skip:]
        if skip and self.chain.past is not None:
            # For now the chain keeps what it is fed, and the place is used again.
            frame = BytesType(frame)
        if skip and self.chain.mac(frame) != place[:skip]:
            raise StreamError('bad frame signature')
        self.filled = 0
        data = view(place)[body:]
        if handle in direct and enc == ENC_BYTES:
            self.place = None
        else:
            data = BytesType(data)
        return count, [Message(enc=enc, dst_id=dst, src_id=src, auth_id=auth, handle=handle, reply_to=reply_to, data=data)]


class Link(link.Link):
    def send(self, msg):
        size = msg.size()
        if not view or size < LONG or os.getpid() != self.pid:
            return link.Link.send(self, msg)
        pieces = [pack(HEADER, msg.enc, msg.dst_id, msg.src_id, msg.auth_id, msg.handle, msg.reply_to, size)]
        pieces += getattr(msg, 'pieces', None) or [msg.data]
        self.lock.acquire()
        try:
            if self.dead:
                return
            if self.chain_out:
                pieces[0] = sign(self.chain_out, pieces) + pieces[0]
            self.queue += pieces
            self.queued += sum([len(piece) for piece in pieces])
            if not self.full:
                self.write()
        finally:
            self.lock.release()
        try:
            # A wake-up of the I/O thread for each frame would cost more.
            while self.queued and get_ident() != sys.modules['mitogen'].econtext.importer.io_thread:
                select.select([], [self.fd_out], [], 1)
                self.flush()
        except (select.error, OSError, ValueError):
            pass
        if self.queued:
            self.tell()

    def write(self):
        write(self, bool)

    def receive(self):
        decoder = self.decoder
        for _ in range(ROW):
            try:
                if readv and decoder.last:
                    data, messages = decoder.read(self.fd_in)
                else:
                    data = os.read(self.fd_in, amount(decoder))
                    messages = data and decoder.feed(data)
            except OSError:
                if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):
                    return
                data = 0
            except StreamError:
                self.broker.router.log('mitogen', 40, 'lost the parent: %s' % (sys.exc_info()[1],))
                data = 0
            if not data:
                self.lose()
                return
            for msg in messages:
                yield msg
            if not decoder.last:
                return


def widen(fd):
    """Has a pipe, if it is one, hold more: sshd fills it 32 KiB at a time, and would otherwise have us take turns with it."""
    try:
        from fcntl import fcntl
        fcntl(fd, SETPIPE_SZ, PIPE)
    except (ImportError, EnvironmentError):
        # No pipe, not Linux, or no more memory for this user's pipes.
        pass


def install(parent):
    """Gives the link to the parent these classes, unless it has others already; from any thread."""
    if getattr(parent, 'wide', False):
        return
    prime()
    widen(parent.fd_in)
    parent.lock.acquire()
    parent.wide = True
    if parent.__class__ is link.Link:
        parent.decoder.__class__ = Decoder
        parent.__class__ = Link
    parent.lock.release()
