"""A context that is none: it is born as the handshake wants it, speaks raw frames, and does what its first argument says when it is called.

It is the second context of its controller (2); the first one (1) is a bystander. Python 3.
"""
import ast
import hashlib
import hmac
import os
import pickle
import struct
import sys
import time
import zlib

HEADER = '>hLLLLLL'
PLAIN, PICKLE = 0x4D49, 0x4D4A
GET_MODULE, CALL, LOG, ADD_ROUTE, DEL_ROUTE, ALLOCATE_ID, SHUTDOWN, LOAD_MODULE, FORWARD_MODULE, DETACHING, SERVICE = range(100, 111)
GET_PLAN = 201
GRANT = 205
DEAD = 999
ME, BYSTANDER = 2, 1


class Chain(object):
    def __init__(self, key, label):
        derived = hmac.new(key, label, hashlib.sha1).digest()
        self.mac = hmac.new(derived, b'', hashlib.sha1)

    def sign(self, data):
        self.mac.update(data)
        return self.mac.digest()


class Peer(object):
    def __init__(self):
        self.out = self.into = None
        # The values of the configuration, in the order of the loader's list of names.
        key = self.read_config()[5].encode()
        if key:
            self.out = Chain(key, b'mitogen child to parent')
            self.into = Chain(key, b'mitogen parent to child')
        # What came and went last, as it was on the wire.
        self.last_in = self.last_out = b''

    def read_config(self):
        while os.read(0, 1) != b'\0':
            pass
        unzip = zlib.decompressobj()
        text = b''
        while True:
            data = os.read(0, 65536)
            if unzip.eof:
                text += data
            else:
                unzip.decompress(data)
                text += unzip.unused_data
            try:
                config = ast.literal_eval(text.decode())
            except (SyntaxError, ValueError):
                continue
            os.write(1, b'EC1\nEC2\n')
            return config

    def frame(self, handle, data=b'', dst=0, src=ME, auth=None, reply_to=0, enc=PLAIN, length=None):
        auth = src if auth is None else auth
        length = len(data) if length is None else length
        frame = struct.pack(HEADER, enc, dst, src, auth, handle, reply_to, length) + data
        return self.out.sign(frame) + frame if self.out else frame

    def write(self, data):
        while data:
            data = data[os.write(1, data):]

    def send(self, *args, **kwargs):
        self.last_out = self.frame(*args, **kwargs)
        self.write(self.last_out)

    def pickled(self, handle, value, **kwargs):
        self.send(handle, pickle.dumps(value, 2), enc=PICKLE, **kwargs)

    def read(self, size):
        data = b''
        while len(data) < size:
            piece = os.read(0, size - len(data))
            if not piece:
                sys.exit(0)
            data += piece
        return data

    def receive(self):
        """(handle, reply_to, source, payload) of the next frame."""
        mac = self.read(20) if self.into else b''
        head = self.read(26)
        _, _, src, _, handle, reply_to, length = struct.unpack(HEADER, head)
        data = self.read(length)
        if self.into:
            assert self.into.sign(head + data) == mac
        self.last_in = mac + head + data
        return handle, reply_to, src, data

    def answer_to(self, reply_to):
        """Waits for what comes to one of our handles."""
        while True:
            handle, dead, _, data = self.receive()
            if handle == reply_to:
                return data.decode() if dead == DEAD else pickle.loads(data)


# Each is given the peer, and the handle at which its call is answered; what it returns is the answer.


def claim_sources(peer, _):
    for src, auth in (BYSTANDER, BYSTANDER), (BYSTANDER, ME), (ME, BYSTANDER), (0, 0), (ME, 0), (99, 99), (0, ME):
        peer.send(LOG, b'forged\x0030\x00forged', src=src, auth=auth)
        peer.pickled(SERVICE, ('service', 'x', {}), src=src, auth=auth, reply_to=5000)
        peer.pickled(GET_PLAN, ('local', {}), src=src, auth=auth, reply_to=5000)
        peer.send(CALL, b'', src=src, auth=auth, dst=BYSTANDER)
        peer.send(SHUTDOWN, b'', src=src, auth=auth, dst=BYSTANDER)


