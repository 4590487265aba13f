"""What user code in a context may ask of `mitogen.core`, contexts and the router beyond what every context needs. It comes when first asked for, and adds itself there."""
import os
import sys
import time
from mitogen import core, messages, tree
from mitogen.broker import Broker, clock
from mitogen.core import Context, Error, Kwargs, Message, StreamError, UnicodeType, to_text
from mitogen.credit import NAPS
from mitogen.importer import allocate_lock
from mitogen.messages import Channel, Latch, LatchError, Receiver, Sender, _unpickle_sender
from mitogen.router import Router

ALLOCATE_ID = 105
# Where the controller gives plans away; only between our own.
GET_PLAN = 201
METHODS = 'local', 'ssh', 'sudo', 'su', 'doas', 'docker', 'podman', 'buildah', 'lxc', 'lxd', 'incus', 'kubectl', 'jail', 'setns', 'machinectl'
# The modules that a context, with or without children, may come to need when it least expects it.
REST = 'failure', 'logs', 'process', 'credit', 'messages', 'select', 'bulk', 'api'
# Seconds that what was sent gets to leave before a context detaches.
PATIENCE = 2


class Secret(UnicodeType):
    """Text whose repr shows nothing."""
    __module__ = 'mitogen.core'

    def __repr__(self):
        return '[secret]'

    def __reduce__(self):
        return Secret, (UnicodeType(self),)


def takes_econtext(func):
    """Marks a function that wants the keyword argument `econtext`."""
    func.mitogen_takes_econtext = True
    return func


def takes_router(func):
    """Marks a function that wants the keyword argument `router`."""
    func.mitogen_takes_router = True
    return func


def has_parent_authority(msg, _stream=None):
    """Whether a message speaks with a parent's authority, or our own."""
    return msg.auth_id in core.router.trusted


def text_of(obj):
    """Options and names as text: for Python 2 they are bytes, which others could not tell from data."""
    if type(obj) is str:
        return to_text(obj)
    if type(obj) in (list, tuple):
        return [text_of(item) for item in obj]
    return obj


def split_function(fn):
    """(module, class or None, name) of a function that another context can find."""
    owner = getattr(fn, 'im_self', None) or getattr(fn, '__self__', None)
    name = fn.__name__
    klass = None
    if isinstance(owner, type) or type(owner).__name__ == 'classobj':
        klass = owner.__name__
        module = owner.__module__
    elif owner is not None and type(owner) is not type(sys):
        raise TypeError('a method of an object cannot be called elsewhere: %r' % (fn,))
    else:
        module = fn.__module__
    if name == '<lambda>' or '<locals>' in getattr(fn, '__qualname__', ''):
        raise TypeError('only a function of a module or a class can be called elsewhere: %r' % (fn,))
    return to_text(module), klass and to_text(klass), to_text(name)


class MoreOfContext(object):
    def send_async(self, msg, persist=False):
        """Sends a message; returns the receiver of its answer."""
        receiver = Receiver(self.router, None, persist, self)
        msg.reply_to = receiver.handle
        self.send(msg)
        return receiver

    def send_await(self, msg, deadline=None):
        """Sends a message and waits for the value that answers it."""
        receiver = self.send_async(msg)
        try:
            return receiver.get(deadline).unpickle()
        finally:
            receiver.close()

    def call_message(self, fn, args, kwargs):
        chain = kwargs.pop('mitogen_chain', None)
        module, klass, name = split_function(fn)
        return Message.pickled((chain, module, klass, name, args, Kwargs(kwargs)), handle=core.CALL_FUNCTION)

    def call_async(self, fn, *args, **kwargs):
        """Starts a call; returns the receiver of its result."""
        return self.send_async(self.call_message(fn, args, kwargs))

    def call(self, fn, *args, **kwargs):
        """Calls a function there, and returns its result."""
        return self.send_await(self.call_message(fn, args, kwargs))

    def call_no_reply(self, fn, *args, **kwargs):
        """Calls a function there; its result is lost, a failure is logged."""
        self.send(self.call_message(fn, args, kwargs))

    def call_service_async(self, service_name, method_name, **kwargs):
        """Asks a service there, by its name or class; returns the receiver of its answer."""
        if isinstance(service_name, type):
            service_name = service_name.name()
        request = to_text(service_name), to_text(method_name), Kwargs(kwargs)
        return self.send_async(Message.pickled(request, handle=core.CALL_SERVICE))

    def call_service(self, service_name, method_name, **kwargs):
        """Asks a service there, and returns its answer."""
        receiver = self.call_service_async(service_name, method_name, **kwargs)
        try:
            return receiver.get().unpickle()
        finally:
            receiver.close()

    def shutdown(self, wait=False):
        """Has it end."""
        self.send(Message(handle=core.SHUTDOWN))
        if wait:
            latch = Latch()
            core.listen(self, 'disconnect', latch.put)
            if self.context_id not in self.router.lost:
                latch.get()


