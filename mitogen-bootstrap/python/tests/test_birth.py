"""Births, calls and deaths of real children over a socketpair."""
import fcntl
import os
import signal
import sys
import time
import unittest

import harness
from harness import Child, core

T = core.to_text

FIXTURE = '''
import os, signal, sys, threading, time

def echo(*args, **kwargs):
    return args, kwargs

def boom(text='why'):
    raise ValueError(text)

def leave(code):
    sys.exit(code)

class Mute(Exception):
    def __repr__(self):
        sys.exit(3)
    __str__ = __repr__

def mute():
    raise Mute()

def forget_finders():
    del sys.meta_path[:], sys.path[:], sys.path_hooks[:]
    sys.path_importer_cache.clear()
    import colorsys

def interrupt():
    raise KeyboardInterrupt()

def generator():
    yield 1

lam = lambda: lambda: 1

class Klass(object):
    def make(cls, x):
        return [cls.__name__, x]
    make = classmethod(make)

def blob(n):
    return 'x' * n

def say(text):
    sys.stdout.write(text)

def raw(fd, text):
    os.write(fd, text)

def log(level, text):
    import logging
    logging.getLogger('a.b').log(level, text)

def log_in_thread(text):
    import logging
    t = threading.Thread(target=lambda: (logging.error(text), sys.stdout.write(text + '\\n')))
    t.start()
    t.join()

def main_thread():
    main = getattr(threading, 'main_thread', lambda: [t for t in threading.enumerate() if t.__class__.__name__ == '_MainThread'][0])()
    return threading.current_thread() is main

def hang(seconds):
    time.sleep(seconds)

def swallow():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

def fork_and_return():
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]

def fork_and_exit(code):
    pid = os.fork()
    if not pid:
        sys.exit(code)
    return os.waitpid(pid, 0)[1] >> 8

def fork_and_log():
    import logging
    pid = os.fork()
    if not pid:
        logging.error('from a fork')
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def close_stdio():
    for fd in 0, 1, 2:
        os.close(fd)

def state():
    return [sys.executable, 'ARGV0' in os.environ, '__main__' in sys.modules, os.read(0, 1), [fd for fd in (60, 61) if is_open(fd)]]

def is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False

def inherited():
    import subprocess
    return subprocess.Popen([sys.executable, '-c', "import os; print(len(os.listdir('/proc/self/fd')))"], stdout=subprocess.PIPE,
                            close_fds=False).communicate()[0]

def econtext_of(x, econtext, router):
    return [x, econtext.router is router, econtext.config['name'], router.context_id]

import mitogen.core
mitogen.core.takes_econtext(econtext_of)
mitogen.core.takes_router(econtext_of)
'''


class Case(unittest.TestCase):
    def child(self, *args, **kw):
        child = Child(*args, **kw)
        self.addCleanup(child.close)
        child.define(FIXTURE)
        return child

    def fails(self, child, *args, **kw):
        """The text of the CallError that a call ends in."""
        try:
            result = child.call(*args, **kw)
        except core.CallError:
            return sys.exc_info()[1].args[0]
        self.fail('it returned %r' % (result,))


