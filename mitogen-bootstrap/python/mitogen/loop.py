"""The I/O of a context with children: any number of links, the words of the tools that lead to them, and the ends of their processes."""
import errno
import os
import select
import sys
from mitogen import broker, tree
from mitogen.broker import FULL, GRACE, LIMIT, clock
from mitogen.bulk import READ
from mitogen.core import SHUTDOWN
from mitogen.importer import allocate_lock
from mitogen.stream import Link
from mitogen.wire import EMPTY

# Seconds that children get to end.
CHILDREN = 3
# Where a parent revokes a plan; only between our own.
CANCEL_PLAN = 203
READABLE = 1
WRITABLE = 4


class Select(object):
    """For systems that have nothing else."""

    def __init__(self):
        self.masks = {}
        self.register = self.modify = self.masks.__setitem__
        self.unregister = self.masks.__delitem__

    def poll(self, milliseconds=None):
        if milliseconds is not None:
            milliseconds /= 1000.
        masks = self.masks
        ready = select.select([fd for fd in masks if masks[fd] & READABLE], [fd for fd in masks if masks[fd] & WRITABLE], [], milliseconds)
        return [(fd, READABLE) for fd in ready[0]] + [(fd, WRITABLE) for fd in ready[1]]


class Poller(object):
    """Waits for descriptors: with epoll if there may be many, else with poll."""

    def __init__(self, many):
        self.masks = {}
        self.scale = 1000
        if many and hasattr(select, 'epoll'):
            self.poller = select.epoll()  # novm
            self.scale = 1
            if sys.version_info < (3, 4):
                import fcntl
                fcntl.fcntl(self.poller.fileno(), fcntl.F_SETFD, 1)
        elif hasattr(select, 'poll'):
            self.poller = select.poll()
        else:
            self.poller = Select()

    def set(self, fd, mask):
        """What is waited for on a descriptor; 0 before it is closed."""
        old = self.masks.get(fd, 0)
        if mask == old:
            return
        if not old:
            self.poller.register(fd, mask)
        elif mask:
            self.poller.modify(fd, mask)
        else:
            self.poller.unregister(fd)
        self.masks[fd] = mask
        if not mask:
            del self.masks[fd]

    def poll(self, seconds):
        """Returns [(descriptor, mask)]; a mask with other bits than the two is an end or an error."""
        try:
            if seconds is None:
                return self.poller.poll()
            if self.scale == 1:
                return self.poller.poll(seconds)
            return self.poller.poll(int(seconds * 1000 + .999))
        except (select.error, IOError, OSError):
            if sys.exc_info()[1].args[0] != errno.EINTR:
                raise
            return []


class Source(object):
    """Something else to read from."""
    # Read only while the parent takes what we send.
    pausable = True

    def __init__(self, broker, fd):
        self.broker = broker
        self.fd = fd


class Waker(Source):
    pausable = False

    def handle_readable(self):
        if not os.read(self.fd, 99):
            raise IOError('user code has closed the descriptors of the context')


class Captured(Source):
    """Our own standard output or error."""

    def handle_readable(self):
        outputs = self.broker.outputs
        if not outputs[self.fd].receive():
            self.broker.unwatch(self.fd)
            del outputs[self.fd]


class Lines(Source):
    """What a tool prints when its context lives: read in any case, so that it never waits; told only if the controller wants to know."""
    rest = EMPTY
    # What was sent to the tool is in it, and is not to be told.
    history = None

    def handle_readable(self):
        try:
            data = os.read(self.fd, READ)
        except OSError:
            # A terminal without users says this at its end.
            data = EMPTY
        lines = (self.rest + data).split('\n'.encode())
        self.rest = lines.pop()
        if not data or len(self.rest) > READ:
            lines.append(self.rest)
            self.rest = EMPTY
        if self.history:
            for line in lines:
                if line.strip():
                    self.broker.router.log('mitogen.tool', 10, self.history.blot(line.strip()))
        if not data:
            self.broker.unwatch(self.fd)
            os.close(self.fd)


