"""Frames: golden bytes, any split, and what is refused."""
import binascii
import unittest

import harness
from mitogen import core, failure, wire

LIMIT = 1 << 20
KEY = harness.KEY.encode()


def message(**kw):
    return core.Message(**dict(dict(dst_id=1, src_id=0, auth_id=0), **kw))


def stream(count=3, chain=None):
    return b''.join(wire.encode(message(handle=100 + i, reply_to=i, data=b'x' * i * 10), chain) for i in range(count))


class Frames(unittest.TestCase):
    def test_shutdown_is_upstreams(self):
        frame = wire.encode(message(handle=core.SHUTDOWN), None)
        self.assertEqual(binascii.hexlify(frame), b'4d4900000001000000000000' b'00000000006a0000000000000000')

    def test_dead_reply_is_upstreams(self):
        msg = core.Message.dead('no route to 9, my ID is 7', dst_id=0, src_id=7, auth_id=7, handle=5002)
        expected = '4d490000000000000007000000070000138a000003e700000019' + binascii.hexlify(b'no route to 9, my ID is 7').decode()
        self.assertEqual(binascii.hexlify(wire.encode(msg, None)).decode(), expected)

    def test_chain_is_that_of_2017(self):
        chain = wire.Chain(KEY, None)
        mac = chain.mac(binascii.unhexlify('0001000000000065000003e800000003616263'))
        self.assertEqual(binascii.hexlify(mac), b'8b9d1ae9e9e3b1eab83dfd09b526aa85b0e03209')
        mac = chain.mac(binascii.unhexlify('0001000000000065000003e900000000'))
        self.assertEqual(binascii.hexlify(mac), b'92de38520bfc9949d506a962b7470269b8e26b39')

    def test_a_direction_has_its_own_key(self):
        import hashlib
        import hmac
        label = 'mitogen parent to child'
        key = hmac.new(KEY, label.encode(), hashlib.sha1).digest()
        chain = wire.Chain(KEY, label)
        self.assertEqual(chain.mac(b'abc'), hmac.new(key, b'abc', hashlib.sha1).digest())

    def test_chain_survives_the_change_of_implementation(self):
        import hashlib
        import hmac
        chain = wire.Chain(KEY, None)
        oracle = hmac.new(KEY, b'', hashlib.sha1)
        for size in (1, 65535, 1, 200000, 3):
            oracle.update(b'z' * size)
            self.assertEqual(chain.mac(b'z' * size), oracle.digest())

    def test_any_split_gives_the_same_messages(self):
        for key in (None, 'x'):
            data = stream(chain=key and wire.Chain(KEY, key))
            for cut in range(len(data)):
                decoder = wire.Decoder(key and wire.Chain(KEY, key), LIMIT)
                got = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
                self.assertEqual([(m.handle, m.reply_to, len(m.data)) for m in got], [(100, 0, 0), (101, 1, 10), (102, 2, 20)])
            decoder = wire.Decoder(key and wire.Chain(KEY, key), LIMIT)
            got = []
            for i in range(len(data)):
                got += decoder.feed(data[i:i + 1])
            self.assertEqual(len(got), 3)

    def test_every_flipped_byte_of_a_signed_frame_is_noticed(self):
        data = stream(2, wire.Chain(KEY, 'x'))
        for i in range(len(data)):
            bad = data[:i] + (b'\0' if data[i:i + 1] != b'\0' else b'\1') + data[i + 1:]
            decoder = wire.Decoder(wire.Chain(KEY, 'x'), 100)
            try:
                self.assertTrue(len(decoder.feed(bad)) < 2)
                # A length that grew: the frame is not complete yet.
                self.assertRaises(core.StreamError, decoder.feed, b'y' * 200)
            except core.StreamError:
                pass

    def test_reflected_repeated_and_reordered_frames_are_refused(self):
        frames = []
        chain = wire.Chain(KEY, 'x')
        for i in range(2):
            frames.append(wire.encode(message(handle=i), chain))
        for data, label in ((frames[0], 'y'), (frames[0] * 2, 'x'), (frames[1], 'x')):
            self.assertRaises(core.StreamError, wire.Decoder(wire.Chain(KEY, label), LIMIT).feed, data)

    def test_bad_magic_and_oversize_are_refused_before_the_body_comes(self):
        self.assertRaises(core.StreamError, wire.Decoder(None, LIMIT).feed, b'XX' + b'\0' * 24)
        frame = wire.encode(message(data=b'x' * 11), None)
        self.assertRaises(core.StreamError, wire.Decoder(None, 10).feed, frame[:26])


class Pickles(unittest.TestCase):
    def test_upstreams_call_is_read(self):
        data = binascii.unhexlify('8002284e58020000006f7371004e5806000000676574706964710129636d69746f67656e2e636f72650a4b77617267730a71027d71038571045271057471062e')
        self.assertEqual(core.loads(data), (None, 'os', None, 'getpid', (), {}))
        self.assertTrue(isinstance(core.loads(data)[5], core.Kwargs))

    def test_special_values_survive(self):
        for value in (core.Blob(b'a\xffb'), core.Secret(core.to_text('s')), core.Kwargs({'a': 1}), b'', b'\xff', [b'x', b'']):
            got = core.loads(core.dumps(value, 2))
            self.assertEqual(got, value)
            self.assertEqual(type(got), type(value))

    def test_call_error_travels(self):
        got = core.loads(core.dumps(core.CallError('a.B: c'), 2))
        self.assertTrue(isinstance(got, core.CallError))
        self.assertEqual(str(got), 'a.B: c')

    def test_other_globals_are_refused(self):
        for module, name in ((b'os', b'system'), (b'mitogen.core', b'to_text'), (b'builtins', b'eval'), (b'_codecs', b'lookup')):
            msg = core.Message(enc=core.ENC_PICKLE, data=b'\x80\x02c' + module + b'\n' + name + b'\n.')
            self.assertRaises(core.StreamError, msg.unpickle)

    def test_garbage_is_a_stream_error(self):
        for data in (b'', b'garbage', b'\x80\x02]q', b'\x80\x09.'):
            self.assertRaises(core.StreamError, core.Message(data=data).unpickle)

    def test_raw_bytes_are_not_unpickled(self):
        self.assertRaises(ValueError, core.Message(enc=core.ENC_BYTES, data=b'N.').unpickle)

    def test_long_errors_are_cut(self):
        error = failure.call_error(ValueError, ValueError('x' * 20000), None)
        self.assertTrue(len(error.args[0]) < 10000)
        core.loads(core.dumps(error, 2))

    def test_an_exception_that_cannot_be_shown_is_reported(self):
        class Mean(Exception):
            def __str__(self):
                raise ValueError()
            __repr__ = __str__
        self.assertTrue(failure.call_error(Mean, Mean(), None).args[0].endswith('Mean: ?'))


if __name__ == '__main__':
    unittest.main()
