"""Contexts that leave the tree with all that is below them, and outlive it."""
import os
import signal
import tempfile
import time
import unittest

from harness import core
from test_api import Controller, Names
from test_family import Case, T

USER = '''
import os, time
import mitogen.core

def note(path, text):
    with open(path + '.new', 'w') as f:
        f.write(str(text))
    os.rename(path + '.new', path)

def leave(econtext):
    econtext.detach()
    econtext.detach()
    return mitogen.parent_id, mitogen.parent_ids
mitogen.core.takes_econtext(leave)

def pid():
    return os.getpid()

def ask_up(econtext):
    try:
        econtext.router.context_by_id(0).call(pid)
    except mitogen.core.ChannelError:
        import sys
        return str(sys.exc_info()[1])
mitogen.core.takes_econtext(ask_up)

def load(name):
    try:
        __import__(name)
    except ImportError:
        return 'no such module'

def monitor(children, place, econtext):
    """Polls its children for as long as it lives."""
    econtext.detach()
    note(place + '/monitor', os.getpid())
    rounds = 0
    while not os.path.exists(place + '/end'):
        pids = [child.call(pid) for child in children]
        try:
            children[0].call(fail_on_purpose)
        except mitogen.core.CallError:
            pass
        rounds += 1
        note(place + '/rounds', rounds)
        note(place + '/pids', ' '.join([str(p) for p in pids]))
        time.sleep(.01)
    note(place + '/load', load('nowhere.to.be.found') + ', ' + children[0].call(load, 'nowhere_to_be_found'))
    note(place + '/up', children[0].call(ask_up))
    econtext.broker.defer(econtext.broker.shutdown)
mitogen.core.takes_econtext(monitor)

def fail_on_purpose():
    raise ValueError()
'''


class Detached(Case):
    # Nothing can be asked of us any more.
    left = False

    def setUp(self):
        self.c = Controller()
        self.addCleanup(self.c.close)
        self.c.define(USER, 'usercode')
        core.router = Names()
        self.place = tempfile.mkdtemp()
        self.addCleanup(lambda: [os.remove(os.path.join(self.place, name)) for name in os.listdir(self.place)] and os.rmdir(self.place))

    def read(self, name):
        with open(os.path.join(self.place, name)) as f:
            return f.read()

    def until(self, name, condition=bool):
        end = time.time() + 20
        while 1:
            try:
                text = self.read(name)
            except (IOError, OSError):
                text = ''
            if condition(text):
                return text
            self.assertTrue(time.time() < end, '%s: %r, %r' % (name, text, self.c.logs))
            time.sleep(.01)
            if not self.left:
                self.c.handle_ready()

    def monitor(self, dst, contexts):
        self.c.start('usercode:monitor', [core.Context(core.router, n, T('c%d' % n)) for n in contexts], T(self.place), dst=dst)

    def check_monitor_outlives_us(self, pids):
        count = int(self.until('rounds'))
        # Two more rounds after everybody else is gone.
        self.until('rounds', lambda text: int(text) > count + 2)
        self.assertEqual(self.read('pids').split(), [str(pid) for pid in pids[1:]])
        open(os.path.join(self.place, 'end'), 'w').close()
        self.assertEqual(self.until('load'), 'no such module, no such module')
        self.assertEqual(self.until('up'), 'no route to 0, my ID is %d' % self.root)
        for pid in pids:
            self.gone(pid)

    def test_a_direct_child_outlives_its_controller(self):
        # The test is its parent, and must do what a parent does.
        self.root = 1
        for n in 2, 3:
            self.born(self.c.bear(n, [1, 0]))
        pids = [self.c.call('os:getpid', dst=n) for n in (1, 2, 3)]
        self.monitor(1, [2, 3])
        msg = self.c.receive()
        self.assertEqual((msg.src_id, msg.handle), (1, 109))
        self.c.send(handle=msg.reply_to, enc=core.ENC_PICKLE, data=core.dumps(None, 2))
        self.assertEqual(self.c.receive(), None)
        self.left = True
        self.c.parent.close()
        reaper = __import__('threading').Thread(target=self.c.proc.wait)
        reaper.start()
        self.check_monitor_outlives_us(pids)
        reaper.join(20)

    def test_a_grandchild_outlives_its_parent_and_is_not_killed(self):
        self.root = 2
        self.born(self.c.bear(2, [1, 0]))
        self.born(self.c.bear(3, [2, 1, 0]))
        self.born(self.c.bear(4, [2, 1, 0]))
        pids = [self.c.call('os:getpid', dst=n) for n in (2, 3, 4)]
        self.monitor(2, [3, 4])
        self.until_routes(self.c, ['2', '3', '4'])
        # Longer than it would take until it was killed.
        time.sleep(1.2)
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)
        started = time.time()
        self.left = True
        self.assertEqual(self.c.shutdown(), -signal.SIGTERM)
        self.assertTrue(time.time() - started < 4)
        self.check_monitor_outlives_us(pids)

    def test_a_leaf_may_detach_and_who_waits_for_it_is_told(self):
        self.born(self.c.bear(2, [1, 0]))
        pid = self.c.call('os:getpid', dst=2)
        self.c.start('usercode:leave', dst=2)
        self.until_routes(self.c, ['2'])
        self.assertTrue(self.alive(pid))
        self.c.shutdown()
        self.assertTrue(self.alive(pid))
        os.kill(pid, signal.SIGKILL)

    def test_who_is_refused_stays(self):
        call = self.c.start('usercode:leave')
        msg = self.c.receive()
        self.c.send(handle=msg.reply_to, reply_to=core.IS_DEAD, data=b'invalid handle')
        try:
            self.c.answer(call)
        except core.CallError as e:
            self.assertTrue('ChannelError: invalid handle' in str(e), str(e))
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)


if __name__ == '__main__':
    unittest.main()
