"""A slow receiver holds its senders up, and nobody else."""
import gc
import threading
import time
import unittest

import harness  # noqa: F401
from harness import core
from mitogen import api, credit
from test_api import Controller
from test_family import Case

USER = '''
import mitogen.core

def pump(sender, count, size):
    for i in range(count):
        sender.send(mitogen.core.Blob(b'x' * size))
    sender.close()
    return 'done'

def slow(context, count, size, router):
    """Takes what another context pumps; returns (messages, most bytes that ever waited)."""
    receiver = mitogen.core.Receiver(router)
    call = context.call_async(pump, receiver.to_sender(), count, size)
    import time
    time.sleep(.3)
    most = got = 0
    for msg in receiver:
        most = max(most, receiver.size() * size)
        got += 1
    return got, most, call.get().unpickle()
mitogen.core.takes_router(slow)

def closing(context, router):
    """Closes its receiver while another context waits for credit."""
    receiver = mitogen.core.Receiver(router)
    call = context.call_async(pump, receiver.to_sender(), 100, 100000)
    receiver.get()
    receiver.close()
    return call.get().unpickle()
mitogen.core.takes_router(closing)
'''


class Net(object):
    """Two routers' worth of delivery in one place: messages to 0 are ours, those to 9 are kept."""

    def __init__(self):
        self.handlers = {}
        self.context_id = 0
        self.sent = []

    def context_by_id(self, context_id, name=None):
        return core.Context(self, context_id, name)

    def route(self, msg):
        msg.src_id = 0
        self.sent.append(msg)

    def answer(self, sender, text):
        self.handlers[sender.credit.handle][0](core.Message(data=text.encode()))


class Sending(unittest.TestCase):
    def setUp(self):
        self.net = Net()
        self.sender = core.Sender(self.net.context_by_id(9), 1005)
        self.patience = credit.PATIENCE
        credit.PATIENCE = .2

    def tearDown(self):
        credit.PATIENCE = self.patience

    def fill(self):
        while self.sender.credit is None or self.sender.credit.sent < credit.WINDOW:
            self.sender.send(core.Blob(b'x' * 100000))

    def test_every_message_names_the_handle_for_credit(self):
        self.sender.send(1)
        self.sender.send(2)
        handles = set(msg.reply_to for msg in self.net.sent)
        self.assertEqual(handles, set([self.sender.credit.handle]))
        self.assertTrue(self.sender.credit.handle >= 1 << 31)

    def test_a_full_window_waits_for_credit(self):
        self.fill()
        count = len(self.net.sent)
        self.net.answer(self.sender, 'credit:0')
        thread = threading.Thread(target=self.sender.send, args=(1,))
        thread.start()
        time.sleep(.5)
        self.assertEqual(len(self.net.sent), count)
        self.net.answer(self.sender, 'nonsense')
        self.net.answer(self.sender, 'credit:131072')
        thread.join(10)
        self.assertEqual(len(self.net.sent), count + 1)

    def test_who_never_gives_credit_is_waited_for_once(self):
        self.fill()
        started = time.time()
        self.sender.send(1)
        self.assertTrue(.1 < time.time() - started)
        for _ in range(30):
            self.sender.send(core.Blob(b'x' * 100000))

    def test_a_dead_answer_ends_it(self):
        self.sender.send(1)
        self.net.handlers[self.sender.credit.handle][0](core.Message.dead('invalid handle'))
        try:
            self.sender.send(2)
        except core.ChannelError as e:
            self.assertEqual(str(e), 'invalid handle')
        else:
            self.fail('it was sent')

    def test_a_dead_answer_wakes_who_waits(self):
        self.fill()
        self.net.answer(self.sender, 'credit:0')
        out = []

        def send():
            try:
                self.sender.send(1)
            except core.ChannelError:
                out.append('dead')
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(.1)
        self.net.handlers[self.sender.credit.handle][0](core.Message.dead(''))
        thread.join(10)
        self.assertEqual(out, ['dead'])

    def test_nothing_is_left_of_a_sender(self):
        self.sender.send(1)
        self.assertEqual(len(self.net.handlers), 1)
        self.sender.close()
        self.assertEqual(len(self.net.handlers), 0)
        self.sender = core.Sender(self.net.context_by_id(9), 1005)
        self.sender.send(1)
        self.sender = None
        gc.collect()
        self.assertEqual(len(self.net.handlers), 0)

    def test_who_sends_to_himself_never_waits(self):
        sender = core.Sender(self.net.context_by_id(0), 1005)
        for _ in range(20):
            sender.send(core.Blob(b'x' * 100000))
        self.assertEqual(set(msg.reply_to for msg in self.net.sent), set([0]))