def command_the_bystander(peer, _):
    """As itself, which it may do; it is refused there."""
    texts = []
    for handle in CALL, LOAD_MODULE, 200, 203, FORWARD_MODULE:
        peer.pickled(handle, (None, 'os', None, 'getpid', (), {}), dst=BYSTANDER, reply_to=5000 + handle)
        texts.append(peer.answer_to(5000 + handle))
    peer.send(SHUTDOWN, dst=BYSTANDER)
    return texts


def claim_routes(peer, _):
    for text in b'1', b'1:mine', b'0', b'0:mine', b'2', b'2:me', b'3', b'99', b'4294967295', b'4294967296', b'-1', b'x', b'', b':', b'1\0', b'99:' + b'x' * 100000:
        peer.send(ADD_ROUTE, text)
    peer.send(ADD_ROUTE, b'99', src=BYSTANDER)


def claim_what_its_siblings_will_be_given(peer, _):
    """To a parent that is not the controller; as itself, and as what it hopes to be taken for."""
    for n in range(3, 3000):
        peer.send(GRANT, b'%d:%d:%d' % (n, n + 1, ME), dst=BYSTANDER)
        peer.send(ADD_ROUTE, b'%d:mine' % n, dst=BYSTANDER)
    peer.send(GRANT, b'3:3000:2', src=0, dst=BYSTANDER)
    peer.send(GRANT, b'3:3000:2', dst=BYSTANDER, auth=0)


def delete_routes(peer, _):
    for text in b'1', b'0', b'2', b'99', b'1:local', b'', b'x':
        peer.send(DEL_ROUTE, text)
        peer.send(DEL_ROUTE, text, dst=BYSTANDER)


def answer_for_others(peer, _):
    for handle in list(range(1000, 1200)) + [1 << 31, (1 << 31) + 1]:
        peer.pickled(handle, 'forged')
        peer.send(handle, b'forged', reply_to=DEAD)
        peer.pickled(handle, 'forged', src=BYSTANDER)
        peer.send(handle, b'credit:99999999')


def call_its_parent(peer, _):
    texts = []
    for handle in CALL, SHUTDOWN, LOAD_MODULE, 200, 203:
        peer.pickled(handle, (None, 'os', None, 'getpid', (), {}), reply_to=6000 + handle)
        texts.append(peer.answer_to(6000 + handle))
    return texts


def flood(peer, _):
    for n in range(10):
        # Its own dead messages come back: it does not read them.
        reply_to = 7000 * (n < 1)
        piece = [peer.frame(handle, b'x' * 200, reply_to=reply_to) for handle in (5, 77777, 1 << 31, LOG, ADD_ROUTE) for _ in range(1000)]
        peer.write(b''.join(piece))


def name_many_handles(peer, _):
    """Each message wants its answer, or its credit, somewhere else."""
    for first in range(0, 100000, 5000):
        low = [peer.frame(77777, reply_to=1000 + n) for n in range(first, first + 2500)]
        high = [peer.frame(9000000, pickle.dumps(None, 2), enc=PICKLE, reply_to=(1 << 31) + n) for n in range(first, first + 2500)]
        peer.write(b''.join(low + high))
        drain(peer, .0)


def drain(peer, seconds):
    import select
    while select.select([0], [], [], seconds)[0]:
        peer.receive()


def ask_for_ids(peer, _):
    count = 0
    for _ in range(66):
        peer.write(b''.join([peer.frame(ALLOCATE_ID, reply_to=8000) for _ in range(1000)]))
        for _ in range(1000):
            count += not isinstance(peer.answer_to(8000), str)
    return count


def ask_for_plans(peer, _):
    texts = set()
    for _ in range(5000):
        peer.pickled(GET_PLAN, ('local', {}), reply_to=8000)
        answer = peer.answer_to_any(8000)
        if answer is not None:
            texts.add(answer)
    return sorted(texts)


def detach_twice(peer, _):
    for _ in range(3):
        peer.send(DETACHING, reply_to=8000)
    return peer.answer_to(8000)