class Calls(Case):
    def setUp(self):
        self.c = self.child()

    def test_the_pid_is_that_of_the_started_process(self):
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)

    def test_arguments_and_results(self):
        self.assertEqual(self.c.call('fixture:echo', 1, None, 2.5, [True], x=(1 << 80)), ((1, None, 2.5, [True]), {'x': 1 << 80}))
        self.assertEqual(self.c.call('fixture:Klass:make', 3), ['Klass', 3])

    def test_bytes_and_text_stay_apart(self):
        got = self.c.call('fixture:echo', b'\xc3\xa9'.decode('utf-8'), core.Blob(b'\xff\0'))[0]
        self.assertEqual([type(v) for v in got], [core.UnicodeType, core.Blob])

    def test_a_class_or_object_found_in_a_module(self):
        text = self.fails(self.c, 'datetime.datetime:strptime')
        self.assertTrue('TypeError' in text, text)
        self.assertEqual(self.c.call('os.environ:get', 'no such variable', 5), 5)

    def test_an_exception_names_its_class_and_place(self):
        text = self.fails(self.c, 'fixture:boom', T('why'))
        self.assertTrue(text.split('\n')[0] in ('exceptions.ValueError: why', 'builtins.ValueError: why'), text)
        self.assertTrue('master:/src/fixture.py' in text and 'raise ValueError(text)' in text, text)

    def test_a_traceback_shows_no_frame_of_ours(self):
        self.c.define('import zznone\n', 'broken')
        for func in 'fixture:nothing', 'no_such_module:f', 'broken:f', 'fixture:boom', 'fixture:lam', 'os.path:nothing':
            text = self.fails(self.c, func)
            self.assertTrue('dispatch' not in text and 'mitogen/' not in text, text)
        self.assertTrue('import zznone' in self.fails(self.c, 'broken:f'))

    def test_everything_that_fails_is_a_call_error_and_the_context_lives(self):
        for call, name in (
                (('fixture:leave', 3), 'SystemExit: 3'), (('fixture:interrupt',), 'KeyboardInterrupt'), (('fixture:generator',), 'rror'),
                (('fixture:lam',), 'rror'), (('fixture:nothing',), 'AttributeError'), (('no_such_module:f',), 'no_such_module'),
                (('os:getpid', 1), 'TypeError'), (('fixture:Klass:nothing',), 'AttributeError'), (('fixture:boom', T('x' * 50000)), 'ValueError')):
            text = self.fails(self.c, *call)
            self.assertTrue(name in text and len(text) < 10000, text[:200])
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)

    def test_calls_that_cannot_be_read(self):
        for call in ((), 3, (None, T('os'), None, T('getpid'), (), 3), (None, 3, None, T('x'), (), {})):
            handle = self.c.start_call(call)
            self.assertRaises(core.CallError, self.c.answer, handle)
        self.assertRaises(core.CallError, self.c.answer, self.c.start_call((), core.ENC_BYTES))
        self.c.last_handle += 1
        self.c.send(handle=core.CALL_FUNCTION, reply_to=self.c.last_handle, data=b'\x80\x02cos\nsystem\n.')
        self.assertRaises(core.CallError, self.c.answer, self.c.last_handle)
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)

    def test_chains_remember_their_failure(self):
        self.assertTrue('why' in self.fails(self.c, 'fixture:boom', chain=T('c')))
        self.assertTrue('why' in self.fails(self.c, 'os:getpid', chain=T('c')))
        self.c.call('os:getpid', chain=T('d'))
        self.c.call('mitogen.core:Dispatcher:forget_chain', T('c'))
        self.c.call('os:getpid', chain=T('c'))

    def test_calls_without_reply(self):
        for func in ('boom', 'echo'):
            self.c.send(handle=core.CALL_FUNCTION, enc=core.ENC_PICKLE, data=core.dumps((None, T('fixture'), None, T(func), (), {}), 2))
        self.c.call('os:getpid')
        self.assertEqual([(l[0], l[1], l[2][:28]) for l in self.c.logs], [('mitogen', '40', 'No-reply function call faile')])

    def test_pipelined_calls_are_answered_in_order(self):
        handles = [self.c.start('fixture:echo', i) for i in range(500)]
        self.assertEqual([self.c.answer(h)[0][0] for h in handles], list(range(500)))

    def test_injected_arguments(self):
        self.assertEqual(self.c.call('fixture:econtext_of', 1), [1, True, 'test', 1])

    def test_the_main_thread_runs_calls(self):
        self.assertEqual(self.c.call('fixture:main_thread'), True)

    def test_large_messages(self):
        text = T('y') * 3000000
        self.assertEqual(self.c.call('fixture:echo', text)[0][0], text)

    def test_a_fork_never_answers(self):
        self.assertEqual(self.c.call('fixture:fork_and_return'), 0)
        self.assertEqual(self.c.call('fixture:fork_and_exit', 7), 7)
        self.assertEqual(self.c.call('fixture:fork_and_log'), 0)
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)

    def test_closed_standard_descriptors_do_not_matter(self):
        self.c.call('fixture:close_stdio')
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)
        self.assertEqual(self.c.shutdown(), -signal.SIGTERM)

    def test_what_the_process_looks_like(self):
        executable, argv0, main, stdin, fds = self.c.call('fixture:state')
        self.assertTrue(executable and '(' not in executable, executable)
        self.assertEqual((argv0, main, len(stdin), fds), (False, False, 0, []))

    def test_programs_get_none_of_our_descriptors(self):
        if os.path.isdir('/proc/self/fd'):
            # 0, 1, 2 and the directory itself.
            self.assertEqual(int(self.c.call('fixture:inherited')), 4)

    def test_an_answer_that_cannot_be_read_fails_the_import(self):
        def spoil(msg):
            self.c.asked.append(msg.data.decode())
            self.c.send(handle=core.LOAD_MODULE, enc=core.ENC_PICKLE, data=answers.pop(0))
        self.fails(self.c, 'fixture:boom')
        path = T('/src/x.py')
        answers = [b'garbage', core.dumps((T('zzthree'),), 2), core.dumps((T('zztwo'), None, path, core.Blob(b'no zlib'), ()), 2)]
        self.c.handle_get_module = spoil
        for name in 'zzone', 'zztwo', 'zzthree':
            self.assertTrue(name in self.fails(self.c, name + ':f'))
        del self.c.handle_get_module
        self.assertEqual(self.c.call('fixture:echo'), ((), {}))

    def test_modules_are_asked_for_once(self):
        self.c.call('fixture:echo')
        self.fails(self.c, 'zznone:f')
        self.fails(self.c, 'zznone:f')
        self.assertEqual([name for name in self.c.asked if not name.startswith('mitogen.')], ['fixture', 'zznone'])

    def test_run(self):
        run = 'mitogen.process:run'
        self.assertEqual(self.c.call(run, [T('sh'), T('-c'), T('cat; echo err >&2; exit 3')], False, core.Blob(b'in')), (3, b'in', b'err\n'))
        self.assertEqual(self.c.call(run, T('kill -9 $$'), True), (-9, b'', b''))
        # `yes` would complain of EPIPE and never end if SIGPIPE were ignored.
        self.assertEqual(self.c.call(run, T('yes | head -1'), True), (0, b'y\n', b''))
        self.assertTrue('OSError' in self.fails(self.c, run, [T('/nonexistent')]) or sys.version_info > (3,))

    def test_what_a_program_prints_is_sent_as_it_comes_and_waits_for_credit(self):
        call = self.c.start('mitogen.process:stream', T('printf a; head -c 4000000 /dev/zero; printf b >&2; exit 3'), True, None, 4000)
        got = [b'', b'', b'']
        came = told = 0
        while 1:
            msg = self.c.receive()
            if msg.handle != 4000:
                break
            got[int(msg.data[:1])] += msg.data[1:]
            came += len(msg.data)
            self.assertTrue(msg.reply_to >> 31)
            self.assertTrue(came - told <= (1 << 20) + 65537)
            if came - told > 500000 or not told:
                told = came
                self.c.send(handle=msg.reply_to, data=('credit:%d' % told).encode())
        self.assertEqual((msg.handle, msg.unpickle()), (call, 3))
        self.assertEqual((len(got[1]), got[1][:1], got[2]), (4000001, b'a', b'b'))
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)

    def test_a_program_ends_when_nobody_takes_what_it_prints(self):
        call = self.c.start('mitogen.process:stream', T('echo $$; exec sleep 50'), True, None, 4000)
        first, second = self.c.receive(), self.c.receive()
        self.assertEqual((first.data, second.data[:1]), (b'0', b'1'))
        self.c.send(handle=first.reply_to, reply_to=core.IS_DEAD)
        self.assertEqual(self.c.answer(call), -signal.SIGKILL)
        self.assertRaises(OSError, os.kill, int(second.data[1:]), 0)


