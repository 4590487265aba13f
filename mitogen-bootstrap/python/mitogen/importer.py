"""Serves the agent's own modules from memory, and asks the parent for those that are missing. What user code wants is mitogen.modules' affair."""
import sys

try:
    from thread import allocate_lock, get_ident, start_new_thread
    release_lock = None
except ImportError:
    from _thread import allocate_lock, get_ident, start_new_thread  # novm
    from _imp import acquire_lock, release_lock  # novm

# Imports in here are absolute, which Python 2 must be told.
__package__ = ''

# The last entry of Python 2's path.
TAIL = '<mitogen>'


def wait(lock):
    """Acquires a lock that the I/O thread releases. Python 3 holds a lock of all imports while it asks a finder, and that thread wants it when it happens to
    collect a module's lock."""
    depth = 0
    try:
        while release_lock:
            release_lock()
            depth += 1
    except RuntimeError:
        pass
    try:
        lock.acquire()
    finally:
        while depth:
            acquire_lock()
            depth -= 1


class Module(type(sys)):
    """A module; mitogen.core has more to offer when it is asked: mitogen.api adds that."""

    def __getattr__(self, name):
        if name[0] != '_' and self.__name__ == 'mitogen.core':
            __import__('mitogen.api')
        return object.__getattribute__(self, name)


class Importer(object):
    """A finder (PEP 302 for Python 2, PEP 451 for 3) and the loader of what it finds.

    It hears last of names that nobody else knows: as the last finder of Python 3, as the last entry of Python 2's path.
    """
    def __init__(self, sources, blob):
        # name -> (names of a package's children or None, file name or None if there is no such module, source).
        # A name that the agent tries while it holds a lock of the link is never asked for, nor one that exists on another system only.
        self.cache = {'_hashlib': (None, None, None), 'msvcrt': (None, None, None)}
        for name in sources:
            self.cache[name] = None, name.replace('.', '/') + '.py', sources[name]
        # The compressed agent, as its children will need it.
        self.core_blob = blob
        # Names asked for -> locks that are held until the answer has come. They stay, so nothing is asked for twice.
        self.waiting = {}

    # The thread that must not wait.
    io_thread = None
    # Asks the parent for a module, who answers with `handle_answer`; None as long as nobody can be asked.
    request = None
    # mitogen.modules' finder, as soon as user code misses something.
    finder = None

    def handle_answer(self, fullname, *answer):
        """Takes (children, path, source), and wakes who waits for it."""
        if fullname not in self.cache:
            self.cache[fullname] = answer
            if fullname in self.waiting:
                self.waiting[fullname].release()

    def fetch(self, fullname):
        """What is known of a module; waits for the parent's answer if need be."""
        if fullname not in self.cache and self.request and get_ident() != self.io_thread:
            lock = allocate_lock()
            lock.acquire()
            if self.waiting.setdefault(fullname, lock) is lock and fullname not in self.cache:
                self.request(fullname)
            lock = self.waiting[fullname]
            while fullname not in self.cache:
                wait(lock)
                lock.release()
        return self.cache.get(fullname, (None, None, None))

    def close(self):
        """Answers all questions in the negative, from now on."""
        self.request = None
        self.give_up()

    def give_up(self):
        """Answers in the negative all that was asked so far."""
        for fullname in list(self.waiting):
            self.handle_answer(fullname, None, None, None)

    def other(self, fullname):
        """Who may know a module that is not the agent's."""
        if not self.finder and '.' not in fullname and fullname not in self.cache and self.request and get_ident() != self.io_thread:
            try:
                from mitogen import modules
                modules.install(self)
            except ImportError:
                # All ends, and it is too late to ask for the module.
                pass
        return self.finder

    def find_spec(self, fullname, path=None, target=None):
        if fullname[:8] != 'mitogen.':
            finder = self.other(fullname)
            return finder and finder.find_spec(fullname, path)
        if self.fetch(fullname)[1]:
            return type(sys.__spec__)(fullname, self)

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        _, path, source = self.cache[module.__name__]
        module.__file__ = path
        exec(compile(source, path, 'exec', 0, 1), module.__dict__)

    def find_module(self, fullname, path=TAIL):
        # Python 2 only. It names a path, or None, except to the finder that belongs to the last entry of its own.
        if fullname[:8] != 'mitogen.':
            if path or fullname == '__main__':
                finder = self.other(fullname)
                return finder and finder.find_module(fullname, path)
        elif self.fetch(fullname)[1]:
            return self

    def load_module(self, fullname):
        sys.modules[fullname] = module = Module(fullname)
        module.__loader__ = self
        # Its imports are absolute.
        module.__package__ = ''
        try:
            self.exec_module(module)
        except:
            del sys.modules[fullname]
            raise
        return module

    def hook(self, path):
        """The finder of Python 2 for an entry of its path."""
        if path != TAIL:
            raise ImportError(path)
        return self
