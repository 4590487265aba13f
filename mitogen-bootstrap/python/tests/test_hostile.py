"""User code, programs and directories that do their worst: the context answers or ends, and nothing of it stays."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import harness
from harness import Child, core

T = core.to_text
RUN = 'mitogen.process:run'

FIXTURE = '''
import os, signal, socket, subprocess, time

def close_all():
    os.closerange(0, 256)
    time.sleep(60)

def reopen_all():
    os.closerange(0, 256)
    keep.extend([open('/dev/null') for _ in range(64)])
    time.sleep(60)

keep = []

def ignore():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)

def receive():
    a, b = socket.socketpair()
    a.recv(1)

def wait():
    if not os.fork():
        # Whoever leaves such a process behind wants it to live on; the test does not.
        time.sleep(3)
        os._exit(0)
    os.wait()

def run_sleep():
    subprocess.call(['sleep', '3'])

def use_up():
    try:
        while len(keep) < 20000:
            keep.append(open('/dev/null'))
    except (IOError, OSError):
        pass
    return True

def spin():
    while 1:
        pass
'''


def runs(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except IOError:
        return False


class Case(unittest.TestCase):
    def child(self, *args, **kwargs):
        c = Child(*args, **kwargs)
        self.addCleanup(c.close)
        c.define(FIXTURE)
        return c

    def fails(self, c, *args, **kwargs):
        try:
            c.call(*args, **kwargs)
        except core.CallError:
            return sys.exc_info()[1].args[0]
        self.fail('no error')


class Deaths(Case):
    def test_a_lost_parent_is_survived_by_no_call(self):
        for name in 'close_all', 'reopen_all', 'ignore', 'receive', 'wait', 'run_sleep', 'spin':
            c = self.child()
            c.call('fixture:use_up') if name == 'wait' else c.call('os:getpid')
            c.start('fixture:' + name)
            deadline = time.time() + .3
            while time.time() < deadline:
                # The function's module is asked for.
                if not harness.select.select([c.parent], [], [], .1)[0]:
                    continue
                data = c.recv()
                if not data:
                    break
                for msg in c.decoder.feed(data):
                    if msg.handle == core.GET_MODULE:
                        c.handle_get_module(msg)
            c.parent.close()
            started = time.time()
            c.wait()
            self.assertTrue(time.time() - started < 2, name)

    def test_programs_end_with_their_context(self):
        for orderly in False, True:
            directory = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, directory)
            c = self.child()
            note = os.path.join(directory, 'pid')
            # The shell, a child of it, and one that does not want to go.
            script = "trap '' TERM; sleep 50 & echo $! $$ >%s.new; mv %s.new %s; sleep 50; sleep 50" % (note, note, note)
            c.start(RUN, T(script), True)
            c.receive_until = time.time() + harness.PATIENCE
            while not os.path.exists(note):
                self.assertTrue(time.time() < c.receive_until)
                if harness.select.select([c.parent], [], [], .05)[0]:
                    for msg in c.decoder.feed(c.recv()):
                        if msg.handle == core.GET_MODULE:
                            c.handle_get_module(msg)
            with open(note) as f:
                pids = [int(pid) for pid in f.read().split()]
            self.assertEqual([runs(pid) for pid in pids], [True, True])
            started = time.time()
            if orderly:
                c.send(handle=core.SHUTDOWN)
            else:
                c.parent.close()
            c.wait()
            self.assertTrue(time.time() - started < 2)
            time.sleep(.05)
            self.assertEqual([runs(pid) for pid in pids], [False, False])

    def test_what_a_program_left_in_the_background_lives_on(self):
        c = self.child()
        status, output, _ = c.call(RUN, T('sleep 50 >/dev/null 2>&1 & echo $!'), True)
        c.shutdown()
        self.assertEqual((status, runs(int(output))), (0, True))
        os.kill(int(output), signal.SIGKILL)


class Programs(Case):
    def setUp(self):
        self.c = self.child({'max_message_size': 300000})

    def test_a_missing_program_is_named(self):
        for argv in [T('/no/such')], [T('no-such-program'), T('x')]:
            text = self.fails(self.c, RUN, argv)
            self.assertTrue('No such file or directory' in text and argv[0] in text, text)

    def test_endless_output_ends_the_program_and_not_the_context(self):
        self.assertTrue('exceeds the limit' in self.fails(self.c, RUN, T('head -c 300000 /dev/zero'), True))
        self.assertTrue('limit of 300000 bytes' in self.fails(self.c, RUN, [T('yes')]))
        self.assertTrue('limit of 300000 bytes' in self.fails(self.c, RUN, T('yes >&2'), True))
        self.assertEqual(self.c.call('os:getpid'), self.c.proc.pid)

    def test_input_and_output_larger_than_a_pipe(self):
        data = b'0123456789abcde\n' * 12000
        self.assertEqual(self.c.call(RUN, [T('cat')], False, core.Blob(data)), (0, data, b''))
        # Who does not read it all is no error.
        self.assertEqual(self.c.call(RUN, T('head -c 3; exec 0<&-; echo x >&2'), True, core.Blob(data)), (0, b'012', b'x\n'))
        self.assertEqual(self.c.call(RUN, T('exec <&- >&- 2>&-; sleep .1; exit 5'), True, core.Blob(data)), (5, b'', b''))
        self.assertEqual(self.c.call(RUN, [T('cat')], False, core.Blob(b'')), (0, b'', b''))


class Directories(Case):
    def test_nothing_is_imported_from_the_working_directory(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        note = os.path.join(directory, 'note')
        for name in 'select os zlib mitogen posix time errno struct _struct _sha1 fcntl signal imp io site functools cPickle _pickle pickle types linecache tokenize re collections codecs encodings abc'.split():
            with open(os.path.join(directory, name + '.py'), 'w') as f:
                f.write('open(%r, "a").write(%r)\n' % (note, name + ' '))
        before = os.getcwd()
        os.chdir(directory)
        try:
            c = self.child()
        finally:
            os.chdir(before)
        self.assertEqual(c.call('os:getcwd'), os.path.realpath(directory))
        # What keeps them out is not passed on.
        self.assertEqual(c.call('os:getenv', T('PYTHONSAFEPATH')), None)
        self.assertFalse(os.path.exists(note) and open(note).read())


if __name__ == '__main__':
    unittest.main()
