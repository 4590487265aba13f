"""A controller of one child, for tests: packs the agent, boots it over a socketpair, talks frames. Runs on Python 2.7 and 3."""
import os
import select
import signal
import socket
import subprocess
import sys
import time
import types
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

if 'mitogen' not in sys.modules:
    package = sys.modules['mitogen'] = types.ModuleType('mitogen')
    package.__path__ = [os.path.join(ROOT, 'mitogen')]

# Python 2 would take mitogen.select for the `select` that our modules want; in a context they say that they do not.
sys.modules.setdefault('mitogen.select', None)
from mitogen import api, broker, core, loop, wire  # noqa: E402, F401
if not sys.modules['mitogen.select']:
    del sys.modules['mitogen.select']

KEY = '00112233445566778899aabbccddeeff'
# How long anything may take before a test calls it a hang.
PATIENCE = 20
SCRIPT_PY = 'import sys;sys.path[0]or sys.path.pop(0);import os,select;exec(str().join(iter(lambda:select.select([0],[],[])and chr(ord(os.read(0,1)or os._exit(61))),chr(0))))'


def read(*parts):
    with open(os.path.join(ROOT, *parts), 'rb') as f:
        return f.read()


def manifest(kind):
    lines = read('MANIFEST').decode().splitlines()
    return [line.split()[1] for line in lines if line.startswith(kind + ' ')]


def source(name):
    return read(*(name.replace('.', '/') + '.py').split('/'))


def payload(config=None, minify=lambda s: s, compress=lambda s: zlib.compress(s, 9)):
    conf = dict(context_id=1, parent_ids=[0], name='test', log_level=20, max_message_size=128 << 20, key=KEY,
                unidirectional=False, version=(0, 1, 0), pickle_protocol=core.PY3 and 3 or 2)
    conf.update(config or {})
    pieces = [minify(read('loader.py'))]
    for name in manifest('core'):
        pieces += [name.encode(), minify(source(name))]
    keys = 'context_id', 'parent_ids', 'name', 'log_level', 'max_message_size', 'key', 'unidirectional', 'version', 'pickle_protocol'
    return compress(b'\0'.join(pieces)) + repr([conf[key] for key in keys]).encode(), conf


def preamble(config=None, **kw):
    data, conf = payload(config, **kw)
    stage = read('first_stage.py').decode().replace('SIZE', str(len(data))).replace('NAME', 'test:1')
    return stage.encode() + b'\0' + data, conf


def split_payload(data):
    z = zlib.decompressobj()
    z.decompress(data)
    return data[:-len(z.unused_data)], z.unused_data


def report_of(report):
    return dict((str(key), value) for key, value in report.items())


