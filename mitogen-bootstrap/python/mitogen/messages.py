"""How contexts talk beyond calls: receivers, senders, channels, and the queue that is under them."""
import sys
from mitogen import core
from mitogen.broker import clock
from mitogen.core import ENC_PICKLE, PY3, BytesType, ChannelError, Error, Message, StreamError
from mitogen.credit import Account, Credit, acquire
from mitogen.importer import allocate_lock, get_ident
from mitogen.wire import EMPTY, pack

# Bytes that are worth a form of their own.
LONG = 32768


class TimeoutError(Error):
    """Nothing came in time."""


class LatchError(Error):
    """Waiting, or telling, makes no sense any more."""


class LongMessage(Message):
    """A message whose bytes stay in the pieces that they came in, until somebody wants them as one."""
    def data(self):
        self.pieces = [EMPTY.join(self.pieces)]
        return self.pieces[0]
    data = property(data)

    def size(self):
        return sum([len(piece) for piece in self.pieces])


def pickled(data, who, handle):
    """A message that carries a value in the form that costs its receiver least."""
    econtext = getattr(sys.modules['mitogen'], 'econtext', None)
    protocol = 2
    if econtext and not who:
        protocol = econtext.dispatcher.protocol
    if not PY3 or type(data) is not BytesType or len(data) < LONG:
        return Message.pickled(data, protocol, handle=handle)
    if econtext and econtext.stream and get_ident() != econtext.importer.io_thread:
        # Not at the top: whoever sends only little never needs it.
        from mitogen import bulk
        bulk.install(econtext.stream)
    start = '\x80\x02T'
    if protocol > 2:
        start = '\x80\x03B'
    # What Python 2 has for bytes, all understand, and protocol 2 of Python 3 would make a text of them.
    return LongMessage(enc=ENC_PICKLE, pieces=[start.encode('latin-1') + pack('<i', len(data)), data, '.'.encode()], handle=handle)


class Sender(object):
    """The sending end of a handle in some context."""
    # What tells us how fast the receiver is; made when something is sent.
    credit = None

    def __init__(self, context, dst_handle):
        self.context = context
        self.dst_handle = dst_handle

    def send(self, data):
        """Sends a value. Waits while too much waits there, except on the I/O thread; ChannelError if nobody receives it any more."""
        context = self.context
        msg = pickled(data, context.context_id, self.dst_handle)
        # Who sends to himself would wait for himself.
        if context.context_id != context.router.context_id:
            if not self.credit:
                self.credit = Credit(context)
            msg.reply_to = self.credit.handle
            self.credit.spend(msg.size())
        context.send(msg)

    def close(self):
        """Tells the receiver that nothing more will come."""
        self.context.send(Message.dead('Sender was explicitly closed', handle=self.dst_handle))
        self.__del__()
        self.credit = None

    def __del__(self):
        if self.credit:
            self.credit.close()

    def __reduce__(self):
        return _unpickle_sender, (self.context.context_id, self.dst_handle)


def _unpickle_sender(context_id, dst_handle):
    if dst_handle <= 0:
        raise StreamError('cannot unpickle Sender: bad input')
    return Sender(core._unpickle_context(context_id, None), dst_handle)


_unpickle_sender.__module__ = 'mitogen.core'


class Latch(object):
    """A queue on which any thread can wait, but the I/O thread."""
    # Called with us when something has come; a Select sets it.
    notify = None

    def __init__(self):
        self.lock = allocate_lock()
        self.items = []
        self.sleepers = []
        self.closed = False

    def put(self, obj=None):
        self.lock.acquire()
        try:
            if self.closed:
                raise LatchError('the latch is closed')
            self.items.append(obj)
            self.wake(1)
        finally:
            self.lock.release()
        if self.notify:
            self.notify(self)

    def wake(self, count):
        for sleeper in self.sleepers[:count]:
            self.sleepers.remove(sleeper)
            sleeper.release()

    def close(self):
        self.lock.acquire()
        self.closed = True
        self.wake(len(self.sleepers))
        self.lock.release()

    def size(self):
        return len(self.items)

    def empty(self):
        return not self.items

    def get(self, timeout=None, block=True):
        econtext = getattr(sys.modules['mitogen'], 'econtext', None)
        if block and econtext and get_ident() == econtext.importer.io_thread:
            raise LatchError('the I/O thread may not wait')
        if block and econtext and not self.items and econtext.dispatcher.busy:
            # If it is the main thread that waits, it reads nothing meanwhile.
            econtext.broker.wake()
        deadline = None
        if timeout is not None:
            deadline = clock() + timeout
        while 1:
            self.lock.acquire()
            try:
                if self.items:
                    return self.items.pop(0)
                if self.closed:
                    raise LatchError('the latch is closed')
                if not block:
                    raise TimeoutError('nothing is there')
                sleeper = allocate_lock()
                sleeper.acquire()
                self.sleepers.append(sleeper)
            finally:
                self.lock.release()
            if not acquire(sleeper, deadline):
                self.lock.acquire()
                try:
                    if sleeper in self.sleepers:
                        self.sleepers.remove(sleeper)
                    if not self.items:
                        raise TimeoutError('nothing came within %s seconds' % timeout)
                finally:
                    self.lock.release()


class Receiver(object):
    """The receiving end of a handle: a queue of messages."""
    # Called with the receiver when something has come; a Select sets it.
    notify = None

    def __init__(self, router, handle=None, persist=True, respondent=None, policy=None, overwrite=False):
        self.router = router
        self.latch = Latch()
        self.account = Account(router)
        self.handle = router.add_handler(self.handle_message, handle, persist, policy, respondent, overwrite)

    def handle_message(self, msg):
        if not self.latch.closed:
            # Before anybody can take it.
            self.account.open(msg)
        try:
            self.latch.put(msg)
        except LatchError:
            return
        if self.notify:
            self.notify(self)

    def to_sender(self):
        """A sender that can be passed to other contexts."""
        return Sender(self.router.myself(), self.handle)

    def get(self, timeout=None, block=True, throw_dead=True):
        """Waits for the next message. A dead one is raised."""
        try:
            msg = self.latch.get(timeout, block)
        except LatchError:
            raise ChannelError('the Receiver has been closed')
        self.account.take(msg)
        if throw_dead and msg.is_dead:
            # With its text.
            msg.unpickle()
        return msg

    def __iter__(self):
        while 1:
            msg = self.get(throw_dead=False)
            if msg.is_dead:
                return
            yield msg

    def size(self):
        return self.latch.size()

    def empty(self):
        return self.latch.empty()

    def close(self):
        """Hears no more; who waits gets a ChannelError."""
        self.router.del_handler(self.handle)
        self.latch.close()
        self.account.close()


class Channel(Sender, Receiver):
    """Both ends: what is sent goes to a handle of another context, what is got came to ours."""

    def __init__(self, router, context, dst_handle, handle=None):
        Sender.__init__(self, context, dst_handle)
        Receiver.__init__(self, router, handle)

    def close(self):
        Sender.close(self)
        Receiver.close(self)
