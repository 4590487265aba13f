"""What waits in a link among others: control overtakes bulk, nobody overtakes himself, and the signature holds whatever goes first."""
import os
import random
import unittest

import harness
from mitogen import core, stream, wire
from mitogen.tree import ADD_ROUTE, DEL_ROUTE, GRANT


class FakeBroker(object):
    def __init__(self):
        self.pending = []
        self.deferred = []
        self.router = self

    # Also the router.
    parent = None
    complain = 'complain'

    def wake(self):
        pass

    def defer(self, fn, *args):
        self.deferred.append((fn,) + args)


class Lanes(unittest.TestCase):
    def setUp(self):
        self.reader, self.writer = os.pipe()
        import fcntl
        fcntl.fcntl(self.writer, fcntl.F_SETFL, os.O_NONBLOCK)
        self.broker = FakeBroker()
        self.link = stream.Link(self.broker, -1, self.writer, (None, wire.Chain(harness.KEY.encode(), 'x')), 1 << 30)
        self.link.grow(9)
        self.link.grow_link()
        self.decoder = wire.Decoder(wire.Chain(harness.KEY.encode(), 'x'), 1 << 30)

    def tearDown(self):
        for fd in (self.reader, self.writer):
            os.close(fd)

    def frame(self, src, dst, handle, size):
        return wire.encode(core.Message(src_id=src, auth_id=src, dst_id=dst, handle=handle, data=b'x' * size), None)

    def put(self, *frames):
        for frame in frames:
            self.link.forward(self.frame(*frame))

    def drain(self):
        got = []
        while self.link.queued:
            self.link.flush()
            got += self.decoder.feed(os.read(self.reader, 1 << 20))
        self.assertEqual((self.link.talks, len(self.link.bulk), len(self.link.small)), ({}, 0, 0))
        return [(m.src_id, m.dst_id, m.handle) for m in got]

    def clog(self):
        """Fills what is signed at once."""
        self.put((5, 5, 5, 200000))
        return (5, 5, 5)

    def order(self, *frames):
        first = self.clog()
        self.put(*frames)
        got = self.drain()
        self.assertEqual(got.pop(0), first)
        return [[frame[:3] for frame in frames].index(item) for item in got]

    def test_small_ones_pass_the_bulk_of_others_but_not_of_their_own_conversation(self):
        self.assertEqual(self.order((0, 1, 101, 100000), (0, 2, 101, 10)), [1, 0])
        self.assertEqual(self.order((0, 1, 101, 100000), (0, 1, 102, 10)), [0, 1])
        self.assertEqual(self.order((0, 1, 101, 100000), (0, 2, 101, 5000)), [0, 1])

    def test_a_route_comes_before_what_it_is_for_and_goes_after_it(self):
        self.assertEqual(self.order((2, 0, 1000, 100000), (2, 1, 100, 5000), (2, 1, ADD_ROUTE, 9), (9, 0, 1001, 10), (2, 1, DEL_ROUTE, 1)), [2, 3, 0, 1, 4])
        self.assertEqual(self.order((9, 0, 1001, 100000), (2, 1, DEL_ROUTE, 1)), [0, 1])
        self.assertEqual(self.order((0, 1, 107, 100000), (0, 1, GRANT, 9), (0, 3, 1001, 10)), [1, 2, 0])

    def test_a_flood_of_small_ones_does_not_hold_bulk_up_for_ever(self):
        self.clog()
        self.put((0, 1, 77, 100000), *[(0, 2, 78, 1000)] * 500)
        place = self.drain().index((0, 1, 77))
        self.assertTrue(0 < place < 70, place)

    def test_no_conversation_is_ever_reordered(self):
        dice = random.Random(3)
        numbers = {}
        sent = 0
        got = []
        while sent < 3000:
            for _ in range(dice.randrange(40)):
                talk = dice.randrange(4), dice.randrange(4)
                numbers[talk] = numbers.get(talk, 999) + 1
                self.put(talk + (numbers[talk], dice.choice([10, 4096, 4097, 90000])))
                sent += 1
            self.link.flush()
            got += self.decoder.feed(os.read(self.reader, dice.randrange(1, 1 << 18)))
        while self.link.queued:
            self.link.flush()
            got += self.decoder.feed(os.read(self.reader, 1 << 20))
        self.assertEqual(len(got), sent)
        seen = {}
        for msg in got:
            talk = msg.src_id, msg.dst_id
            self.assertEqual(msg.handle, seen.get(talk, 999) + 1)
            seen[talk] = msg.handle

    def test_too_much_is_the_end_of_the_link(self):
        for _ in range(700):
            self.put((0, 1, 77, 100000))
        self.assertTrue(self.link.dead)
        self.assertEqual((self.link.queued, len(self.link.bulk)), (0, 0))
        self.assertEqual([call[0] for call in self.broker.deferred], ['complain'])
        self.put((0, 1, 77, 100000))
        self.assertEqual(self.link.queued, 0)

    def test_one_message_may_be_longer_than_the_queue(self):
        self.put((0, 1, 77, stream.QUEUE + 1), (0, 1, 77, 10))
        self.assertFalse(self.link.dead)


if __name__ == '__main__':
    unittest.main()
