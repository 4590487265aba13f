"""What the scenarios call. For Python 2.7 and 3, on our agent and on upstream's core."""
import hashlib
import logging
import os
import signal
import sys
import time

import mitogen.core
import mitogen.service

seen = []


def echo(*args, **kwargs):
    if kwargs:
        return [list(args), kwargs]
    if len(args) == 1:
        return args[0]
    return args


def name(value):
    """What a value is, in words that are the same on 2 and 3."""
    if value is None or value is True or value is False:
        return u'%s' % value
    if isinstance(value, mitogen.core.Secret):
        return u'secret %s' % len(value)
    if isinstance(value, mitogen.core.Blob):
        return u'blob %s' % len(value)
    if isinstance(value, mitogen.core.Context):
        return u'context %d' % value.context_id
    if isinstance(value, mitogen.core.Sender):
        return u'sender'
    if isinstance(value, float):
        return u'float %r' % value
    if isinstance(value, type(b'')):
        return u'bytes ' + value.decode('latin-1')
    if isinstance(value, type(u'')):
        return u'text ' + value
    if isinstance(value, tuple):
        return u'(%s)' % u', '.join([name(item) for item in value])
    if isinstance(value, list):
        return u'[%s]' % u', '.join([name(item) for item in value])
    if isinstance(value, dict):
        return u'{%s}' % u', '.join(sorted([u'%s: %s' % (name(key), name(value[key])) for key in value]))
    return u'int %d' % value


def names(*args):
    return [name(arg) for arg in args]


def keyword_names(**kwargs):
    return sorted([u'%s %s' % (key, name(kwargs[key])) for key in kwargs])


def kinds(*args):
    """Of which kinds the values are that arrive."""
    return [name(arg).split(' ')[0] for arg in args]


def shared():
    """The same objects at several places."""
    items, word = [1], u'word'
    return [items, items, {word: items}, (word, word)]


def long_five():
    """A small number of Python 2's large kind."""
    return int('5') * (2 ** 100 // 2 ** 100)


def no_wire_value():
    return set([1])


def big(size):
    return b'x' * size


def length(value):
    return len(value)


def fail(message):
    raise ValueError(message)


class Trouble(Exception):
    pass


def fail_ours():
    raise Trouble('own', 1)


def fail_deep():
    try:
        fail('inner')
    except ValueError:
        raise KeyError('outer')


def unpicklable():
    return lambda: None


def leave():
    sys.exit(3)


class Klass(object):
    @classmethod
    def method(cls, value):
        return [u'%s' % cls.__name__, value]

    @staticmethod
    def static(value):
        return value


def remember(value):
    seen.append(value)


def remembered():
    return list(seen)


def forget():
    del seen[:]


def first_link(context_id=None):
    return u'one'


def append(items, value):
    return list(items) + [value]


@mitogen.core.takes_econtext
def identity(econtext=None):
    return [mitogen.context_id, list(mitogen.parent_ids), econtext.router is not None]


@mitogen.core.takes_router
def call_context(context, function, args, router=None):
    """Calls a function of this module in a context that was passed."""
    return context.call(globals()[str(function)], *args)


def dead(context, handle):
    """What comes of a message to a handle where nobody listens, or not to us."""
    try:
        context.send_await(mitogen.core.Message.pickled(None, handle=handle))
    except mitogen.core.ChannelError:
        return u'%s' % sys.exc_info()[1]


@mitogen.core.takes_router
def dead_id(context_id, handle, router=None):
    return dead(router.context_by_id(context_id), handle)


def send_all(sender, values):
    for value in values:
        sender.send(value)
    sender.close()


def send_between(sender, text, count):
    for index in range(count):
        sender.send([text, index])
    sender.close()


@mitogen.core.takes_router
def gather(context, function, values, router=None):
    """Has another context send to a receiver of this one."""
    receiver = mitogen.core.Receiver(router)
    context.call_no_reply(globals()[str(function)], receiver.to_sender(), values)
    return drain(receiver)


def drain(receiver):
    got = []
    try:
        while True:
            got.append(receiver.get().unpickle())
    except mitogen.core.ChannelError:
        return got


@mitogen.core.takes_router
def open_receiver(router=None):
    seen.append(mitogen.core.Receiver(router))
    return seen[-1].to_sender()


def collect():
    return drain(seen.pop())


class Sink(object):
    def __init__(self):
        self.hash = hashlib.sha1()
        self.size = 0

    def write(self, data):
        self.hash.update(data)
        self.size += len(data)


@mitogen.core.takes_router
def fetch(path, router=None):
    """Fetches a file of the master; whether all of it came, its size and its digest."""
    sink = Sink()
    ok, metadata = mitogen.service.FileService.get(router.context_by_id(0), path, sink)
    size = [metadata[key] for key in metadata if key in ('size', u'size', b'size')]
    return [ok, size == [sink.size], sink.size, u'%s' % sink.hash.hexdigest()]


class Grave(Sink):
    def write(self, data):
        kill()


@mitogen.core.takes_router
def fetch_and_die(path, router=None):
    """Ends with the first piece of a file."""
    mitogen.service.FileService.get(router.context_by_id(0), path, Grave())


def ask(context, service, method, kwargs):
    """Asks a service of another context."""
    named = dict([(str(key), kwargs[key]) for key in kwargs])
    return context.call_service(service, method, **named)


def log(text):
    logger = logging.getLogger('interop')
    logger.warning('%s', text)
    logger.error('%s', u'second')
    logger.debug('%s', u'never seen')


def say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()
    sys.stderr.write(text.upper() + '\n')
    sys.stderr.flush()
    os.write(1, b'raw\n')
    # Printed lines and results travel by ways of their own.
    time.sleep(0.3)


def missing():
    import interop_no_such_module
    return interop_no_such_module


def late():
    from interop_package import late as module
    return module.VALUE


def resource(package, name):
    """The content of a package's data file, where the library can give it."""
    if (3, 7) <= sys.version_info < (3, 13):
        import importlib.resources
        return importlib.resources.read_binary(package, name)
    return b'data\n'


def kill(delay=0):
    time.sleep(delay)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
