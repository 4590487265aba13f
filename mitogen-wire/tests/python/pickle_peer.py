"""The other side of `real_pythons_and_we_read_each_others_pickles`: runs on CPython 2.7 and 3.

Standard input: the word `echo` or `make`, a line feed, then
    echo: frames, each a pickle written by us. Answered with what we mean by it and how CPython pickles it.
    make: a seed and a count, in decimal, one a line. Answered the same for values of CPython's own.
An answer is a frame with the canonical text of the value, a byte with the number of pickles, and a frame for each.
A frame is a 32-bit big endian length and that many bytes.
"""
import binascii
import io
import pickle
import random
import struct
import sys
import types

PY3 = sys.version_info[0] == 3
if PY3:
    long = int
    unicode = str
    unichr = chr
    PICKLERS = [(pickle.Pickler, 2), (pickle._Pickler, 2), (pickle.Pickler, 3), (pickle._Pickler, 3)]
else:
    import cPickle
    PICKLERS = [(pickle.Pickler, 2), (cPickle.Pickler, 2)]


# Stand-ins for the types of mitogen.core that may stand in a pickle.
class Blob(bytes):
    def __reduce__(self):
        return (Blob, (bytes(self),))


class Secret(unicode):
    def __reduce__(self):
        return (Secret, (unicode(self),))


class Kwargs(dict):
    def __reduce__(self):
        return (Kwargs, (dict(self),))


class Record(object):
    def __init__(self, *fields):
        self.fields = fields

    def __reduce__(self):
        return (self.build, self.fields)


class CallError(Record):
    pass


class Context(Record):
    pass


class Sender(Record):
    pass


def _unpickle_call_error(text):
    return CallError(text)


def _unpickle_context(context_id, name):
    return Context(context_id, name)


def _unpickle_sender(context_id, handle):
    return Sender(context_id, handle)


CallError.build = staticmethod(_unpickle_call_error)
Context.build = staticmethod(_unpickle_context)
Sender.build = staticmethod(_unpickle_sender)
core = types.ModuleType('mitogen.core')
sys.modules['mitogen'] = types.ModuleType('mitogen')
sys.modules['mitogen'].core = core
sys.modules['mitogen.core'] = core
for thing in (Blob, Secret, Kwargs, CallError, _unpickle_call_error, _unpickle_context, _unpickle_sender):
    thing.__module__ = 'mitogen.core'
    thing.__qualname__ = thing.__name__
    setattr(core, thing.__name__, thing)


def hexed(data):
    return binascii.hexlify(data).decode('ascii')


def canon(v):
    """Text that is equal for equal values, whatever the Python."""
    if v is None:
        return 'N'
    if v is True:
        return 'T'
    if v is False:
        return 'F'
    if isinstance(v, Record):
        return type(v).__name__ + '(' + ','.join([canon(f) for f in v.fields]) + ')'
    if isinstance(v, Blob):
        return 'Blob(s' + hexed(bytes(v)) + ')'
    if isinstance(v, Secret):
        return 'Secret(u' + hexed(unicode(v).encode('utf-8')) + ')'
    if isinstance(v, (int, long)):
        return 'i%d' % v
    if isinstance(v, float):
        return 'f' + hexed(struct.pack('>d', v))
    if isinstance(v, bytes):
        return 's' + hexed(v)
    if isinstance(v, unicode):
        return 'u' + hexed(v.encode('utf-8'))
    if isinstance(v, list):
        return '[' + ','.join([canon(x) for x in v]) + ']'
    if isinstance(v, tuple):
        return '(' + ','.join([canon(x) for x in v]) + ')'
    if isinstance(v, dict):
        pairs = sorted(canon(k) + ':' + canon(x) for k, x in v.items())
        return (type(v).__name__ if type(v) is not dict else '') + '{' + ','.join(pairs) + '}'
    raise TypeError(type(v))