class Receiving(unittest.TestCase):
    def setUp(self):
        self.net = Net()
        self.net.add_handler = lambda fn, *_: 1005
        self.net.del_handler = lambda handle: None
        self.receiver = api.Receiver(self.net)

    def arrive(self, size, src=9, reply_to=1 << 31):
        self.receiver.handle_message(core.Message(src_id=src, reply_to=reply_to, data=b'x' * size))

    def told(self):
        out = [(msg.dst_id, msg.handle - (1 << 31), msg.data) for msg in self.net.sent]
        del self.net.sent[:]
        return out

    def test_credit_comes_at_first_and_with_each_step_taken(self):
        self.arrive(100)
        self.assertEqual(self.told(), [(9, 0, b'credit:0')])
        self.arrive(credit.STEP)
        self.assertEqual(self.told(), [])
        self.receiver.get()
        self.assertEqual(self.told(), [])
        self.receiver.get()
        self.assertEqual(self.told(), [(9, 0, b'credit:%d' % (credit.STEP + 100) if core.PY3 else 'credit:%d' % (credit.STEP + 100))])

    def test_each_sender_has_an_account_of_his_own(self):
        for src, handle in (9, 1 << 31), (9, (1 << 31) + 1), (8, 1 << 31):
            self.arrive(100, src, handle)
        self.assertEqual([item[:2] for item in self.told()], [(9, 0), (9, 1), (8, 0)])

    def test_whoever_waits_for_an_answer_is_not_given_credit(self):
        self.arrive(100, 9, 1006)
        self.arrive(100, 9, 0)
        self.arrive(100, 9, core.IS_DEAD)
        self.assertEqual(self.told(), [])

    def test_all_are_told_of_the_end(self):
        self.arrive(100)
        self.told()
        self.receiver.close()
        self.assertEqual(self.told(), [(9, 0, b'the Receiver has been closed')])


class Contexts(Case):
    def setUp(self):
        self.c = Controller()
        self.addCleanup(self.c.close)
        self.c.define(USER, 'usercode')
        core.router = Net()

    def test_a_context_waits_for_our_credit(self):
        sender = core.Sender(core.Context(core.router, 0), 1700)
        call = self.c.start('usercode:pump', sender, 40, 100000)
        sizes = []
        # `close` and the result come last.
        while sum(sizes) < 1 << 20:
            msg = self.c.receive()
            self.assertEqual(msg.handle, 1700)
            sizes.append(len(msg.data))
        self.c.send(handle=msg.reply_to, data=b'credit:0')
        # It also works on meanwhile: this waits behind the pump.
        self.c.start('os:getpid')
        time.sleep(.3)
        self.c.handle_ready()
        self.assertEqual(self.c.inbox, [])
        self.c.send(handle=msg.reply_to, data=('credit:%d' % sum(sizes)).encode())
        while 1:
            msg = self.c.receive()
            if msg.handle == call:
                break
            sizes.append(len(msg.data))
            self.c.send(handle=msg.reply_to, data=('credit:%d' % sum(sizes)).encode()) if not msg.is_dead else None
        self.assertEqual(msg.unpickle(), 'done')
        self.assertEqual(len(sizes), 41)

    def test_what_waits_at_a_slow_receiver_is_bounded(self):
        self.born(self.c.bear(2, [1, 0]))
        self.born(self.c.bear(3, [2, 1, 0]))
        context = core.Context(core.router, 3, core.to_text('c3'))
        got, most, result = self.c.call('usercode:slow', context, 100, 100000, dst=2)
        self.assertEqual((got, result), (100, 'done'))
        self.assertTrue(most <= (1 << 20) + 200000, most)

    def test_a_closed_receiver_ends_who_waits_for_credit(self):
        self.born(self.c.bear(2, [1, 0]))
        self.born(self.c.bear(3, [2, 1, 0]))
        context = core.Context(core.router, 3, core.to_text('c3'))
        try:
            self.c.call('usercode:closing', context, dst=2)
        except core.CallError as e:
            self.assertTrue('ChannelError' in str(e), str(e))
        else:
            self.fail('it was all sent')


if __name__ == '__main__':
    unittest.main()
