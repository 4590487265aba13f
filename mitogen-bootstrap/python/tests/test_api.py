"""What user code in a context can do by itself: call others, wait, and start contexts of its own."""
import sys
import threading
import time
import unittest

import harness
from harness import core
from mitogen import api, messages
from mitogen.select import Select
from test_family import Case, T

USER = '''
import os, sys, time
import mitogen.core
from mitogen.core import Receiver, Channel, takes_router, takes_econtext
import mitogen.select

def pid():
    return os.getpid()

def add(a, b=1):
    return a + b

def fail():
    raise ValueError('on purpose')

class Thing(object):
    def make(cls):
        return cls.__name__
    make = classmethod(make)

def start(method, options, router):
    context = getattr(router, method)(**dict((str(k), options[k]) for k in options))
    return context
takes_router(start)

def ask(context, router):
    made = context.call(Thing.make)
    try:
        context.call(fail)
    except mitogen.core.CallError:
        text = sys.exc_info()[1].args[0]
    return context.call(pid), context.call(add, 1, b=2), made, text.split('\\n')[0]
takes_router(ask)

def many(contexts):
    got = mitogen.select.Select.all([context.call_async(pid) for context in contexts])
    return sorted(msg.unpickle() for msg in got)

def count(sender, n):
    for i in range(n):
        sender.send(i)
    sender.close()

def listen(context, n, router):
    receiver = Receiver(router)
    context.call_no_reply(count, receiver.to_sender(), n)
    return [msg.unpickle() for msg in receiver]
takes_router(listen)

def silent(router):
    return router.add_handler(lambda msg: None)
takes_router(silent)

def wait_for(context, handle):
    """Asks somebody who never answers."""
    try:
        context.send_await(mitogen.core.Message(handle=handle))
    except mitogen.core.ChannelError:
        return str(sys.exc_info()[1])

def patience(router):
    try:
        Receiver(router).get(timeout=.05)
    except mitogen.core.TimeoutError:
        return 'late'
takes_router(patience)

def ids(router):
    return [router.allocate_id() for _ in range(3)]
takes_router(ids)

def names():
    return hasattr(mitogen.core, 'CHUNK_SIZE'), hasattr(mitogen.core, 'Nonsense'), hasattr(mitogen.core.Context, 'nonsense')
'''


class Controller(harness.Child):
    """Also answers what a context asks the controller for."""
    next_id = 10

    def receive(self):
        while 1:
            msg = harness.Child.receive(self)
            if msg is None or msg.handle not in (105, 201):
                return msg
            if msg.handle == 105:
                answer = (2000, 3000)
            else:
                method, options = msg.unpickle()
                self.methods = getattr(self, 'methods', []) + [(method, dict(options))]
                self.next_id += 1
                parents = [msg.src_id] + [p for p in (1, 0) if p != msg.src_id]
                self.grant(self.next_id, self.next_id + 1, parents)
                if method == 'local':
                    answer = self.plan(self.next_id, parents)
                elif method == 'sudo':
                    answer = self.plan(self.next_id, parents, argv=['sh', '-c', 'echo no such user >&2; exit 1'])
                else:
                    answer = core.Report(core.CallError(T('mitogen.core.StreamError: no such method')))
            self.send(dst_id=msg.src_id, handle=msg.reply_to, enc=core.ENC_PICKLE, data=core.dumps(answer, 2))