def random_value(rng, depth, pool):
    """Any value, often one that stands elsewhere too."""
    if pool and rng.random() < 0.25:
        return rng.choice(pool)
    kind = rng.randrange(17 if depth > 0 else 9)
    n = rng.randrange(5)
    if kind == 0:
        v = rng.choice([None, True, False, (), [], {}])
    elif kind == 1:
        v = rng.choice([0, 1, -1, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, -2 ** 31, -2 ** 31 - 1, 2 ** 40,
                        2 ** 63 - 1, 2 ** 63, -2 ** 63, -2 ** 63 - 1, 2 ** 64, 10 ** 30, -10 ** 700, 10 ** 700])
    elif kind == 2:
        v = rng.getrandbits(rng.randrange(1, 200)) * rng.choice([1, -1])
    elif kind == 3:
        v = rng.choice([0.0, -0.0, 1.5, float('inf'), float('-inf'), 5e-324, 1.7976931348623157e308, rng.random()])
    elif kind in (4, 5):
        v = bytes(bytearray(rng.randrange(256) for _ in range(rng.choice([0, 1, 5, 255, 256, 300]))))
    elif kind in (6, 7):
        v = u''.join(rng.choice([u'a', u'\n', u'\\', u'\0', unichr(0xe9), unichr(0x20ac), u'\U0001f600', u'\u2028'])
                     for _ in range(rng.choice([0, 1, 5, 300])))
    elif kind == 8:
        v = rng.choice([Blob(b'\0\xff\x80blob'), Blob(b''), Secret(u'geheim'), Context(rng.randrange(9), None),
                        Context(7, u'caf' + unichr(0xe9)), Sender(3, 1000), CallError(u'builtins.E: ' + unichr(0x20ac))])
    elif kind in (9, 10, 11):
        v = []
        pool.append(v) if rng.random() < 0.5 and depth == 1 else None
        v.extend([random_value(rng, depth - 1, pool) for _ in range(n)] if v not in pool else [n] * n)
    elif kind in (12, 13):
        v = tuple(random_value(rng, depth - 1, pool) for _ in range(n))
    elif kind == 14:
        v = Kwargs((k, random_value(rng, depth - 1, pool)) for k in [u'a', u'b', u'caf'][:n])
        if not PY3:
            v = Kwargs((k, x) for k, x in v.items())
    elif kind == 15:
        v = [random_value(rng, 0, pool)] * 1200 if rng.random() < 0.05 else [1]
    else:
        keys = [u'k%d' % i for i in range(n)] + [b'raw', 5, None, (1, u'x'), 1.5, -2 ** 70]
        rng.shuffle(keys)
        v = dict((k, random_value(rng, depth - 1, pool)) for k in keys[:n])
    pool.append(v)
    return v


def pickles(v):
    for cls, protocol in PICKLERS:
        for fast in (False, True):
            out = io.BytesIO()
            # Python 2's pure pickler cannot do without its memo for types that reduce.
            pickler = cls(out, protocol)
            if fast:
                pickler.fast = True
            pickler.dump(v)
            yield out.getvalue()


def frame(data):
    return struct.pack('>L', len(data)) + data


def main():
    stdin = getattr(sys.stdin, 'buffer', sys.stdin)
    stdout = getattr(sys.stdout, 'buffer', sys.stdout)
    data = stdin.read()
    mode, _, data = data.partition(b'\n')
    values = []
    if mode == b'make':
        seed, count = [int(n) for n in data.split()]
        rng = random.Random(seed)
        for _ in range(count):
            values.append(random_value(rng, 4, []))
    else:
        at = 0
        while at < len(data):
            length = struct.unpack('>L', data[at:at + 4])[0]
            one = data[at + 4:at + 4 + length]
            at += 4 + length
            if PY3:
                values.append(pickle.loads(one, encoding='bytes'))
                # The pure unpickler has an opinion of its own.
                assert canon(pickle._loads(one, encoding='bytes')) == canon(values[-1])
            else:
                values.append(cPickle.loads(one))
                assert canon(pickle.loads(one)) == canon(values[-1])
    out = []
    for v in values:
        made = list(pickles(v))
        out.append(frame(canon(v).encode('ascii')) + struct.pack('>B', len(made)) + b''.join([frame(p) for p in made]))
    stdout.write(b''.join(out))


main()