class Wicked(Case):
    def test_an_exception_that_ends_the_interpreter_when_it_is_shown_is_a_call_error(self):
        c = self.child()
        self.assertTrue('Mute' in self.fails(c, 'fixture:mute'))
        self.assertEqual(c.call('os:getpid'), c.proc.pid)

    def test_a_context_without_imports_still_answers(self):
        c = self.child()
        c.call('fixture:echo')
        self.assertTrue('Error' in self.fails(c, 'fixture:forget_finders'))
        self.assertEqual(c.call('os:getpid'), c.proc.pid)


class Limits(Case):
    def test_a_result_over_the_limit_is_a_call_error(self):
        c = self.child({'max_message_size': 50000})
        self.assertTrue('exceeds the limit' in self.fails(c, 'fixture:blob', 60000))
        self.assertEqual(c.call('os:getpid'), c.proc.pid)

    def test_unsigned_links(self):
        c = self.child({'key': ''})
        self.assertEqual(c.call('os:getpid'), c.proc.pid)

    def test_corrupt_input_ends_the_child_with_a_word(self):
        for key, bad in (('', b'XX' + b'\0' * 24), (harness.KEY, b'\0' * 46), ('', b'MI' + b'\0' * 20 + b'\xff' * 4)):
            c = self.child({'key': key})
            c.parent.sendall(bad)
            self.assertEqual(c.receive(), None)
            self.assertTrue('lost the parent' in c.logs[0][2], c.logs)
            self.assertEqual(c.wait(), -signal.SIGTERM)


