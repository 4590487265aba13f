"""Long frames that follow each other: whatever is between them and however they are split, what was sent comes, in order; a corrupt one ends the link."""
import fcntl
import os
import random
import unittest

import harness
from mitogen import bulk, core, messages, stream, wire

DIRECT = 5000


class FakeBroker(object):
    def __init__(self):
        self.router = self
        self.pending = []
        self.logged = []

    # Also the router.
    def log(self, name, level, text):
        self.logged.append(text)

    def way(self, dst, src, auth, link):
        return None

    def handle_message(self, msg, link):
        self.got.append(msg)

    def wake(self):
        pass


class LongFrames(unittest.TestCase):
    def setUp(self):
        bulk.direct.add(DIRECT)

    def tearDown(self):
        bulk.direct.discard(DIRECT)

    def open(self, signed):
        self.reader, self.writer = os.pipe()
        for fd in self.reader, self.writer:
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        self.broker = FakeBroker()
        chains = [signed and wire.Chain(harness.KEY.encode(), 'x') or None for _ in range(2)]
        self.chain = chains[1]
        self.link = bulk.Link(self.broker, self.reader, -1, (chains[0], None), 1 << 20)
        self.link.decoder.__class__ = bulk.Decoder

    def close(self):
        os.close(self.writer)
        os.close(self.reader)

    def send(self, frames, receive, most=40000):
        """Writes frames in pieces, and has them read now and then."""
        data = b''.join([wire.encode(core.Message(src_id=0, auth_id=0, dst_id=1, enc=enc, handle=handle, data=data), self.chain) for handle, enc, data in frames])
        got = []
        while data and not self.link.dead:
            try:
                data = data[os.write(self.writer, data[:self.draw.randint(1, most)]):]
            except OSError:
                # It is full.
                got += receive()
            while self.draw.randint(0, 3) and not self.link.dead:
                got += receive()
        for _ in range(200):
            if self.link.dead:
                break
            got += receive()
        return got

    def receive(self):
        got = []
        for msg in self.link.receive():
            # Given back as soon as it is taken: the next frame may be read to the same place.
            data = msg.data
            got.append((msg.handle, msg.enc, core.BytesType(getattr(data, 'tobytes', lambda: data)())))
            bulk.recycle(data)
        return got

    def frames(self, count):
        sizes = [self.draw.choice([32768, 50000, 60000])] * 6 + [0, 1, 32767, 32768, self.draw.randint(1, 100000)]
        kinds = [(DIRECT, core.ENC_BYTES)] * 4 + [(DIRECT, core.ENC_PICKLE), (7, core.ENC_BYTES), (7, core.ENC_PLAIN)]
        frames = []
        for _ in range(count):
            handle, enc = self.draw.choice(kinds)
            size = self.draw.choice(sizes)
            frames.append((handle, enc, (b'%04d' % self.draw.randint(0, 9999) * (size // 4 + 1))[:size]))
        return frames

    def test_what_was_sent_comes(self):
        for seed in range(20):
            self.draw = random.Random(seed)
            self.open(seed % 2)
            frames = self.frames(25)
            self.assertEqual(self.send(frames, self.receive), frames, seed)
            self.assertFalse(self.link.dead)
            self.close()

    def test_nothing_is_lost_when_the_link_becomes_one_among_others_within_a_frame(self):
        for seed in range(20):
            self.draw = random.Random(seed)
            self.open(seed % 2)
            self.broker.got = got = []
            before, after = self.frames(12), self.frames(6)
            grown = []

            def receive():
                if grown:
                    self.link.handle_readable()
                    return []
                if len(taken) > 8 and getattr(self.link.decoder, 'filled', 1):
                    self.link.__class__ = stream.Link
                    self.link.grow(0)
                    self.link.grow_link()
                    grown.append(1)
                    return []
                found = self.receive()
                taken.extend(found)
                return found

            taken = []
            first = self.send(before, receive)
            if not grown:
                self.close()
                continue
            self.send(after, receive)
            later = [(msg.handle, msg.enc, core.BytesType(msg.data)) for msg in got]
            self.assertEqual(first + later, before + after, seed)
            self.close()

    def test_a_forged_one_ends_the_link(self):
        self.draw = random.Random(1)
        self.open(True)
        frames = [(DIRECT, core.ENC_BYTES, b'a' * 50000)] * 4
        self.assertEqual(len(self.send(frames, self.receive)), 4)
        self.chain = None
        forged = [(DIRECT, core.ENC_BYTES, b'b' * 50020)]
        self.assertEqual(self.send(forged, self.receive), [])
        self.assertTrue(self.link.dead)
        self.assertEqual(len(self.broker.logged), 1)
        self.close()

    def test_the_chain_may_change_to_another_sha_1_while_places_are_used_again(self):
        self.draw = random.Random(3)
        kept = wire.fast[:], wire.start_new_thread
        del wire.fast[:]
        wire.start_new_thread = lambda fn, args: None
        try:
            self.open(True)
            frames = [(DIRECT, core.ENC_BYTES, str(i % 10).encode() * 50000) for i in range(12)]
            self.assertEqual(self.send(frames, self.receive), frames)
            wire.find_fast()
            self.assertEqual(self.send(frames, self.receive), frames)
        finally:
            wire.fast[:], wire.start_new_thread = kept
        self.close()

    def test_no_more_places_are_kept_than_are_of_use(self):
        self.draw = random.Random(2)
        self.open(False)
        self.send([(DIRECT, core.ENC_BYTES, b'x' * 40000)] * 60, self.receive)
        self.assertLessEqual(len(bulk.places), bulk.PLACES)
        self.close()

    def test_a_value_in_pieces_is_the_same_message(self):
        if not bulk.view:
            # There they are joined.
            return
        for signed in False, True:
            chains = [signed and wire.Chain(harness.KEY.encode(), 'x') or None for _ in range(2)]
            reader, writer = os.pipe()
            link = bulk.Link(FakeBroker(), -1, writer, (None, chains[0]), 1 << 20)
            decoder = wire.Decoder(chains[1], 1 << 20)
            # Underway the chain goes over to another SHA-1.
            for i in range(6):
                pieces = [b'<', str(i).encode() * 40000, b'>']
                msg = messages.LongMessage(src_id=1, auth_id=1, handle=7, enc=core.ENC_PICKLE, pieces=pieces)
                link.send(msg)
                self.assertEqual(link.queued, 0)
                got, = decoder.feed(os.read(reader, 65536))
                self.assertEqual((got.handle, got.data), (7, b''.join(pieces)))
                self.assertEqual((msg.size(), msg.data, msg.size()), (40002, got.data, 40002))
                if i == 3:
                    wire.find_fast()
            os.close(reader)
            os.close(writer)

    def test_a_pipe_is_made_to_hold_more_and_nothing_else_minds(self):
        reader, writer = os.pipe()
        try:
            before = fcntl.fcntl(reader, bulk.SETPIPE_SZ + 1)
        except EnvironmentError:
            # Only Linux can say, and widen.
            before = None
        bulk.widen(reader)
        if before:
            self.assertGreater(fcntl.fcntl(reader, bulk.SETPIPE_SZ + 1), before)
        os.close(reader)
        os.close(writer)
        bulk.widen(reader)


if __name__ == '__main__':
    unittest.main()
