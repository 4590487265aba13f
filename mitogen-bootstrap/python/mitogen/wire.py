"""Frames: 26 bytes of header, preceded by 20 of signature if the link has a key.

    [ MAC:20 ] [ enc:2 dst:4 src:4 auth:4 handle:4 reply_to:4 length:4 ] [ payload:length ]

No descriptor and no thread is known here.
"""
try:
    from _struct import pack, unpack
except ImportError:
    from struct import pack, unpack
from mitogen.core import Message, StreamError
from mitogen.importer import start_new_thread

# `_sha1` costs neither OpenSSL's loading time (3 to 6 ms) nor its memory (2 to 4 MiB), but hashes 0.2 GB/s where OpenSSL reaches 1.9: see Chain.
try:
    from _sha1 import sha1
    slow = 1
except ImportError:
    slow = 0
    try:
        from hashlib import sha1  # novm
    except ImportError:
        from sha import new as sha1

EMPTY = ''.encode()
HEADER = '>hLLLLLL'
HEADER_LEN = 26


# What `find_fast` found: OpenSSL's SHA-1, or None. Empty until then.
fast = []


def find_fast():
    # A thread of its own: whoever imports a module from us holds the import lock while he waits for it, so that an import by the I/O thread would never end.
    found = None
    try:
        # Not hashlib: that is ten more modules.
        from _hashlib import openssl_sha1 as found
        found()
    except (ImportError, ValueError):
        # No OpenSSL, or one that refuses SHA-1.
        found = None
    fast.append(found)


def xor(key, mask):
    # A bytearray would be shorter; Python 2.5 has none.
    return pack('64B', *[b ^ mask for b in unpack('64B', pack('64s', key))])


class Chain(object):
    """The running HMAC-SHA1 of one direction: a signature covers all frames so far.

    It starts with the light implementation of SHA-1. A hash state cannot be moved to another one, so the first 64 KiB fed are kept, and
    fed again to OpenSSL's when a link turns out to carry more than that.
    """
    def __init__(self, key, label):
        self.key = key
        self.past = None
        if slow:
            self.past = []
            self.room = 65536
        self.start(sha1)
        if label:
            self.__init__(self.mac(label.encode()), None)

    def start(self, new):
        self.inner = new(xor(self.key, 0x36))
        self.outer = new(xor(self.key, 0x5c))

    def mac(self, data):
        """The signature of the next frame."""
        past = self.past
        if past is not None:
            past.append(data)
            if self.room:
                self.room -= len(data)
                if self.room <= 0:
                    self.room = 0
                    start_new_thread(find_fast, ())
            elif fast:
                self.past = None
                if fast[0]:
                    self.start(fast[0])
                    data = EMPTY.join(past)
        inner = self.inner
        inner.update(data)
        if len(data) > 2047:
            # From here on each of its updates, however short, would let other threads run; but not those of a copy.
            self.inner = inner = inner.copy()
        outer = self.outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def encode(msg, chain):
    """The frame of a message. It counts as sent: frames must leave in the order made."""
    data = msg.data
    frame = pack(HEADER, msg.enc, msg.dst_id, msg.src_id, msg.auth_id, msg.handle, msg.reply_to, len(data)) + data
    if chain:
        return chain.mac(frame) + frame
    return frame


class Decoder(object):
    """Turns one direction's bytes, however split, into messages. After an error the link is lost."""

    def __init__(self, chain, limit):
        self.chain = chain
        self.limit = limit
        self.skip = 0
        if chain:
            self.skip = 20
        # Parts of a frame that has not come whole, their length, and how much is needed before looking at them again.
        self.parts = []
        self.have = 0
        self.need = 0

    def feed(self, data):
        """Returns the messages that are now complete."""
        if self.parts:
            self.parts.append(data)
            self.have += len(data)
            if self.have < self.need:
                return []
            data = EMPTY.join(self.parts)
        out = []
        pos = 0
        end = len(data)
        skip = self.skip
        need = head = skip + HEADER_LEN
        while end - pos >= head:
            msg = Message()
            start = pos + skip
            body = pos + head
            msg.enc, msg.dst_id, msg.src_id, msg.auth_id, msg.handle, msg.reply_to, length = unpack(HEADER, data[start:body])
            if msg.enc not in (0x4d49, 0x4d4a, 0x4d4b):
                raise StreamError('corrupt stream: a frame starts with %#06x' % (msg.enc & 0xffff))
            if length > self.limit:
                raise StreamError('frame of %d bytes exceeds the limit of %d bytes' % (length, self.limit))
            need = head + length
            if end - pos < need:
                break
            stop = pos + need
            msg.data = data[body:stop]
            # No constant-time comparison: one wrong guess ends the link.
            if skip and self.chain.mac(data[start:stop]) != data[pos:start]:
                raise StreamError('bad frame signature')
            out.append(msg)
            pos = stop
            need = head
        self.parts = []
        self.have = end - pos
        self.need = need
        if self.have:
            self.parts = [data[pos:]]
        return out
