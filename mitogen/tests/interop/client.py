"""Plays scenarios.json as a program of upstream's users does: on a listener. For Python 2.7 and 3, any release.

Arguments: the socket, the folder of the scenarios, an interpreter for the contexts. Prints complaints, a line each.
"""
import hashlib
import json
import logging
import os
import sys
import tempfile
import time

import mitogen.core
import mitogen.parent
import mitogen.service
import mitogen.unix

SOCKET, HERE, PYTHON = sys.argv[1:]
BYTES, TEXT = type(b''), type(u'')
INTS = tuple(set([int, type(2 ** 70)]))


class Records(logging.Handler):
    seen = []

    def emit(self, record):
        self.seen.append([record.name.split('.[')[0], record.levelno, record.getMessage()])


def unhex(text):
    return bytes(bytearray(int(text[at:at + 2], 16) for at in range(0, len(text), 2)))


def hexed(data):
    return u''.join(u'%02x' % byte for byte in bytearray(data))


def text(value):
    return value.decode('utf-8', 'replace') if isinstance(value, BYTES) else TEXT(value)


class Greeter(mitogen.service.Service):
    """What contexts ask."""

    @classmethod
    def name(cls):
        return u'interop.greeter'

    @mitogen.service.expose(policy=mitogen.service.AllowAny())
    def greet(self, name):
        return u'hello, %s' % name

    @mitogen.service.expose(policy=mitogen.service.AllowAny())
    def fail(self):
        raise ValueError('no greeting')