class MoreOfRouter(object):
    # There is one router in a process.
    handler_lock = allocate_lock()
    id_lock = allocate_lock()
    ids = []
    # The contexts that are known to be no more.
    lost = set()

    def add_handler(self, fn, handle=None, persist=True, policy=None, respondent=None, overwrite=False):
        """Has `fn(msg)` called, on the I/O thread, for what comes to a handle (by default a new one), which is returned."""
        trusted = policy in (True, has_parent_authority)
        if policy and not trusted:
            fn = Guarded(self, fn, policy)
        respondent = getattr(respondent, 'context_id', respondent)
        self.handler_lock.acquire()
        try:
            if handle in self.handlers and not overwrite:
                raise Error('the handle %d is in use' % handle)
            return add_handler(self, fn, handle, persist, trusted, respondent)
        finally:
            self.handler_lock.release()

    def del_handler(self, handle):
        """Hears no more; what comes is answered as to any unknown handle."""
        self.handlers.pop(handle, None)

    def allocate_id(self):
        """A context id that nobody else has."""
        self.id_lock.acquire()
        try:
            if not self.ids:
                first, end = self.context_by_id(0).send_await(Message(handle=ALLOCATE_ID))
                self.ids.extend(range(first, end))
            return self.ids.pop(0)
        finally:
            self.id_lock.release()

    def connect(self, method, via=None, **options):
        """Starts a context from here, or from another one (`via`); how that is done is for the controller to say."""
        options = Kwargs(dict([(to_text(key), text_of(options[key])) for key in options]))
        method = to_text(method)
        if via is not None and via.context_id != self.context_id:
            return via.call(connect, method, options)
        from mitogen import spawn
        plan = self.context_by_id(0).send_await(Message.pickled((method, options), handle=GET_PLAN))
        birth = spawn.Birth(sys.modules['mitogen'].econtext, plan)
        try:
            birth.run()
        except:
            birth.close()
            raise
        report = birth.report
        if not report['ok']:
            why = report['message'] or '%s while waiting for the %s, status %s' % (report['reason'], report['phase'], report['status'])
            words = ['%s: %s' % (source, to_text(line)) for source, line in report['lines']]
            raise StreamError('\n'.join(['%s: no context: %s' % (method, why)] + words))
        return self.context_by_id(birth.plan['id'], birth.plan['name'])


class MoreOfExternalContext(object):
    def detach(self):
        """Leaves the tree, with all that is below: this context outlives its parents. It can no longer have ids, plans or modules of them."""
        from mitogen import loop
        loop.upgrade(self)
        link = self.router.parent
        if not link:
            return
        # Nobody will answer later, neither us nor those below.
        for name in REST:
            self.importer.fetch('mitogen.' + name)
        try:
            os.setsid()
        except OSError:
            # It leads a session already.
            pass
        self.parent.send_await(Message(handle=tree.DETACHING))
        # What was sent before arrives, if somebody reads it.
        until = clock() + PATIENCE
        while link.queued and not link.dead and clock() < until:
            time.sleep(NAPS[1])
        done = allocate_lock()
        done.acquire()
        self.broker.defer(self.broker.leave, done)
        done.acquire()
        self.parent = self.master = self.stream = None
        sys.modules['mitogen'].parent_id = None