def bad_bodies(peer, _):
    for handle in GET_MODULE, LOG, ADD_ROUTE, DEL_ROUTE, ALLOCATE_ID, DETACHING, SERVICE, GET_PLAN, 112:
        for data in b'', b'\0', b'\xff' * 1000, b'\x80\x02.', b'\x80\x02cos\nsystem\nU\x02ls\x85R.', b'(' * 100000, b'\x80\x02' + b']' * 100000 + b'.':
            for enc in PLAIN, PICKLE, 0x4D4B:
                peer.send(handle, data, enc=enc)
                peer.send(handle, data, enc=enc, reply_to=DEAD)


def doubling(count):
    """A list that holds itself twice, so many times over: small on the wire, large when it is written out."""
    text = b'\x80\x02]q\x00'
    for n in range(count):
        text += b']q' + bytes([n + 1]) + b'(h' + bytes([n]) + b'h' + bytes([n]) + b'e'
    return text + b'.'


BOMBS = {
    'memo': doubling(60),
    'dup': b'\x80\x02]' + b'2' * 50 + b'a' * 50 + b'.',
    'deep': b'\x80\x02' + b']' * 200000 + b'a' * 199999 + b'.',
    'marks': b'\x80\x02' + b'(' * 1000000 + b'.',
    'long': b'\x80\x02\x8b\xff\xff\xff\x7f.',
    'text': b'\x80\x02X\xff\xff\xff\xff.',
    'frame': b'\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.',
    'tuples': b'\x80\x02)' + b'\x85' * 200000 + b'.',
    'puts': b'\x80\x02Nr\xff\xff\xff\x7f.',
    'global': b'\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R.',
    'build': b'\x80\x02cmitogen.core\nContext\n)\x81}b.',
    'int': b'\x80\x02I' + b'9' * 1000000 + b'\n.',
    'error': b'\x80\x02cmitogen.core\nCallError\nX\x40\x42\x0f\x00' + b'x' * 1000000 + b'\x85R.',
    'empty': b'',
    'open': b'\x80\x02K\x01',
}


def bomb(peer, reply_to):
    peer.send(reply_to, BOMBS[sys.argv.pop(2)], enc=PICKLE)
    return stay


def corrupt(peer, _):
    kind = sys.argv[2]
    frame = peer.frame(LOG, b'a\x0030\x00text')
    if kind == 'mac':
        peer.write(bytes([frame[0] ^ 1]) + frame[1:])
    elif kind == 'payload':
        peer.write(frame[:-1] + b'T')
    elif kind == 'replayed':
        peer.write(frame + frame)
    elif kind == 'reordered':
        peer.write(peer.frame(LOG, b'a\x0030\x00second') + frame)
    elif kind == 'reflected':
        peer.write(peer.last_in)
    elif kind == 'dropped':
        peer.write(peer.frame(LOG, b'a\x0030\x00second'))
    elif kind == 'unsigned':
        peer.write(frame[20:] + b'\0' * 100)
    elif kind == 'truncated':
        peer.write(frame[:-5])
        sys.exit(3)
    elif kind == 'oversize':
        peer.write(peer.frame(LOG, b'x' * 100, length=0x7fffffff))
    elif kind == 'magic':
        head = struct.pack(HEADER, 0x1234, 0, ME, ME, LOG, 0, 0)
        peer.write(peer.out.sign(head) + head + b'\0' * 100)
    return stay


def leave(peer, reply_to):
    sys.exit(0)


# To be waited for and not answered.
stay = object()


def answer_to_any(peer, reply_to):
    """The class of error, or None for a value."""
    while True:
        handle, _, _, data = peer.receive()
        if handle == reply_to:
            return data.split(b'\n')[1].decode() if b'CallError' in data[:40] or b'call_error' in data[:60] else None


Peer.answer_to_any = answer_to_any


def main():
    peer = Peer()
    deed = globals()[sys.argv[1]]
    while True:
        handle, reply_to, _, data = peer.receive()
        if handle == SHUTDOWN:
            sys.exit(0)
        if handle == CALL:
            answer = deed(peer, reply_to)
            if answer is not stay:
                peer.pickled(reply_to, answer)


main()