class Stage(object):
    def __init__(self, router, controller):
        self.router = router
        self.controller = controller
        # The controller is who leads to all of them; this program is one more of its neighbours.
        self.contexts = {u'master': controller, u'player': mitogen.parent.Context(router, mitogen.context_id)}
        self.files = {}
        self.kept = {}
        self.sender = None

    def make_files(self, files, folder):
        for entry in files:
            path = os.path.join(folder, entry['name'])
            content = bytes(bytearray(n * 7 % 251 for n in range(entry['size'])))
            with open(path, 'wb') as fp:
                fp.write(content)
            if entry['registered']:
                self.controller.call_service(mitogen.service.FileService, 'register', path=path)
            self.files[entry['name']] = path, TEXT(hashlib.sha1(content).hexdigest())

    def make_programs(self, programs, folder):
        for entry in programs:
            path = os.path.join(folder, entry['name'])
            with open(path, 'w') as fp:
                fp.write(entry['text'])
            os.chmod(path, 493)
            self.files[entry['name']] = path, u''

    def start(self, name):
        old = self.contexts.pop(name, None)
        if old:
            old.shutdown()
        via = self.contexts[u'child'] if name == u'grandchild' else self.controller
        self.contexts[name] = self.router.local(via=via, python_path=PYTHON)

    # ---- values ----

    def read(self, value):
        if isinstance(value, list):
            return [self.read(item) for item in value]
        if not isinstance(value, dict):
            return value
        (tag, what), = value.items()
        if tag == 'int':
            return int(what)
        if tag == 'float':
            return float(what)
        if tag == 'bytes':
            return unhex(what)
        if tag == 'blob':
            return mitogen.core.Blob(unhex(what))
        if tag == 'repeat':
            return b'x' * what
        if tag == 'secret':
            return mitogen.core.Secret(what)
        if tag == 'tuple':
            return tuple(self.read(what))
        if tag == 'dict':
            return dict(map(self.read, pair) for pair in what)
        if tag == 'kwargs':
            return mitogen.core.Kwargs(dict((str(key), self.read(what[key])) for key in what))
        if tag == 'context':
            return self.contexts[what]
        if tag == 'sender':
            return self.sender
        if tag == 'path':
            return TEXT(self.files[what][0])
        if tag == 'kept':
            return self.kept[what]
        raise ValueError(value)

    def show(self, value):
        if value is None or isinstance(value, (bool, float) + INTS):
            if isinstance(value, float) and value - value != 0:
                return {u'float': TEXT(value)}
            if isinstance(value, INTS) and not isinstance(value, bool) and not -2 ** 63 <= value < 2 ** 63:
                return {u'int': TEXT(value)}
            return value
        if isinstance(value, mitogen.core.Blob):
            return {u'blob': hexed(value)}
        if isinstance(value, mitogen.core.Secret):
            return {u'secret': TEXT(value)}
        if isinstance(value, BYTES):
            if len(value) > 1000 and value.count(b'x') == len(value):
                return {u'repeat': len(value)}
            return {u'bytes': hexed(value)}
        if isinstance(value, TEXT):
            return value
        if isinstance(value, list):
            return [self.show(item) for item in value]
        if isinstance(value, tuple):
            return {u'tuple': [self.show(item) for item in value]}
        if isinstance(value, mitogen.core.Kwargs):
            return {u'kwargs': dict((text(key), self.show(value[key])) for key in value)}
        if isinstance(value, dict):
            return {u'dict': [[self.show(key), self.show(value[key])] for key in value]}
        if isinstance(value, mitogen.core.Context):
            for name in self.contexts:
                if self.contexts[name].context_id == value.context_id:
                    return {u'context': name}
        if isinstance(value, mitogen.core.Sender):
            return {u'sender': True}
        return {u'unknown': repr(value)}

    def agrees(self, expected, seen):
        if isinstance(expected, dict):
            if expected == {u'any': True}:
                return True
            if u'one of' in expected:
                return any(self.agrees(one, seen) for one in expected[u'one of'])
            if u'type' in expected and isinstance(seen, TEXT):
                found = seen.split(u': ')[0]
                if expected[u'type'] == u'ImportError':
                    return found.endswith((u'ImportError', u'ModuleNotFoundError'))
                return found == expected[u'type']
            if u'sha1' in expected and isinstance(seen, TEXT):
                return seen == self.files[expected[u'sha1']][1]
            if not isinstance(seen, dict) or set(expected) != set(seen):
                return False
            if list(expected) == [u'dict']:
                key = lambda pair: json.dumps(pair, sort_keys=True)
                return self.agrees(sorted(expected[u'dict'], key=key), sorted(seen[u'dict'], key=key))
            return all(self.agrees(expected[key], seen[key]) for key in expected)
        if isinstance(expected, list):
            return isinstance(seen, list) and len(expected) == len(seen) and all(map(self.agrees, expected, seen))
        return expected == seen and isinstance(expected, bool) == isinstance(seen, bool)

    # ---- steps ----

    def message(self, step, chain=None):
        module, _, function = step['function'].partition(u':')
        klass = None
        if function:
            klass, _, function = function.rpartition(u'.')
        else:
            module, _, function = module.rpartition(u'.')
        kwargs = dict((str(key), self.read(value)) for key, value in step.get('kwargs', {}).items())
        call = chain, module, klass or None, function, tuple(self.read(step['args'])), mitogen.core.Kwargs(kwargs)
        return mitogen.core.Message.pickled(call, handle=mitogen.core.CALL_FUNCTION)

    def begin(self, step, chain=None):
        return self.contexts[step['in']].send_async(self.message(step, chain))

    def end(self, receiver, keep=None):
        try:
            value = receiver.get(timeout=30).unpickle()
        except mitogen.core.CallError:
            words = text(sys.exc_info()[1].args[0]).split(u'\n  File ')[0]
            return {u'raised': words.replace(u'exceptions.', u'builtins.', 1)}
        except mitogen.core.ChannelError:
            words = text(sys.exc_info()[1].args[0])
            if u'disconnected' in words or u'no route' in words:
                return {u'lost': True}
            return {u'error': words}
        except mitogen.core.Error:
            return {u'error': text(repr(sys.exc_info()[1]))}
        if keep:
            self.kept[keep] = value
        return {u'returned': self.show(value)}

    def call(self, step):
        return self.end(self.begin(step), step.get('keep'))

    def cast(self, step):
        self.contexts[step['in']].send(self.message(step))

    def chain(self, step):
        chain = u'chain %r' % time.time()
        begun = [self.begin(dict(call, **{'in': step['in']}), chain) for call in step['calls']]
        return {u'results': [self.end(receiver) for receiver in begun]}

    def receive(self, step):
        receiver = mitogen.core.Receiver(self.router)
        self.sender = receiver.to_sender()
        pending = self.begin(step)
        received = []
        while True:
            msg = receiver.get(timeout=30, throw_dead=False)
            if msg.is_dead:
                break
            received.append(self.show(msg.unpickle()))
        result = self.end(pending)
        if u'returned' not in result:
            return result
        return {u'received': received, u'closed': msg.data.decode('utf-8')}

    def records(self, step):
        del Records.seen[:]
        result = self.call(step)
        if u'returned' not in result:
            return result
        return {u'records': [record for record in Records.seen if record[0] in step['loggers']]}

    def bereave(self, step):
        pending = self.begin(step)
        killed = self.end(self.begin({'in': step['kill'], 'function': 'interop_peer.kill', 'args': []}))
        assert killed == {u'lost': True}, killed
        return self.end(pending)

    def birth(self, step):
        via = self.contexts[step['behind'] or u'master']
        try:
            self.router.local(via=via, python_path=self.files[step['python']][0])
        except mitogen.core.StreamError:
            return {u'unborn': True}
        return {u'returned': None}

    def shutdown(self, step):
        self.contexts[step['in']].shutdown(wait=True)

    def play(self, scenarios):
        count = 0
        for scenario in scenarios:
            fresh = scenario.get('fresh', [])
            for name in fresh:
                self.start(name)
            for at, step in enumerate(scenario['steps']):
                # The contexts run our agent: what differs there differs here.
                if 'agent' in step.get('skip', {}) or 'client' in step.get('skip', {}):
                    continue
                seen = getattr(self, step['do'])(step)
                differs = step.get('differs', {}).get('client', step)
                expected = differs.get('expect')
                count += 1
                if expected is not None and not self.agrees(expected, seen):
                    print('%s, step %d: %s: expected %s, seen %s' % (scenario['name'], at, step['do'], json.dumps(expected), json.dumps(seen)))
            if 'child' in fresh:
                self.start('child')
                self.start('grandchild')
        return count


def main():
    logging.getLogger().addHandler(Records())
    logging.getLogger().setLevel(logging.INFO)
    with open(os.path.join(HERE, 'scenarios.json'), 'rb') as fp:
        scenarios = json.loads(fp.read().decode('utf-8'))
    router, controller = mitogen.unix.connect(SOCKET)
    pool = mitogen.service.Pool(router, services=[Greeter(router)], size=2)
    try:
        stage = Stage(router, controller)
        folder = tempfile.mkdtemp(dir=os.path.dirname(SOCKET))
        stage.make_files(scenarios['files'], folder)
        stage.make_programs(scenarios['programs'], folder)
        for name in u'child', u'sibling', u'grandchild':
            stage.start(name)
        count = stage.play(scenarios['scenarios'])
        for name in u'grandchild', u'child', u'sibling':
            stage.contexts[name].shutdown(wait=True)
    finally:
        pool.stop()
        router.broker.shutdown()
        router.broker.join()
    print('%d steps played' % count)


main()