class Guarded(object):
    """A handler with a policy of the user's."""

    def __init__(self, router, fn, policy):
        self.router = router
        self.fn = fn
        self.policy = policy

    def __call__(self, msg):
        if msg.is_dead or self.policy(msg, None):
            self.fn(msg)
        else:
            self.router.refuse(msg, 'refused by policy')


def connect(method, options, router=None):
    """What `connect` calls in the context that is to be the parent."""
    # The dispatcher passes the router by its name, which only a default keeps from being shortened.
    return router.connect(method, **dict(Kwargs(options)))


takes_router(connect)


def detach(econtext=None):
    """What the controller calls to have a context leave."""
    econtext.detach()


takes_econtext(detach)


def connector(name):
    def method(self, **options):
        return self.connect(name, **options)
    return method


# (object, event) -> functions. The object is kept, so that its id stays its own.
listeners = {}


def listen(obj, name, fn):
    """Has `fn` called when something happens to an object: 'disconnect' to a context."""
    listeners.setdefault((id(obj), name), [obj]).append(fn)


def unlisten(obj, name, fn):
    listeners[id(obj), name].remove(fn)


def fire(obj, name, *args, **kwargs):
    for fn in listeners.get((id(obj), name), ())[1:]:
        fn(*args, **kwargs)


def import_module(name):
    __import__(name)
    return sys.modules[name]


def mourn(ids):
    router = core.router
    router.lost.update(ids)
    for context_id in ids:
        if context_id in router.contexts:
            fire(router.contexts[context_id], 'disconnect')


def handle_del_route(msg):
    """In a context without children; one with children has its own."""
    if msg.auth_id in core.router.trusted and not msg.is_dead:
        tree.lose(core.router, [int(msg.data.decode().split(':')[0])])


def extend():
    add = {'Latch': Latch, 'Receiver': Receiver, 'Channel': Channel, 'TimeoutError': messages.TimeoutError, 'LatchError': LatchError, 'listen': listen, 'unlisten': unlisten,
           'Secret': Secret, 'Sender': Sender, '_unpickle_sender': _unpickle_sender, 'takes_econtext': takes_econtext, 'takes_router': takes_router,
           'has_parent_authority': has_parent_authority, 'fire': fire, 'import_module': import_module, 'Router': Router, 'Broker': Broker, 'CHUNK_SIZE': 131072, 'ADD_ROUTE': tree.ADD_ROUTE,
           'DEL_ROUTE': tree.DEL_ROUTE, 'ALLOCATE_ID': ALLOCATE_ID, 'FORWARD_MODULE': tree.FORWARD_MODULE, 'DETACHING': tree.DETACHING, 'CALL_SERVICE': 110}
    core.__dict__.update(add)
    for name in 'Secret', '_unpickle_sender':
        core.GLOBALS['mitogen.core.' + name] = add[name]
    pairs = [(MoreOfContext, Context), (MoreOfRouter, Router)]
    if hasattr(sys.modules['mitogen'], 'econtext'):
        pairs.append((MoreOfExternalContext, type(sys.modules['mitogen'].econtext)))
    for source, target in pairs:
        for name, value in source.__dict__.items():
            if name[:2] != '__':
                setattr(target, name, value)
    for name in METHODS:
        setattr(Router, name, connector(name))
    tree.mourners.append(mourn)
    if core.router and tree.DEL_ROUTE not in core.router.handlers:
        core.router.handlers[tree.DEL_ROUTE] = handle_del_route, True, False, None


add_handler = Router.__dict__['add_handler']
extend()