class Inside(Case):
    def setUp(self):
        self.c = Controller()
        self.addCleanup(self.c.close)
        self.c.define(USER, 'usercode')
        core.router = Names()

    def start(self, method='local', dst=1, **options):
        return self.c.call('usercode:start', T(method), options, dst=dst)

    def test_a_context_starts_its_own(self):
        context = self.start(python_path=T('x'))
        self.assertEqual((context.context_id, context.name), (11, 'c11'))
        self.assertEqual(self.c.methods, [(T('local'), {'python_path': T('x')})])
        pid, total, made, text = self.c.call('usercode:ask', context)
        self.assertEqual((total, made), (3, 'Thing'))
        self.assertTrue(text.endswith('ValueError: on purpose'), text)
        self.assertEqual(self.c.call('os:getpid', dst=11), pid)
        other = self.start(dst=11)
        self.assertEqual(self.c.call('os:getppid', dst=12), pid)
        third = self.start(dst=1, via=context)
        self.assertEqual(self.c.call('os:getppid', dst=13), pid)
        pids = [self.c.call('os:getpid', dst=n) for n in (11, 12, 13)]
        self.assertEqual(self.c.call('usercode:many', [context, other, third]), sorted(pids))
        self.assertEqual(self.c.call('usercode:listen', third, 5), [0, 1, 2, 3, 4])
        self.c.shutdown()

    def test_what_fails_says_why(self):
        for method, want in (('sudo', 'no such user'), ('docker', 'no such method')):
            try:
                self.start(method)
            except core.CallError:
                text = sys.exc_info()[1].args[0]
                self.assertTrue(want in text and 'mitogen.core' in text, text)
            else:
                self.fail('it started')

    def test_a_lost_context_ends_the_wait(self):
        context = self.start()
        sibling = self.start()
        for dst in 1, sibling.context_id:
            pid = self.c.call('os:getpid', dst=context.context_id)
            silent = self.c.call('usercode:silent', dst=context.context_id)
            handle = self.c.start('usercode:wait_for', context, silent, dst=dst)
            time.sleep(.5)
            self.c.handle_ready()
            __import__('os').kill(pid, 9)
            self.assertEqual(self.c.answer(handle), 'the respondent Context has disconnected')
            context = self.start()

    def test_patience_and_ids(self):
        self.assertEqual(self.c.call('usercode:patience'), 'late')
        self.assertEqual(self.c.call('usercode:ids'), [2000, 2001, 2002])
        self.assertEqual(self.c.call('usercode:ids'), [2003, 2004, 2005])

    def test_names_come_when_asked_for(self):
        self.c.call('os:getpid')
        self.assertTrue('mitogen.api' not in self.c.asked)
        self.assertEqual(self.c.call('usercode:names'), (True, False, False))


class Names(object):
    """Unpickles contexts."""
    contexts = {}
    context_id = 0

    def context_by_id(self, context_id, name=None):
        return core.Context(self, context_id, name)


class Queues(unittest.TestCase):
    def test_waiting_and_limits(self):
        latch = api.Latch()
        threading.Timer(.05, latch.put, [3]).start()
        self.assertEqual(latch.get(5), 3)
        started = time.time()
        self.assertRaises(messages.TimeoutError, latch.get, .1)
        self.assertTrue(.09 < time.time() - started < 2)
        self.assertRaises(messages.TimeoutError, latch.get, None, False)
        threading.Timer(.05, latch.close).start()
        self.assertRaises(api.LatchError, latch.get)
        self.assertRaises(api.LatchError, latch.put)

    def test_each_item_wakes_one_thread(self):
        latch = api.Latch()
        got = []
        threads = [threading.Thread(target=lambda: got.append(latch.get(5))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for i in range(8):
            latch.put(i)
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(got), list(range(8)))

    def test_select(self):
        a, b, c = api.Latch(), api.Latch(), api.Latch()
        a.put(1)
        inner = Select([a, b], oneshot=False)
        outer = Select([inner, c], oneshot=False)
        c.put(2)
        b.put(3)
        a.put(4)
        self.assertEqual(sorted(outer.get() for _ in range(4)), [1, 2, 3, 4])
        self.assertRaises(messages.TimeoutError, outer.get, .01)
        self.assertRaises(core.Error, inner.add, outer)
        self.assertRaises(core.Error, Select, [a])
        outer.remove(inner)
        inner.close()
        self.assertRaises(core.Error, inner.get)
        once = Select([a, b])
        a.put(5)
        a.put(6)
        self.assertEqual((once.get(), len(once), a.get()), (5, 1, 6))
        b.put(7)
        self.assertEqual((list(once), bool(once)), ([7], False))


if __name__ == '__main__':
    unittest.main()
