"""The output queue: order, partial writes, a dead reader."""
import os
import threading
import unittest

import harness
from mitogen import core, wire
from mitogen.link import Link


class FakeBroker(object):
    reading = True

    def __init__(self):
        self.woken = 0

    def wake(self):
        self.woken += 1


class Queue(unittest.TestCase):
    def setUp(self):
        self.reader, self.writer = os.pipe()
        import fcntl
        fcntl.fcntl(self.writer, fcntl.F_SETFL, os.O_NONBLOCK)
        self.broker = FakeBroker()
        self.link = Link(self.broker, -1, self.writer, (None, wire.Chain(harness.KEY.encode(), 'x')), 1 << 30)
        self.decoder = wire.Decoder(wire.Chain(harness.KEY.encode(), 'x'), 1 << 30)

    def tearDown(self):
        for fd in (self.reader, self.writer):
            try:
                os.close(fd)
            except OSError:
                pass

    def send(self, handle, size=0):
        self.link.send(core.Message(dst_id=0, src_id=1, auth_id=1, handle=handle, data=b'x' * size))

    def drain(self, count):
        got = []
        while len(got) < count:
            got += self.decoder.feed(os.read(self.reader, 65536))
            self.link.flush()
        return got

    def test_what_more_will_follow_waits_for_that_and_wakes_nobody_who_looks_anyway(self):
        self.link.lazy = True
        self.send(1)
        self.assertEqual((self.link.queued > 0, self.broker.woken), (True, 1))
        self.broker.reading = False
        self.send(2)
        self.assertEqual(self.broker.woken, 1)
        self.link.lazy = False
        self.send(3)
        self.assertEqual((self.link.queued, self.broker.woken), (0, 1))
        self.assertEqual([m.handle for m in self.drain(3)], [1, 2, 3])

    def test_what_more_will_follow_does_not_wait_for_ever(self):
        self.broker.reading = False
        self.link.lazy = True
        for handle in range(1, 300):
            self.send(handle, 100)
        self.assertTrue(0 < self.link.queued < 20000)
        self.link.lazy = False
        self.send(300)
        self.assertEqual([m.handle for m in self.drain(300)], list(range(1, 301)))

    def test_a_small_message_leaves_at_once(self):
        self.send(1)
        self.assertEqual((self.link.queued, self.broker.woken), (0, 0))
        self.assertEqual([m.handle for m in self.drain(1)], [1])

    def test_what_the_kernel_does_not_take_is_queued_in_order(self):
        self.send(1, 1000000)
        self.send(2)
        self.assertTrue(self.link.queued > 0 and self.broker.woken)
        self.assertEqual([(m.handle, len(m.data)) for m in self.drain(2)], [(1, 1000000), (2, 0)])
        self.assertEqual((self.link.queued, self.link.queue), (0, []))

    def test_many_threads_keep_the_chain_whole(self):
        threads = [threading.Thread(target=lambda: [self.send(7, 3000) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        self.assertEqual(len(self.drain(200)), 200)
        for thread in threads:
            thread.join()

    def test_a_dead_reader_kills_the_link_not_the_sender(self):
        os.close(self.reader)
        self.send(1)
        self.assertTrue(self.link.dead and self.broker.woken)
        self.send(2)
        self.assertEqual((self.link.queued, self.link.queue), (0, []))

    def test_a_fork_says_nothing(self):
        self.link.pid = -1
        self.send(1)
        self.link.pid = os.getpid()
        self.send(2)
        self.assertEqual([m.handle for m in self.drain(1)], [2])


if __name__ == '__main__':
    unittest.main()
