"""Calls: one at a time, in the order of their arrival, on the main thread, which writes its answers itself."""
import os
import select
import sys
import time
from mitogen import core
from mitogen.importer import allocate_lock, get_ident

try:
    from _collections import deque
except ImportError:
    from collections import deque
try:
    import _signal as signal
except ImportError:
    import signal


def resolve(modname, klass, func):
    try:
        __import__(modname)
        obj = sys.modules[modname]
    except ImportError:
        from mitogen import failure
        obj = failure.find_owner(not klass and modname)
        if obj is None:
            raise
    if klass:
        obj = getattr(obj, klass)
    return getattr(obj, func)


# Seconds for which the main thread reads the link itself when it has answered a call.
HOT = .05


def flush():
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except Exception:
            # Closed, replaced by something odd, or its reader is gone.
            pass


class Dispatcher(object):
    def __init__(self, econtext, protocol):
        self.econtext = econtext
        self.router = econtext.router
        self.protocol = protocol
        self.queue = deque()
        # Locked while the main thread has nothing to do; the I/O thread alone unlocks it.
        self.lock = allocate_lock()
        self.closed = False
        # A user's function runs.
        self.busy = False
        self.pid = os.getpid()
        # Failures of chained calls.
        self.chains = core.Dispatcher.chains

    def handle_call(self, msg):
        """Takes a call, on the I/O thread."""
        if msg.reply_to == core.IS_DEAD:
            self.econtext.broker.shutdown()
        elif not self.closed:
            # `notify` comes later, when this thread is about to wait and no longer holds the main thread up.
            self.queue.append(msg)

    def close(self):
        """Takes no more calls, on the I/O thread. A running one is not interrupted."""
        self.closed = True
        self.econtext.importer.close()

    def notify(self):
        """Wakes the main thread if there is something for it to do; on the I/O thread, before it waits."""
        if (self.queue or self.closed) and self.lock.locked():
            self.lock.release()

    def on_interrupt(self, *_):
        # A Ctrl-C at the controller's terminal reaches local children too; only a function that runs is to hear of it.
        if self.busy:
            raise KeyboardInterrupt()

    def run(self):
        """The main thread's life."""
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, self.on_interrupt)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        acquire = self.lock.acquire
        queue = self.queue
        link = self.router.parent
        baton = self.econtext.broker.baton
        while not self.closed:
            if queue:
                # Answers go out together as long as more calls wait.
                link.lazy = len(queue) > 1
                self.handle(queue.popleft())
            elif baton.acquire(0):
                self.read(link)
            else:
                acquire()
        flush()
        self.econtext.broker.idle = True
        self.econtext.broker.wake()
        while 1:
            # The I/O thread ends the process. Signal handlers still run here.
            time.sleep(9)

    def read(self, link):
        """Takes what comes next in the I/O thread's place, to spare the next call a wake-up; the baton is ours."""
        broker = self.econtext.broker
        importer = self.econtext.importer
        thread = importer.io_thread
        importer.io_thread = get_ident()
        try:
            if link.queued:
                # Answers, of which the last call had none.
                link.flush()
            if select.select([link.fd_in], [], [], HOT)[0]:
                broker.receive(link)
        except Exception:
            # A signal, or user code has closed the descriptors: the I/O thread will see.
            pass
        importer.io_thread = thread
        broker.baton.release()
        if not self.queue:
            broker.wake()
            self.lock.acquire()

    def handle(self, msg):
        chain = None
        try:
            call = msg.unpickle(False)
            chain, modname, klass, func, args, kwargs = call
            fn = resolve(modname, klass, func)
            if kwargs and not isinstance(kwargs, core.Kwargs):
                kwargs = core.Kwargs(kwargs)
            if getattr(fn, 'mitogen_takes_econtext', None):
                kwargs.setdefault('econtext', self.econtext)
            if getattr(fn, 'mitogen_takes_router', None):
                kwargs.setdefault('router', self.router)
            failure = chain is not None and self.chains.get(chain)
        except:
            return self.fail(msg, None)
        if failure:
            return self.reply(msg, failure)
        try:
            self.busy = True
            result = fn(*args, **kwargs)
            self.busy = False
        except:
            self.busy = False
            return self.fail(msg, chain)
        if os.getpid() != self.pid:
            # A fork of this process came back from the function.
            sys.exit()
        self.reply(msg, result)

    def fail(self, msg, chain):
        """Reports the exception being handled."""
        if os.getpid() != self.pid:
            # A fork ends as a program would.
            raise
        info = sys.exc_info()
        try:
            from mitogen.failure import call_error
            error = call_error(*info)
        except:
            if self.closed:
                # It is too late to ask for the module.
                return
            # User code has broken imports, or something worse.
            error = core.CallError(core.to_text(info[0].__name__))
        if chain is not None:
            self.chains[chain] = error
        elif not msg.reply_to:
            self.router.log('mitogen', 40, core.to_text('No-reply function call failed: ') + error.args[0])
        self.reply(msg, error)

    def reply(self, msg, obj):
        if msg.reply_to:
            try:
                if isinstance(obj, tuple):
                    # os.uname(), os.stat(), named tuples: plain values under another name.
                    obj = tuple(obj)
                answer = core.Message.pickled(obj, msg.src_id and 2 or self.protocol)
                answer.dst_id = msg.src_id
                answer.handle = msg.reply_to
                if len(answer.data) > self.router.limit and not isinstance(obj, core.CallError):
                    raise core.StreamError('result of %d bytes exceeds the limit of %d bytes' % (len(answer.data), self.router.limit))
            except:
                return self.fail(msg, None)
            self.router.route(answer)