class Output(Case):
    def setUp(self):
        self.c = self.child()

    def texts(self, name):
        return [text for logger, _, text in self.c.logs if logger == name]

    def test_all_output_arrives_before_the_end(self):
        self.c.call('fixture:say', T('one\n\ntwo\nthree'))
        self.c.call('fixture:raw', 2, core.Blob(b'bad \xff\n'))
        self.assertEqual(self.c.shutdown(), -signal.SIGTERM)
        self.assertEqual(self.texts('stdout'), ['one', '', 'two', 'three'])
        self.assertEqual(self.texts('stderr'), [b'bad \xef\xbf\xbd'.decode('utf-8')])
        self.assertEqual(set(level for _, level, _ in self.c.logs), set(['20']))

    def test_long_lines_and_much_output(self):
        self.c.call('fixture:say', T('x' * 300000 + '\n') + T('line\n' * 20000))
        self.c.shutdown()
        got = self.texts('stdout')
        self.assertTrue(max(len(text) for text in got) <= 131072)
        self.assertEqual(''.join(got), 'x' * 300000 + 'line' * 20000)

    def test_a_parent_may_be_slow_to_read_the_last_of_it(self):
        self.c.start('fixture:say', T('line\n' * 20000))
        for _ in range(200):
            self.c.handle_ready()
            if self.c.inbox:
                # It has begun.
                break
        self.c.send(handle=core.SHUTDOWN)
        time.sleep(1)
        while self.c.receive():
            pass
        self.assertEqual(len(self.texts('stdout')), 20000)

    def test_records_from_the_level_up(self):
        for level, text in ((10, 'low'), (20, 'mid'), (40, 'high')):
            self.c.call('fixture:log', level, T(text))
        self.c.call('fixture:log_in_thread', T('thread'))
        self.c.shutdown()
        self.assertEqual([r for r in self.c.logs if r[0] != 'stdout'], [('a.b', '20', 'mid'), ('a.b', '40', 'high'), ('root', '40', 'thread')])
        self.assertEqual(self.texts('stdout'), ['thread'])

    def test_logging_is_only_loaded_when_used(self):
        self.c.call('os:getpid')
        if 'mitogen.logs' in self.c.asked:
            self.skipTest('this interpreter loads logging by itself')
        self.c.call('fixture:log', 40, T('x'))
        self.assertTrue('mitogen.logs' in self.c.asked)


class Deaths(Case):
    def gone_within(self, child, seconds):
        start = time.time()
        status = child.wait()
        self.assertTrue(time.time() - start < seconds, time.time() - start)
        return status

    def test_shutdown_of_an_idle_child(self):
        c = self.child()
        c.call('os:getpid')
        self.assertEqual(c.shutdown(), -signal.SIGTERM)

    def test_a_dead_message_to_the_dispatcher_is_a_shutdown(self):
        c = self.child()
        c.send(handle=core.CALL_FUNCTION, reply_to=core.IS_DEAD)
        self.assertEqual(c.receive(), None)
        self.assertEqual(c.wait(), -signal.SIGTERM)

    def test_a_hung_call_does_not_hold_up_the_end(self):
        for end in (lambda c: c.send(handle=core.SHUTDOWN), lambda c: c.parent.close()):
            c = self.child()
            c.call('fixture:echo')
            c.start('fixture:hang', 60)
            end(c)
            self.assertEqual(self.gone_within(c, 2), -signal.SIGTERM)

    def test_a_swallowed_sigterm_does_not_help(self):
        c = self.child()
        c.call('fixture:swallow')
        c.start('fixture:hang', 60)
        c.parent.close()
        self.assertEqual(self.gone_within(c, 2), 9)

    def test_ctrl_c_at_rest_is_ignored(self):
        c = self.child()
        c.call('os:getpid')
        os.kill(c.proc.pid, signal.SIGINT)
        self.assertEqual(c.call('os:getpid'), c.proc.pid)


