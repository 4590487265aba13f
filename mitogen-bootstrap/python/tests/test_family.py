"""Births behind births: plans carried out by contexts, calls through them, and what is left when one of them dies."""
import os
import shutil
import signal
import sys
import tempfile
import time
import unittest

import harness
from harness import Child, core

T = core.to_text
FIXTURE = '''
import os, time

def whoami():
    return os.getpid(), os.getppid()

def hang(seconds):
    time.sleep(seconds)

def blob(n):
    return 'x' * n

def zombies():
    out = []
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                fields = open('/proc/%s/stat' % name).read().rsplit(')', 1)[1].split()
            except (IOError, OSError):
                continue
            if int(fields[1]) == os.getpid():
                out.append(fields[0])
    return out

def descriptors():
    return len(os.listdir('/proc/self/fd'))
'''


def other_python():
    """An interpreter of the other major version."""
    root = os.path.join(os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv'), 'versions')
    wanted = ['3.', '2.7'][core.PY3]
    names = sorted(name for name in (os.path.isdir(root) and os.listdir(root) or []) if name.startswith(wanted))
    if names:
        return os.path.join(root, names[-1], 'bin', 'python')


class Case(unittest.TestCase):
    def child(self, *args, **kw):
        child = Child(*args, **kw)
        self.addCleanup(child.close)
        child.define(FIXTURE)
        return child

    def alive(self, pid):
        """Whether a process runs; one that is only to be reaped does not."""
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        try:
            with open('/proc/%d/stat' % pid) as f:
                return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
        except IOError:
            return os.path.isdir('/proc/1')

    def gone(self, pid, seconds=5):
        end = time.time() + seconds
        while self.alive(pid):
            self.assertTrue(time.time() < end, 'process %d lives' % pid)
            time.sleep(.01)

    def born(self, report):
        self.assertEqual(report['ok'], True, report)

    def until_routes(self, child, wanted):
        """Reads until these routes were withdrawn."""
        while sorted(text for handle, text in child.routes if handle == 104) != wanted:
            rest = []
            while child.inbox:
                msg = child.inbox.pop(0)
                if msg.handle == 104:
                    child.routes.append((104, msg.data.decode()))
                elif msg.handle == core.GET_MODULE:
                    child.handle_get_module(msg)
                else:
                    rest.append(msg)
            child.waiting = getattr(child, 'waiting', []) + rest
            if sorted(text for handle, text in child.routes if handle == 104) == wanted:
                break
            data = child.recv()
            if not data:
                self.fail(child.routes)
            child.inbox += child.decoder.feed(data)


class Chains(Case):
    def chain(self, c, python=None):
        self.born(c.bear(2, [1, 0], python))
        self.born(c.bear(3, [2, 1, 0]))

    def test_three_generations(self):
        c = self.child()
        self.chain(c)
        self.assertEqual(c.routes, [(103, '2:c2'), (103, '3:c3')])
        pids = [c.call('fixture:whoami', dst=dst) for dst in (1, 2, 3)]
        self.assertEqual([pids[1][1], pids[2][1]], [pids[0][0], pids[1][0]])
        # Asked for once, however many wanted it; nothing of the agent's core was.
        self.assertEqual(c.asked.count('fixture'), 1)
        self.assertEqual(len(set(c.asked)), len(c.asked), c.asked)
        self.assertEqual(c.shutdown(), -signal.SIGTERM)
        for pid, _ in pids:
            self.gone(pid)
        self.assertEqual([r for r in c.logs if int(r[1]) >= 30], [])

    def test_another_major_version_between(self):
        python = other_python()
        if not python:
            self.skipTest('no Python of the other major version here')
        c = self.child()
        self.chain(c, python)
        mine = '%d.%d' % sys.version_info[:2]
        versions = [c.call('platform:python_version', dst=dst) for dst in (1, 2, 3)]
        versions = [T(v) for v in versions]
        self.assertTrue(versions[0].startswith(mine) and versions[2].startswith(mine) and versions[1][0] != mine[0], versions)
        self.assertEqual(c.call('mitogen.process:run', [T('echo'), T('hi')], dst=3)[0], 0)
        c.shutdown()

    def test_large_messages_signed_and_not(self):
        for config in ({}, {'key': ''}):
            c = self.child(config)
            self.born(c.bear(2, [1, 0], config=config))
            self.born(c.bear(3, [2, 1, 0], config=config))
            for size in (10, 70000, 131072, 3000000):
                self.assertEqual(len(c.call('fixture:blob', size, dst=3)), size)
            handles = [c.start('fixture:blob', 100000, dst=3) for _ in range(20)]
            self.assertEqual([len(c.answer(handle)) for handle in handles], [100000] * 20)
            c.shutdown()

    def test_a_parent_that_read_late_is_heard_again(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        c.call('fixture:blob', 10, dst=2)
        # The second waits behind the first when there is too much for output to be read, and alone when there no longer is.
        handles = [c.start('fixture:blob', size, dst=2) for size in (400000, 4000000)]
        time.sleep(1)
        self.assertEqual([len(c.answer(handle)) for handle in handles], [400000, 4000000])
        self.assertEqual(c.call('fixture:blob', 10, dst=2), c.call('fixture:blob', 10))
        c.shutdown()

    def test_births_side_by_side_while_the_main_thread_hangs(self):
        c = self.child()
        c.start('fixture:hang', 60)
        handles = [c.start_birth(n, [1, 0]) for n in range(2, 7)]
        reports = {}
        for _ in handles:
            msg = c.receive()
            reports[msg.handle] = harness.report_of(msg.unpickle())
        self.assertEqual(sorted(reports), handles)
        for report in reports.values():
            self.born(report)
        self.assertEqual(len(set(c.call('fixture:whoami', dst=n)[0] for n in range(2, 7))), 5)
        c.shutdown()

    def test_siblings_talk_if_it_is_allowed(self):
        text = '''
import mitogen.core

def tell(context_id, handle, router):
    router.context_by_id(context_id).send(mitogen.core.Message.pickled(3, handle=handle, reply_to=0))
mitogen.core.takes_router(tell)

def listen(router):
    import mitogen
    mitogen.got = []
    return router.add_handler(mitogen.got.append)
mitogen.core.takes_router(listen)

def got():
    import mitogen, time
    end = time.time() + 1
    while not mitogen.got and time.time() < end:
        time.sleep(.01)
    return [msg.unpickle() for msg in mitogen.got]
'''
        for config, want in ({}, [3]), ({'unidirectional': True}, []):
            c = self.child(config)
            c.define(text, 'talk')
            self.born(c.bear(2, [1, 0], config=config))
            self.born(c.bear(3, [1, 0], config=config))
            handle = c.call('talk:listen', dst=3)
            c.call('talk:tell', 3, handle, dst=2)
            self.assertEqual(c.call('talk:got', dst=3), want)
            c.shutdown()


class Deaths(Case):
    def test_a_middle_process_dies_and_its_subtree_with_it(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        self.born(c.bear(3, [2, 1, 0]))
        self.born(c.bear(4, [3, 2, 1, 0]))
        pids = [c.call('fixture:whoami', dst=dst)[0] for dst in (2, 3, 4)]
        started = time.time()
        os.kill(pids[1], signal.SIGKILL)
        self.until_routes(c, ['3', '4'])
        self.assertTrue(time.time() - started < 1)
        for pid in pids[1:]:
            self.gone(pid)
        self.assertTrue(self.alive(pids[0]))
        handle = c.start('os:getpid', dst=4)
        self.assertRaises(core.ChannelError, c.answer, handle)
        time.sleep(.1)
        if os.path.isdir('/proc/self'):
            self.assertEqual(c.call('fixture:zombies', dst=2), [])
        c.shutdown()

    def test_the_parents_death_is_all_its_descendants(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        self.born(c.bear(3, [2, 1, 0]))
        pids = [c.call('fixture:whoami', dst=dst)[0] for dst in (1, 2, 3)]
        c.parent.close()
        c.wait()
        for pid in pids:
            self.gone(pid)

    def test_a_stopped_child_does_not_hold_up_the_end(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        pid = c.call('fixture:whoami', dst=2)[0]
        os.kill(pid, signal.SIGSTOP)
        started = time.time()
        self.assertEqual(c.shutdown(), -signal.SIGTERM)
        self.assertTrue(time.time() - started < 6)
        self.gone(pid)

    def test_a_child_that_does_not_read_is_given_up(self):
        c = self.child({'key': ''})
        self.born(c.bear(2, [1, 0], config={'key': ''}))
        self.born(c.bear(3, [1, 0], config={'key': ''}))
        pid = c.call('fixture:whoami', dst=2)[0]
        os.kill(pid, signal.SIGSTOP)
        for _ in range(80):
            c.send(dst_id=2, handle=1, data=b'x' * (1 << 20))
        self.assertTrue(c.call('os:getpid', dst=3))
        self.until_routes(c, ['2'])
        self.gone(pid)
        c.call('os:getpid')
        self.assertEqual([r[2][:32] for r in c.logs if r[1] == '40'], ['context 2: lost: it does not rea'])

    def test_shutdown_of_a_grandchild_alone(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        self.born(c.bear(3, [2, 1, 0]))
        pids = [c.call('fixture:whoami', dst=dst)[0] for dst in (2, 3)]
        c.send(dst_id=2, handle=core.SHUTDOWN)
        self.until_routes(c, ['2', '3'])
        for pid in pids:
            self.gone(pid)
        self.assertEqual(c.call('os:getpid'), c.proc.pid)

    def test_a_birth_on_its_way_does_not_hold_up_the_end(self):
        c = self.child()
        c.start_birth(2, [1, 0], argv=['sh', '-c', 'echo $$ >&2; exec sleep 60'])
        # Until the agent has what it needs for that.
        while 'mitogen.handshake' not in c.asked:
            c.call('os:getpid')
        time.sleep(.5)
        started = time.time()
        self.assertEqual(c.shutdown(), -signal.SIGTERM)
        self.assertTrue(time.time() - started < 3)

    def cancel(self, c, context_id, dst=1):
        c.last_handle += 1
        c.send(dst_id=dst, handle=203, reply_to=c.last_handle, data=str(context_id).encode())
        return c.last_handle

    def test_a_birth_can_be_revoked(self):
        c = self.child()
        c.define('import sys\ndef births():\n return len(sys.modules["mitogen"].econtext.broker.births)\n', 'look')
        self.born(c.bear(3, [1, 0]))
        birth = c.start_birth(2, [1, 0], argv=['sh', '-c', 'echo $$ >&2; exec sleep 60'])
        while not c.call('look:births'):
            pass
        time.sleep(.2)
        started = time.time()
        handle = self.cancel(c, 2)
        answers = {}
        while len(answers) < 2:
            msg = c.receive()
            answers[msg.handle] = msg.unpickle()
        self.assertEqual(answers[handle], True)
        report = harness.report_of(answers[birth])
        self.assertEqual((report['ok'], report['reason']), (False, 'cancelled'), report)
        self.gone(int(report['lines'][0][1]))
        self.assertTrue(time.time() - started < 3)

    def test_a_plan_revoked_before_it_comes_bears_nothing(self):
        c = self.child()
        self.born(c.bear(3, [1, 0]))
        self.assertEqual(c.answer(self.cancel(c, 2)), False)
        report = c.bear(2, [1, 0])
        self.assertEqual((report['ok'], report['reason']), (False, 'cancelled'), report)
        # Once.
        self.born(c.bear(2, [1, 0]))

    def test_a_child_that_hangs_can_be_ended_by_its_parent(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        self.born(c.bear(3, [2, 1, 0]))
        pid = c.call('fixture:whoami', dst=3)[0]
        os.kill(pid, signal.SIGSTOP)
        # Its own parent is told; ours knows of no such child.
        self.assertEqual(c.answer(self.cancel(c, 3)), False)
        self.assertEqual(c.answer(self.cancel(c, 3, 2)), True)
        self.until_routes(c, ['3'])
        self.gone(pid)
        self.assertTrue(c.call('os:getpid', dst=2))

    def test_only_parents_revoke(self):
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        self.born(c.bear(3, [1, 0]))
        c.define('import mitogen.core\ndef kill(n, router):\n try:\n  router.context_by_id(1).send_await(mitogen.core.Message(handle=203, data=str(n).encode()))\n'
                 ' except mitogen.core.ChannelError:\n  return True\nmitogen.core.takes_router(kill)\n', 'killer')
        self.assertEqual(c.call('killer:kill', 3, dst=2), True)
        self.assertTrue(c.call('os:getpid', dst=3))

    def test_what_a_parent_needs_may_come_unasked(self):
        c = self.child()
        for name in harness.manifest('deferred'):
            c.push(name)
        self.born(c.bear(2, [1, 0]))
        for name in harness.manifest('deferred'):
            c.push(name, 2)
            c.push(name, 2)
        self.born(c.bear(3, [2, 1, 0]))
        self.assertEqual(c.call('fixture:whoami', dst=3)[0] > 0, True)
        self.assertEqual([name for name in c.asked if name.startswith('mitogen')], [])

    def test_nothing_is_left_of_many_children(self):
        if not os.path.isdir('/proc/self/fd'):
            self.skipTest('no /proc')
        c = self.child()
        self.born(c.bear(2, [1, 0]))
        before = c.call('fixture:descriptors')
        for n in range(3, 6):
            self.born(c.bear(n, [1, 0]))
            c.send(dst_id=n, handle=core.SHUTDOWN)
            self.until_routes(c, [str(i) for i in range(3, n + 1)])
            self.assertEqual(c.bear(50 + n, [1, 0], argv=['false'])['ok'], False)
        self.assertEqual(c.call('fixture:descriptors'), before)


class Failures(Case):
    def setUp(self):
        self.c = self.child()

    def report(self, **kw):
        report = self.c.bear(2, [1, 0], **kw)
        self.assertEqual(report['ok'], False, report)
        self.assertTrue(all(isinstance(report[key], core.UnicodeType) for key in ('phase', 'reason')), report)
        return report

    def outcome(self, **kw):
        report = self.report(**kw)
        return report['phase'], report['reason'], report['status']

    def test_no_such_program(self):
        report = self.report(argv=['/no/such/program'])
        self.assertEqual((report['phase'], report['reason'], report['errno']), ('spawn', 'spawn', 2))

    def test_it_ends_with_words(self):
        report = self.report(argv=['sh', '-c', 'echo out; echo err >&2; exit 7'])
        self.assertEqual((report['phase'], report['reason'], report['status']), ('interpreter', 'eof', 7))
        self.assertEqual(sorted(report['lines']), [('stderr', b'err'), ('stdout', b'out')])

    def test_it_is_killed(self):
        self.assertEqual(self.outcome(argv=['sh', '-c', 'kill -9 $$'], logs_in=True), ('login', 'eof', -9))

    def test_there_is_no_python(self):
        self.assertEqual(self.outcome(argv=['sh', '-c', 'echo hello; echo EC9'])[:2], ('interpreter', 'no-python'))
        self.assertEqual(self.outcome(argv=['sh', '-c', 'echo EC0 && exec /no/python'])[:2], ('first-stage', 'eof'))

    def test_that_there_is_no_python_is_not_the_last_word(self):
        script = self.c.plan(2, [1, 0])[T('argv')][-1]
        report = self.c.bear(2, [1, 0], argv=['sh', '-c', 'echo EC9;' + script.decode()])
        self.assertEqual(report['ok'], True, report)
        self.assertEqual(self.c.call('os:getppid', dst=2), self.c.proc.pid)

    def test_it_hangs(self):
        started = time.time()
        report = self.report(argv=['sh', '-c', 'trap "" TERM; sleep 60 & echo $!; sleep 60'], timeout=1.)
        self.assertTrue(time.time() - started < 5)
        self.assertEqual((report['phase'], report['reason'], report['status']), ('interpreter', 'timeout', None))
        # The whole group is gone.
        self.gone(int(report['lines'][0][1]))

    def test_it_prints_too_much(self):
        self.assertEqual(self.outcome(argv=['sh', '-c', 'yes'])[1], 'noise')

    def test_it_crashes_in_each_stage(self):
        self.assertEqual(self.outcome(head=core.Blob(b'1/0\0'))[:2], ('first-stage', 'eof'))
        report = self.report(tail=core.Blob(b'{}' + b' ' * 500))
        self.assertEqual(report['reason'], 'eof')
        self.assertTrue([line for source, line in report['lines'] if b'Traceback' in line or b'Error' in line], report)

    def test_merged_noise_before_markers(self):
        script = 'echo noise; echo EC; echo more >&2; echo EC0&&exec %s -Sc "%s"' % (sys.executable, harness.SCRIPT_PY)
        report = self.c.bear(2, [1, 0], argv=['sh', '-c', script], wiring=T('merged'))
        self.born(report)
        self.assertEqual([line for _, line in report['noise']], [b'noise', b'EC', b'more'])
        self.assertTrue(self.c.call('os:getpid', dst=2))


class Terminals(Case):
    ASK = '''import os, sys, termios
fd = os.open('/dev/tty', os.O_RDWR)
mode = termios.tcgetattr(fd)
mode[3] &= ~termios.ECHO
termios.tcsetattr(fd, termios.TCSANOW, mode)
for _ in range(2):
    os.write(fd, b'Password for x: ')
    if os.read(fd, 99) == b'hunter2\\\\n':
        os.write(fd, b'\\\\nwelcome\\\\n')
        break
    os.write(fd, b'\\\\nsorry\\\\n')
else:
    sys.exit(3)
'''

    def ask(self, c, value, wiring='prompt', prompt='Password', **kw):
        python = sys.executable
        script = 'printf "%%b" "$0" >/dev/null; %s -c "$0" && echo EC0&&exec %s -Sc "%s"' % (python, python, harness.SCRIPT_PY)
        ask = self.ASK.replace('\\\\n', '\\n')
        secrets = [{T('source'): T('hidden'), T('prompt'): T(prompt), T('value'): value and core.Secret(T(value))}]
        return c.bear(2, [1, 0], argv=['sh', '-c', script, ask], wiring=T(wiring), secrets=secrets, logs_in=True, **kw)

    def test_a_secret_is_sent_once(self):
        for wiring in 'prompt', 'pty':
            for prompt in 'Password', '':
                c = self.child()
                report = self.ask(c, 'hunter2', wiring, prompt)
                self.born(report)
                self.assertEqual(len(c.call('fixture:blob', 300000, dst=2)), 300000)
                self.assertTrue(b'hunter2' not in repr(report).encode())
                c.shutdown()

    def test_a_wrong_secret_is_asked_for_again(self):
        c = self.child()
        report = self.ask(c, 'wrong')
        self.assertEqual((report['ok'], report['phase'], report['reason'], report['sent'], report['echo']), (False, 'login', 'asked', [0], False))
        self.assertTrue(b'Password' in report['lines'][-1][1], report)

    def test_no_secret_for_a_question(self):
        c = self.child()
        for value, prompt in ((None, 'Password'), ('hunter2', 'Passphrase')):
            report = self.ask(c, value, prompt=prompt)
            self.assertEqual((report['reason'], report['sent']), ('asked', []), report)

    def test_the_tools_words_after_the_birth(self):
        c = self.child({'log_level': 10})
        place = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, place)
        born = os.path.join(place, 'born')
        script = '(while ! [ -e %s ]; do sleep .05; done; echo late >/dev/tty; echo error >&2) & echo EC0&&exec %s -Sc "%s" 2>/dev/null' % (
            born, sys.executable, harness.SCRIPT_PY)
        self.born(c.bear(2, [1, 0], argv=['sh', '-c', script], wiring=T('prompt')))
        open(born, 'w').close()
        end = time.time() + 20
        while len([r for r in c.logs if r[0] == 'mitogen.tool']) < 2 and time.time() < end:
            c.call('fixture:hang', .1)
        self.assertEqual(sorted(text for name, _, text in c.logs if name == 'mitogen.tool'), ['error', 'late'])


if __name__ == '__main__':
    unittest.main()
