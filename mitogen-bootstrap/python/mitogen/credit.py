"""Credit for channels, so that a slow receiver holds its senders up (mitogen-router/src/credit.rs is the same in Rust, and tells the rules).

A sender's messages name, in `reply_to`, a handle with the top bit set; there the receiver tells how many bytes were taken: `credit:NUMBER`.
"""
import sys
import time
from mitogen.broker import clock
from mitogen.core import Message, to_text
from mitogen.importer import allocate_lock, get_ident

# Where the handles for credit begin; how many bytes a sender may have on their way; after how many a receiver tells again; how many seconds a sender waits for the
# first word; how many senders a receiver tells.
FIRST = 1 << 31
WINDOW = 1 << 20
STEP = 256 << 10
PATIENCE = 5
MANY = 65536
# The shortest and longest sleep where a lock cannot be waited for with a limit.
NAPS = .0005, .05


def acquire(lock, deadline):
    """Takes a lock; returns false when the deadline, a value of `clock` or None, comes first."""
    if deadline is None:
        lock.acquire()
        return True
    if sys.version_info > (3, 2):
        return lock.acquire(True, max(0, deadline - clock()))
    nap = NAPS[0]
    while not lock.acquire(0):
        left = deadline - clock()
        if left <= 0:
            return False
        time.sleep(min(left, nap))
        nap = min(nap * 2, NAPS[1])
    return True


def on_io_thread():
    econtext = getattr(sys.modules['mitogen'], 'econtext', None)
    return econtext and get_ident() == econtext.importer.io_thread


class Credit(object):
    """What one sender may send."""
    handle_lock = allocate_lock()
    last = FIRST - 1

    def __init__(self, context):
        self.router = router = context.router
        self.sent = self.taken = 0
        # Whether the receiver gives credit; None until that is known.
        self.gives = None
        # The message that says that nobody receives any more.
        self.dead = None
        self.sleepers = []
        self.lock = allocate_lock()
        self.handle_lock.acquire()
        Credit.last = self.handle = Credit.last + 1
        self.handle_lock.release()
        router.handlers[self.handle] = self.handle_message, True, False, context.context_id

    def handle_message(self, msg):
        self.lock.acquire()
        if msg.is_dead:
            self.dead = msg
        else:
            text = msg.data.decode('utf-8', 'replace')
            if text[:7] == 'credit:' and text[7:].isdigit():
                self.gives = True
                self.taken = min(max(self.taken, int(text[7:])), self.sent)
        while self.sleepers:
            self.sleepers.pop().release()
        self.lock.release()

    def spend(self, size):
        """Waits until a message of so many bytes may be sent."""
        self.lock.acquire()
        try:
            while 1:
                if self.dead:
                    # With its text.
                    self.dead.unpickle()
                if self.gives is False or self.sent - self.taken < WINDOW or on_io_thread():
                    self.sent += size
                    return
                sleeper = allocate_lock()
                sleeper.acquire()
                self.sleepers.append(sleeper)
                deadline = None
                if self.gives is None:
                    deadline = clock() + PATIENCE
                self.lock.release()
                try:
                    in_time = acquire(sleeper, deadline)
                finally:
                    self.lock.acquire()
                if not in_time and self.gives is None:
                    # A receiver that knows nothing of this.
                    self.gives = False
        finally:
            self.lock.release()

    def close(self):
        """Hears no more."""
        self.router.handlers.pop(self.handle, None)


class Account(object):
    """What a receiver has taken of each sender's messages."""

    def __init__(self, router):
        self.router = router
        self.lock = allocate_lock()
        # (context, handle) of a sender -> [bytes taken, bytes told].
        self.senders = {}

    def tell(self, sender, taken):
        self.router.route(Message(dst_id=sender[0], handle=sender[1], data=to_text('credit:%d' % taken).encode()))

    def open(self, msg):
        """A message has come."""
        sender = msg.src_id, msg.reply_to
        if msg.reply_to >= FIRST and sender not in self.senders and len(self.senders) < MANY:
            self.senders[sender] = [0, 0]
            self.tell(sender, 0)

    def take(self, msg):
        """A message was taken."""
        sender = msg.src_id, msg.reply_to
        entry = self.senders.get(sender)
        if entry:
            self.lock.acquire()
            entry[0] += len(msg.data)
            taken = entry[0]
            due = taken - entry[1] >= STEP
            if due:
                entry[1] = taken
            self.lock.release()
            if due:
                self.tell(sender, taken)

    def close(self):
        """Nothing will be taken any more."""
        for context_id, handle in list(self.senders):
            self.router.route(Message.dead('the Receiver has been closed', dst_id=context_id, handle=handle))
        self.senders.clear()