class Broker(broker.Broker):
    """The I/O thread's work. It takes the place of the other kind's class while that runs."""

    def grow(self):
        # (function, arguments) to call on this thread.
        self.calls = []
        # Links that have bytes to write, or died.
        self.pending = []
        self.sources = {}
        self.writers = {}
        # [time of the next look, looks so far, process] of each process that should end.
        self.ends = []
        # What must be stopped if all ends: births on their way.
        self.births = []
        # The ids of contexts that are not to be born, should that be tried yet.
        self.cancelled = set()
        self.paused = False
        self.poller = Poller(True)
        self.watch(Waker(self, self.reader))
        for fd in self.outputs:
            self.watch(Captured(self, fd))

    def defer(self, fn, *args):
        """Has the I/O thread call something; from any thread."""
        self.calls.append((fn, args))
        self.wake()

    def watch(self, source):
        self.sources[source.fd] = source
        self.poller.set(source.fd, READABLE)

    def unwatch(self, fd):
        self.sources.pop(fd, None)
        self.writers.pop(fd, None)
        self.poller.set(fd, 0)

    def shutdown(self, msg=None):
        if self.ending is None:
            broker.Broker.shutdown(self)
            for birth in list(self.births):
                birth.cancel()
            self.router.close()

    def loop(self):
        poll = self.poller.poll
        sources = self.sources
        writers = self.writers
        pending = self.pending
        dispatcher = self.dispatcher
        while 1:
            self.awake = False
            while self.calls:
                fn, args = self.calls.pop(0)
                fn(*args)
            while pending:
                self.look_after(pending.pop(0))
            if dispatcher.queue or dispatcher.closed:
                dispatcher.notify()
            seconds = None
            if writers or self.paused or self.ends or self.ending is not None:
                seconds = self.tick()
            events = poll(seconds)
            for fd, mask in events:
                if fd in sources and mask & ~WRITABLE:
                    sources[fd].handle_readable()
                if fd in writers and mask & ~READABLE and not writers[fd].told:
                    writers[fd].told = True
                    pending.append(writers[fd])
            if self.ending is not None and self.is_over(events):
                return

    def look_after(self, link):
        """Writes what a link has, and waits until it takes more."""
        link.told = False
        if link.gone:
            return
        queued = link.queued
        link.flush()
        if link.dead:
            return self.drop(link)
        if not link.queued and self.ending is None and link.fd_out not in self.writers:
            # As nearly always.
            return
        if link.queued < queued and self.ending is not None:
            self.ending = clock() + GRACE
        mask = 0
        if link.fd_out == link.fd_in:
            mask = READABLE
        if link.queued:
            self.writers[link.fd_out] = link
            mask |= WRITABLE
        else:
            self.writers.pop(link.fd_out, None)
        self.poller.set(link.fd_out, mask)

    def adopt(self, link, name, rest, words, birth, done):
        """Takes a new child's link, with what came of it already."""
        link.grow_link()
        self.router.adopt(link, name)
        self.watch(link)
        for source in words:
            self.watch(source)
        if rest:
            link.feed(rest)
        link.tell()
        done.release()
        if birth.cancelled:
            self.end(link)
        if self.ending is not None:
            self.router.close()

    def end(self, link):
        """Has a child end at once, and all that it runs."""
        link.child.stop(9, True)
        link.lose()

    def handle_cancel(self, msg):
        """CANCEL_PLAN: ends the attempt to start a context, or the child that came of it. The answer is whether there was one."""
        context_id = int(msg.data)
        births = [birth for birth in self.births if birth.plan['id'] == context_id]
        for birth in births:
            birth.cancel()
        link = self.router.links.get(context_id)
        if link in self.router.branches and link.remote_id == context_id:
            self.end(link)
        elif births:
            link = births
        else:
            link = None
            # The plan may still wait for its module to come.
            if len(self.cancelled) < tree.MANY:
                self.cancelled.add(context_id)
        msg.reply(link is not None)

    def leave(self, done):
        """Closes the link to the parent, and lives on."""
        link = self.router.parent
        self.router.orphan()
        self.release(link)
        done.release()

    def release(self, link):
        """Closes a link's descriptors."""
        link.gone = link.dead = True
        fds = set([link.fd_in, link.fd_out])
        for fd in fds:
            self.unwatch(fd)
        link.lock.acquire()
        for fd in fds:
            os.close(fd)
        link.lock.release()

    def drop(self, link):
        """Lets a dead link go."""
        if link is self.router.parent:
            link.gone = True
            for fd in link.fd_in, link.fd_out:
                self.unwatch(fd)
            return self.shutdown()
        self.release(link)
        self.router.abandon(link)
        if link.child:
            link.child.detached = link.detached
            self.bury(link.child)

    def bury(self, process):
        """Sees that a process ends, soon by force."""
        self.ends.append([clock(), 0, process])

    def tick(self):
        """Does what is due. Returns for how many seconds nothing will be, or None."""
        parent = self.router.parent
        if bool(parent and parent.queued >= FULL) != self.paused:
            self.paused = not self.paused
            for source in list(self.sources.values()):
                if getattr(source, 'pausable', False):
                    self.poller.set(source.fd, [READABLE, 0][self.paused])
        if not self.ends and self.ending is None:
            return None
        now = clock()
        for end in self.ends[:]:
            when, looks, process = end
            if when > now:
                continue
            if process.detached:
                # It lives its own life; we only bury it.
                looks = min(looks, 12)
            elif looks == 1:
                process.stop(15)
            elif looks == 5:
                process.stop(9)
            if process.poll() is not None or looks == 20:
                self.ends.remove(end)
            else:
                end[:2] = now + .05 * 1.72 ** looks, looks + 1
        times = [end[0] for end in self.ends if self.ending is None or not end[2].detached]
        if self.ending is not None:
            if self.router.branches:
                times.append(self.started + CHILDREN)
            elif self.idle and not (parent and parent.queued):
                # Once the main thread is idle, only what is there already is taken.
                return 0
            elif parent and parent.queued:
                # It may be slow to read.
                times.append(self.started + CHILDREN + LIMIT)
            else:
                times.append(self.ending)
        if not times:
            return None
        return max(0, min(times) - now)

    def is_over(self, events):
        """Whether the thread may end; asked after each wait while all ends."""
        now = clock()
        branches = self.router.branches
        if branches:
            if now > self.started + CHILDREN:
                for link in list(branches):
                    self.end(link)
            return False
        if (events or self.pending or self.tick()) and now < self.started + CHILDREN + LIMIT:
            return False
        if self.outputs:
            while self.outputs:
                fd, output = self.outputs.popitem()
                self.unwatch(fd)
                output.finish()
            self.ending = clock() + GRACE
            return False
        for end in self.ends:
            if not end[2].detached:
                end[2].stop(9)
        return True


guard = allocate_lock()


def upgrade(econtext):
    """Makes a context able to have children; from any thread but the one concerned."""
    broker = econtext.broker
    guard.acquire()
    try:
        if not isinstance(broker, Broker):
            done = allocate_lock()
            done.acquire()

            def change():
                parent = econtext.stream
                router = econtext.router
                router.__class__ = tree.Router
                broker.__class__ = Broker
                broker.grow()
                # Nobody sends while the link is neither the one nor the other.
                parent.lock.acquire()
                parent.__class__ = Link
                parent.grow_link()
                parent.lock.release()
                parent.remote_id = router.parent_ids[0]
                parent.routes = set()
                router.handlers[SHUTDOWN] = broker.shutdown, True, True, None
                router.handlers[CANCEL_PLAN] = broker.handle_cancel, True, True, None
                router.grow(econtext.importer, econtext.config['unidirectional'])
                broker.watch(parent)
                parent.tell()
                done.release()
                broker.loop()

            broker.change = change
            broker.wake()
            done.acquire()
    finally:
        guard.release()
