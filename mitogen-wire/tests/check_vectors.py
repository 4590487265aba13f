"""Checks the golden bytes in tests/vectors against struct, hmac and pickle of the Python that runs it.

Independent of the Rust code: it writes each frame from its fields, signs it, and compares.
Python 2.7 and 3; no dependencies. Prints how many vectors agree; exits 1 at the first that does not.
"""
from __future__ import print_function

import binascii
import hashlib
import hmac
import io
import os
import struct
import sys

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'vectors')
MAGIC = {'implied': 0x4D49, 'pickle': 0x4D4A, 'raw': 0x4D4B}
REPLY = {'nobody': 0, 'dead': 999}


def records(name):
    """Yields the records of a vector file as lists of (field, value): see vectors/README.md."""
    record = []
    with io.open(os.path.join(VECTORS, name), encoding='ascii') as f:
        for line in list(f) + ['']:
            line = line.strip()
            if line.startswith('#'):
                continue
            if line:
                field, _, value = line.partition(':')
                record.append((field.strip(), value.strip()))
            elif record:
                yield record
                record = []


def unhex(text):
    return binascii.unhexlify(text.replace(' ', '').encode('ascii'))


def write_frame(layout, text):
    fields = dict(word.split('=', 1) for word in text.split())
    payload = unhex(fields['payload'])
    reply = fields['reply']
    reply = REPLY[reply] if reply in REPLY else int(reply)
    dst, src, auth, handle = [int(fields[k]) for k in ('dst', 'src', 'auth', 'handle')]
    if layout == 'wide':
        head = struct.pack('>HLLLLLL', MAGIC[fields['encoding']], dst, src, auth, handle, reply, len(payload))
    else:
        head = struct.pack('>hhLLL', dst, src, handle, reply, len(payload))
    return head + payload


def chain(key, layout, direction):
    """The running HMAC of one direction; wide frames derive a key for each."""
    key = key.encode('ascii')
    if layout == 'wide':
        label = 'mitogen ' + direction.replace('-', ' ')
        key = hmac.new(key, label.encode('ascii'), hashlib.sha1).digest()
    return hmac.new(key, digestmod=hashlib.sha1)


def check_frames():
    count = 0
    for record in records('frames.txt'):
        head = dict(record[:4])
        running = None
        if head['key'] != 'none':
            running = chain(head['key'], head['layout'], head['direction'])
        for (kind, text), (_, expected) in zip(record[4::2], record[5::2]):
            assert kind == 'frame', (head['name'], kind)
            frame = write_frame(head['layout'], text)
            if running is not None:
                running.update(frame)
                frame = running.digest() + frame
            assert frame == unhex(expected), (head['name'], binascii.hexlify(frame))
            count += 1
    return count


def check_chain():
    count = 0
    for record in records('chain.txt'):
        running = None
        for field, value in record:
            if field == 'key':
                running = hmac.new(value.encode('ascii'), digestmod=hashlib.sha1)
            elif field == 'signed':
                running.update(unhex(value))
            elif field == 'mac':
                assert running.digest() == unhex(value), (record[0], value)
                count += 1
    return count


class Stub(object):
    """Stands for what a pickle calls: keeps its name and its arguments."""

    def __init__(self, name, args):
        self.shape = (name, args)

    def __eq__(self, other):
        return self.shape == getattr(other, 'shape', None)


def loads(data):
    """Unpickles with every global but _codecs.encode and bytes replaced by a Stub."""
    import pickle

    class Unpickler(pickle.Unpickler, object):
        def find_class(self, module, name):
            if (module, name) == ('_codecs', 'encode'):
                return lambda text, _: text.encode('latin-1')
            if (module, name) in (('__builtin__', 'bytes'), ('builtins', 'bytes')):
                return bytes
            return lambda *args: Stub(module + '.' + name, args)

        if sys.version_info < (3,):
            # Python 2's pure pickle looks the method up in a table.
            def load_reduce(self):
                stack = self.stack
                args = stack.pop()
                stack[-1] = stack[-1](*args)
            dispatch = dict(pickle.Unpickler.dispatch)
            dispatch[pickle.REDUCE] = load_reduce

    if sys.version_info > (3,):
        return Unpickler(io.BytesIO(data), encoding='bytes').load()
    return Unpickler(io.BytesIO(data)).load()


def check_pickles():
    count = 0
    for record in records('pickles.txt'):
        fields = dict(record)
        value = loads(unhex(fields['bytes']))
        expected = eval(fields['value'], {'Stub': Stub})  # our own file
        assert value == expected, (fields['name'], value, expected)
        count += 1
    return count


if __name__ == '__main__':
    print('%d frames, %d chained MACs, %d pickles agree' % (check_frames(), check_chain(), check_pickles()))