class Child(object):
    """A booted child; `send` and `receive` speak frames."""

    def __init__(self, config=None, python=None, boot=True, stderr=None, env=None):
        self.parent, child = socket.socketpair()
        script = 'export PYTHONSAFEPATH=1;echo EC0&&exec %s -Sc "%s"' % (python or sys.executable, SCRIPT_PY)
        self.proc = subprocess.Popen(['sh', '-c', script], stdin=child, stdout=child, stderr=stderr, close_fds=True, env=env)
        child.close()
        self.buffer = b''
        self.inbox = []
        # (logger, level, text) of each log record.
        self.logs = []
        # (handle, text) of each announced or withdrawn route.
        self.routes = []
        # Sources and packages' children that are served, and what was asked for.
        self.modules = {}
        self.packages = {}
        self.asked = []
        self.preamble, self.config = preamble(config)
        self.last_handle = 1000
        if boot:
            self.expect(b'EC0\n')
            self.parent.sendall(self.preamble)
            self.expect(b'EC1\n')
            self.expect(b'EC2\n')
            self.start_frames()

    def start_frames(self):
        key = self.config['key'].encode()
        self.chain = chain = None
        if key:
            self.chain = wire.Chain(key, 'mitogen parent to child')
            chain = wire.Chain(key, 'mitogen child to parent')
        self.decoder = wire.Decoder(chain, 1 << 30)
        self.inbox += self.decoder.feed(self.buffer)

    def recv(self, size=65536):
        if not select.select([self.parent], [], [], PATIENCE)[0]:
            raise AssertionError('the child hangs')
        try:
            return self.parent.recv(size)
        except socket.error:
            return b''

    def expect(self, marker):
        while marker not in self.buffer:
            data = self.recv()
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        self.buffer = self.buffer.split(marker, 1)[1]

    def send(self, **kw):
        msg = core.Message(**dict(dict(dst_id=1, src_id=0, auth_id=0), **kw))
        self.parent.sendall(wire.encode(msg, self.chain))

    def receive(self):
        """The next message that is no log record; None at the end."""
        while 1:
            while self.inbox:
                msg = self.inbox.pop(0)
                if msg.handle == core.GET_MODULE:
                    try:
                        self.handle_get_module(msg)
                    except (OSError, IOError):
                        # It has ended meanwhile.
                        pass
                elif msg.handle == core.FORWARD_LOG:
                    self.logs.append(tuple(msg.data.decode('utf-8').split('\0', 2)))
                elif msg.handle in (103, 104):
                    self.routes.append((msg.handle, msg.data.decode('utf-8')))
                else:
                    return msg
            data = self.recv()
            if not data:
                return None
            self.inbox += self.decoder.feed(data)

    def start(self, func, *args, **kwargs):
        """Sends a call of `module:func` or `module:class:func`; returns its reply handle."""
        parts = func.split(':')
        klass = None
        if len(parts) == 3:
            klass = parts.pop(1)
        dst = kwargs.pop('dst', 1)
        return self.start_call((kwargs.pop('chain', None), core.to_text(parts[0]), klass and core.to_text(klass),
                                core.to_text(parts[-1]), args, core.Kwargs(kwargs)), dst=dst)

    def start_call(self, call, enc=core.ENC_PICKLE, dst=1):
        self.last_handle += 1
        self.send(dst_id=dst, handle=core.CALL_FUNCTION, reply_to=self.last_handle, enc=enc, data=core.dumps(call, 2))
        return self.last_handle

    def answer(self, handle):
        msg = self.receive()
        if msg is None:
            raise EOFError()
        assert msg.handle == handle, (msg, handle)
        return msg.unpickle()

    def call(self, func, *args, **kwargs):
        return self.answer(self.start(func, *args, **kwargs))

    # Children of the child.

    def plan(self, context_id, parents, python=None, argv=None, config=None, **kw):
        """A plan as the controller writes it, for the parent `parents[0]`."""
        conf = dict(dict(context_id=context_id, parent_ids=parents, key=KEY[::-1]), **(config or {}))
        data, full = preamble(conf)
        head, rest = data.split(b'\0', 1)
        core_blob, tail = split_payload(rest)
        script = 'export PYTHONSAFEPATH=1;echo EC0&&exec %s -Sc "%s"' % (python or sys.executable, SCRIPT_PY)
        t = core.to_text
        argv = [core.Blob(word.encode()) for word in argv or ['sh', '-c', script]]
        plan = dict(id=context_id, name=t('c%d' % context_id), argv=argv, env=[], wiring=t('pipes'), logs_in=False, head=core.Blob(head + b'\0'),
                    tail=core.Blob(tail), key=t(full['key']), secrets=[], timeout=15., noise_cap=65536)
        plan.update(kw)
        return dict((t(key), value) for key, value in plan.items())

    def grant(self, first, end, owner):
        """Tells those on the way to a context, which is given with its ancestors, that ids are its own."""
        if len(owner) > 2:
            self.send(dst_id=1, handle=205, data=('%d:%d:%d' % (first, end, owner[0])).encode())

    def start_birth(self, context_id, parents, *args, **kw):
        self.last_handle += 1
        self.grant(context_id, context_id + 1, parents)
        self.send(dst_id=parents[0], handle=200, reply_to=self.last_handle, enc=core.ENC_PICKLE, data=core.dumps(self.plan(context_id, parents, *args, **kw), 2))
        return self.last_handle

    def bear(self, context_id, parents, *args, **kw):
        """Has a descendant start a child; returns its report with keys as text."""
        return report_of(self.answer(self.start_birth(context_id, parents, *args, **kw)))

    def define(self, text, name='fixture'):
        """Offers a module to the child, for when it asks."""
        self.modules[name] = text

    def push(self, name, dst=1):
        """Sends a module that nobody has asked for."""
        if dst == 1:
            self.send_module(name)
        else:
            self.send(handle=108, data=('%d\0%s' % (dst, name)).encode())

    def handle_get_module(self, msg):
        name = msg.data.decode()
        self.asked.append(name)
        self.send_module(name)

    def send_module(self, name):
        text = self.modules.get(name)
        if text is None and name in manifest('deferred'):
            text = source(name)
        answer = core.to_text(name), None, None, None, ()
        if text is not None:
            if not isinstance(text, bytes):
                text = text.encode('utf-8')
            answer = (core.to_text(name), self.packages.get(name), core.to_text('/src/' + name + '.py'), core.Blob(zlib.compress(text)), ())
        self.send(handle=core.LOAD_MODULE, enc=core.ENC_PICKLE, data=core.dumps(answer, 2))

    def handle_ready(self):
        """Serves what the child asked for meanwhile; what else came waits."""
        rest = []
        while select.select([self.parent], [], [], .1)[0]:
            data = self.parent.recv(65536)
            if not data:
                break
            self.inbox += self.decoder.feed(data)
            while self.inbox:
                msg = self.inbox.pop(0)
                if msg.handle == core.GET_MODULE:
                    self.handle_get_module(msg)
                else:
                    rest.append(msg)
        self.inbox = rest + self.inbox

    def wait(self):
        """Waits for the end of the process; its status."""
        deadline = time.time() + PATIENCE
        while self.proc.poll() is None:
            if time.time() > deadline:
                raise AssertionError('the child does not end')
            time.sleep(.001)
        return self.proc.returncode

    def shutdown(self):
        self.send(handle=core.SHUTDOWN)
        while self.receive():
            pass
        return self.wait()

    def close(self):
        self.parent.close()
        if self.proc.poll() is None:
            try:
                os.kill(self.proc.pid, signal.SIGKILL)
            except OSError:
                pass
            self.proc.wait()
