"""Waits for the first of many: receivers, latches and other selects."""
from mitogen import messages
from mitogen.messages import Latch
from mitogen.core import Error, Message


class Event(object):
    """What a Select got: from whom, and what."""
    source = None
    data = None


class Select(object):
    """Gets what comes to any of its receivers, as it comes. A `oneshot` one lets each receiver go after its first message."""
    # Called with us when something has come; an outer Select sets it.
    notify = None

    def __init__(self, receivers=(), oneshot=True):
        self.oneshot = oneshot
        self.receivers = []
        self.latch = Latch()
        for receiver in receivers:
            self.add(receiver)

    def all(cls, receivers):
        """The messages of all receivers, in the order of their arrival."""
        return list(cls(receivers))
    all = classmethod(all)

    def put(self, receiver):
        self.latch.put(receiver)
        if self.notify:
            self.notify(self)

    def add(self, receiver):
        if receiver.notify:
            raise Error('it is waited for already: %r' % (receiver,))
        if isinstance(receiver, Select) and receiver.holds(self):
            raise Error('a Select cannot wait for itself')
        self.receivers.append(receiver)
        receiver.notify = self.put
        # What came before may be told twice now; `get_event` does not mind.
        for _ in range(receiver.size()):
            self.put(receiver)

    def holds(self, other):
        return self is other or bool([1 for receiver in self.receivers if isinstance(receiver, Select) and receiver.holds(other)])

    def remove(self, receiver):
        if receiver not in self.receivers:
            raise Error('it is not waited for: %r' % (receiver,))
        self.receivers.remove(receiver)
        receiver.notify = None

    def close(self):
        for receiver in self.receivers[:]:
            self.remove(receiver)
        self.latch.close()

    def size(self):
        return sum([receiver.size() for receiver in self.receivers])

    def empty(self):
        return not self.size()

    def __len__(self):
        return len(self.receivers)

    def __bool__(self):
        return bool(self.receivers)
    __nonzero__ = __bool__

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        while self.receivers:
            yield self.get()

    def get(self, timeout=None, block=True):
        """Waits for the next message; its `receiver` says where it came."""
        return self.get_event(timeout, block).data

    def get_event(self, timeout=None, block=True):
        """Waits for the next Event."""
        if not self.receivers:
            raise Error('there is nothing to wait for')
        while 1:
            source = self.latch.get(timeout, block)
            if source not in self.receivers or source.empty():
                continue
            if self.oneshot:
                self.remove(source)
            try:
                if isinstance(source, Select):
                    return source.get_event(block=False)
                event = Event()
                event.source = source
                event.data = source.get(block=False)
            except messages.TimeoutError:
                # Another thread was faster.
                continue
            if isinstance(event.data, Message):
                event.data.receiver = source
            return event
