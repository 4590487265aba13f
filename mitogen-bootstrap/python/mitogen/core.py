"""The names that user code may expect in a context, and the pickles that carry them."""
import sys

PY3 = sys.version_info > (3,)
# The accelerator wants nothing of functools but `partial`; the real one would load ten more modules.
fake = None
try:
    if PY3 and 'functools' not in sys.modules:
        import _functools
        sys.modules['functools'] = fake = _functools
    from _pickle import dumps, Unpickler
except ImportError:
    try:
        from cPickle import dumps, Unpickler
    except ImportError:
        from pickle import dumps, Unpickler
if fake:
    del sys.modules['functools']
try:
    from cStringIO import StringIO as BytesIO
except ImportError:
    from _io import BytesIO

BytesType = type(''.encode())
UnicodeType = type(BytesType().decode())

# The handles that a context without children needs.
GET_MODULE = 100
CALL_FUNCTION = 101
FORWARD_LOG = 102
SHUTDOWN = 106
LOAD_MODULE = 107
IS_DEAD = 999

# The router of this process.
router = None

# How a frame says what its payload is.
ENC_PLAIN = 0x4d49
ENC_PICKLE = 0x4d4a
ENC_BYTES = 0x4d4b


class Error(Exception):
    """Base of all our errors."""


class StreamError(Error):
    """A peer sent what it may not send."""


class ChannelError(Error):
    """The other end of a conversation is gone."""


class CallError(Error):
    """A function failed in another context. The text is `module.Class: message`, then the traceback."""

    def __reduce__(self):
        return _unpickle_call_error, (to_text(self.args[0]),)


class Report(object):
    """What is pickled in the place of a CallError: the exceptions of Python 2.4 are classic instances, whose `__reduce__` is not asked."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return self.error.__reduce__()


def _unpickle_call_error(text):
    if type(text) is not UnicodeType or len(text) >= 10000:
        raise StreamError('cannot unpickle CallError: bad input')
    return CallError(text)


def to_text(obj):
    """Text of anything; bytes are taken for UTF-8, and what is not is replaced."""
    if isinstance(obj, BytesType):
        return obj.decode('utf-8', 'replace')
    return UnicodeType(obj)


class Blob(BytesType):
    """Bytes."""

    def __reduce__(self):
        return Blob, (BytesType(self),)


class Kwargs(dict):
    """Keyword arguments, with keys of the type that this Python accepts for `**`."""

    def __init__(self, source=()):
        dict.__init__(self, source)
        for key in list(self):
            if type(key) is not str:
                self[PY3 and key.decode() or str(key)] = self.pop(key)

    def __reduce__(self):
        return Kwargs, (dict(self),)


class Growing(object):
    """Has more to offer when it is asked: mitogen.api adds that."""

    def __getattr__(self, name):
        if name[0] != '_':
            __import__('mitogen.api')
        return object.__getattribute__(self, name)


class Context(Growing):
    """A context, as seen from this one."""

    def __init__(self, router, context_id, name=None):
        self.router = router
        self.context_id = context_id
        self.name = name

    def send(self, msg):
        """Sends a message there; it need not name its addressee."""
        msg.dst_id = self.context_id
        self.router.route(msg)

    def __reduce__(self):
        return _unpickle_context, (self.context_id, self.name and to_text(self.name))

    def __repr__(self):
        return 'Context(%s, %r)' % (self.context_id, self.name)


def _unpickle_context(context_id, name):
    if context_id < 0 or name is not None and (type(name) is not UnicodeType or len(name) > 99):
        raise StreamError('cannot unpickle Context: bad input')
    return router.context_by_id(context_id, name)


def _encode(text, _=None):
    # What Python 3 sends for bytes: never another codec than this one.
    return text.encode('latin-1')


if not PY3:
    # The first use of a codec imports it, which the I/O thread must never do: another thread may hold the import lock while it waits for a module.
    _encode(to_text(BytesType()))

# All that a pickle may name; mitogen.api adds more when it is asked.
GLOBALS = {
    'mitogen.core.CallError': _unpickle_call_error,
    'mitogen.core._unpickle_call_error': _unpickle_call_error,
    'mitogen.core._unpickle_context': _unpickle_context,
    'mitogen.core.Blob': Blob,
    'mitogen.core.Kwargs': Kwargs,
    '_codecs.encode': _encode,
    '__builtin__.bytes': BytesType,
}


def _find(module, name):
    name = '%s.%s' % (module, name)
    if name not in GLOBALS:
        __import__('mitogen.api')
    try:
        return GLOBALS[name]
    except KeyError:
        raise StreamError('cannot unpickle ' + name)


if PY3:
    class _Unpickler(Unpickler):
        find_class = staticmethod(_find)


def loads(data):
    """Reads a pickle of plain values and the special ones above, nothing else."""
    if PY3:
        reader = _Unpickler(BytesIO(data), encoding='bytes')
    else:
        reader = Unpickler(BytesIO(data))
        reader.find_global = _find
        try:
            # Python's own pickle wants it here, cPickle refuses it.
            reader.find_class = _find
        except AttributeError:
            pass
    return reader.load()


class Message(object):
    """A message, with or without a way to go."""
    enc = ENC_PLAIN
    dst_id = handle = reply_to = 0
    src_id = auth_id = None
    data = BytesType()

    def __init__(self, **kw):
        if kw:
            self.__dict__.update(kw)

    def pickled(cls, obj, protocol=2, **kw):
        """A message that carries a value."""
        if isinstance(obj, CallError):
            obj = Report(obj)
        msg = cls(**kw)
        msg.enc = ENC_PICKLE
        msg.data = dumps(obj, protocol)
        return msg
    pickled = classmethod(pickled)

    def dead(cls, reason='', **kw):
        """A message that ends a conversation."""
        return cls(reply_to=IS_DEAD, data=to_text(reason).encode('utf-8'), **kw)
    dead = classmethod(dead)

    def size(self):
        return len(self.data)

    def is_dead(self):
        return self.reply_to == IS_DEAD
    is_dead = property(is_dead)

    def unpickle(self, throw=True):
        """The value carried. A dead message, and a CallError if `throw`, are raised."""
        if self.reply_to == IS_DEAD:
            raise ChannelError(to_text(self.data) or 'Channel closed by remote end.')
        if self.enc == ENC_BYTES:
            raise ValueError('Message is not pickled, invalid enc=%d' % self.enc)
        try:
            obj = loads(self.data)
        except Error:
            raise
        except Exception:
            raise StreamError('invalid message: %s' % (sys.exc_info()[1],))
        if throw and isinstance(obj, CallError):
            raise obj
        return obj

    def reply(self, msg):
        """Answers with a message or a value, if an answer is wanted."""
        if self.reply_to and self.reply_to != IS_DEAD:
            if not isinstance(msg, Message):
                msg = Message.pickled(msg)
            msg.dst_id = self.src_id
            msg.handle = self.reply_to
            router.route(msg)

    def __repr__(self):
        return 'Message(%s)' % (self.__dict__,)


class Dispatcher(object):
    """Under this name callers forget a chain of calls; the real one is mitogen.dispatch's."""
    chains = {}

    def forget_chain(chain_id):
        Dispatcher.chains.pop(chain_id, None)
    forget_chain = staticmethod(forget_chain)