class Turns(Case):
    """The main thread reads the link itself for a while after each call; before, after and meanwhile the I/O thread does."""

    def setUp(self):
        self.c = self.child()
        self.c.call('fixture:echo')

    def test_calls_after_pauses_of_any_length(self):
        for pause in (0, 0, .004, 0, .01, .045, .055, 0, .1):
            time.sleep(pause)
            self.assertEqual(self.c.call('fixture:echo', pause), ((pause,), {}))

    def test_much_at_once(self):
        handles = [self.c.start('fixture:blob', 200000) for _ in range(20)]
        for handle in handles:
            self.assertEqual(len(self.c.answer(handle)), 200000)
        data = core.Blob(b'x' * 300000)
        handles = [self.c.start('fixture:echo', data) for _ in range(5)]
        for handle in handles:
            self.assertEqual(self.c.answer(handle), ((data,), {}))

    def test_a_call_hears_what_comes_while_it_runs(self):
        self.c.define('from mitogen import core\n'
                      'def hear(router):\n'
                      '    receiver = core.Receiver(router, 5000)\n'
                      '    core.Sender(router.context_by_id(0), 5001).send(1)\n'
                      '    return receiver.get(20).unpickle()\n'
                      'core.takes_router(hear)\n', 'hearer')
        handle = self.c.start('hearer:hear')
        self.assertEqual(self.c.receive().handle, 5001)
        self.c.send(handle=5000, enc=core.ENC_PICKLE, data=core.dumps(T('word'), 2))
        self.assertEqual(self.c.answer(handle), 'word')

    def test_at_rest_no_thread_runs(self):
        def switches():
            count = 0
            for task in os.listdir(tasks):
                with open(os.path.join(tasks, task, 'status')) as f:
                    count += sum([int(line.split()[1]) for line in f if 'ctxt_switches' in line])
            return count
        tasks = '/proc/%d/task' % self.c.proc.pid
        if not os.path.isdir(tasks):
            self.skipTest('no /proc')
        self.c.call('os:getpid')
        # However slow the machine is, the threads come to rest.
        before = None
        deadline = time.time() + harness.PATIENCE
        while before != switches():
            self.assertTrue(time.time() < deadline)
            before = switches()
            time.sleep(.3)


class FirstStage(Case):
    def test_one_byte_at_a_time(self):
        c = self.child(boot=False)
        c.expect(b'EC0\n')
        for i in range(len(c.preamble)):
            c.parent.sendall(c.preamble[i:i + 1])
        c.expect(b'EC2\n')
        c.start_frames()
        self.assertEqual(c.call('os:getpid'), c.proc.pid)

    def test_frames_may_follow_at_once(self):
        c = self.child(boot=False)
        c.parent.sendall(c.preamble)
        c.expect(b'EC2\n')
        c.start_frames()
        self.assertEqual(c.call('os:getpid'), c.proc.pid)

    def test_a_cut_anywhere_leaves_nobody_behind(self):
        size = len(harness.preamble()[0])
        stage = harness.preamble()[0].index(b'\0')
        cuts = [0, 1, stage // 2, stage - 1, stage, stage + 1, stage + 2, stage + 100, size // 2, size - 200, size - 100, size - 2, size - 1]
        for cut in cuts:
            with open(os.devnull, 'w') as null:
                c = self.child(boot=False, stderr=null)
                c.parent.sendall(c.preamble[:cut])
                c.parent.shutdown(1)
                # The end of the stream: nobody, the helper included, holds the other end any more.
                start = time.time()
                while c.recv():
                    pass
                self.assertTrue(time.time() - start < 2 * harness.PATIENCE)
                c.wait()

    def test_a_cut_makes_no_word_that_somebody_would_have_to_read(self):
        reader, writer = os.pipe()
        size = len(harness.preamble()[0])
        stage = harness.preamble()[0].index(b'\0')
        try:
            fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
            try:
                while os.write(writer, b'x' * 4096):
                    pass
            except OSError:
                fcntl.fcntl(writer, fcntl.F_SETFL, 0)
            for cut in 0, stage // 2, stage + 1, stage + 20, stage + 300, size // 2, size - 60, size - 30, size - 1:
                c = self.child(boot=False, stderr=writer)
                c.parent.sendall(c.preamble[:cut])
                c.parent.shutdown(1)
                while c.recv():
                    pass
                c.wait()
        finally:
            os.close(reader)
            os.close(writer)

    def test_stage_has_its_placeholders_once(self):
        text = harness.read('first_stage.py')
        self.assertEqual((text.count(b'SIZE'), text.count(b'NAME'), text.count(b'\0'), text.count(b'\\0')), (1, 1, 0, 0))


if __name__ == '__main__':
    unittest.main()
