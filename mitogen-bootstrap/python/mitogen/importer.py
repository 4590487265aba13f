"""Serves modules from memory, and asks the parent for what nobody else finds."""
import sys

try:
    from thread import allocate_lock, get_ident, start_new_thread
except ImportError:
    from _thread import allocate_lock, get_ident, start_new_thread  # novm
if sys.version_info < (3,):
    import imp


class Module(type(sys)):
    """A module; mitogen.core has more to offer when it is asked: mitogen.api adds that."""

    def __getattr__(self, name):
        if name[0] != '_' and self.__name__ == 'mitogen.core':
            __import__('mitogen.api')
        return object.__getattribute__(self, name)


class Importer(object):
    """A finder (PEP 302 for Python 2, PEP 451 for 3) and the loader of what it finds.

    On Python 3 it is the last finder, so it hears only of names that nobody else knows. Python 2 asks the finders before it looks itself.
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
                lock.acquire()
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

    def serves(self, fullname):
        """Whether the module comes from here. Submodules are asked for only if their package came from here and names them."""
        package, name = ('.' + fullname).rsplit('.', 1)
        if package in ('', '.mitogen') or name in (self.cache.get(package[1:], (None,))[0] or ()):
            return self.fetch(fullname)[1]

    def find_spec(self, fullname, path=None, target=None):
        if self.serves(fullname):
            return type(sys.__spec__)(fullname, self, is_package=self.is_package(fullname))

    def create_module(self, spec):
        if spec.name == 'mitogen.core':
            return Module('mitogen.core')

    def exec_module(self, module):
        name = module.__name__
        _, path, source = self.cache[name]
        module.__file__ = path
        exec(compile(source, path, 'exec', 0, 1), module.__dict__)

    def find_module(self, fullname, path=None):
        # Python 2 only: 3.12 no longer calls this, and before that find_spec came first.
        if '.' in fullname or fullname in self.cache or not elsewhere(fullname):
            if self.serves(fullname):
                return self

    def load_module(self, fullname):
        module = sys.modules.get(fullname)
        fresh = not module
        if fresh:
            sys.modules[fullname] = module = Module(fullname)
        module.__loader__ = self
        if self.is_package(fullname):
            module.__path__ = []
        elif fullname.startswith('mitogen.'):
            # Its imports are absolute.
            module.__package__ = ''
        try:
            self.exec_module(module)
        except:
            if fresh:
                del sys.modules[fullname]
            raise
        return module

    def is_package(self, fullname):
        return self.cache[fullname][0] is not None

    def get_source(self, fullname):
        source = self.fetch(fullname)[2]
        if source and not isinstance(source, str):
            source = source.decode('utf-8', 'replace')
        return source


def elsewhere(fullname):
    """Whether Python 2 will find a top-level module itself. Other finders were asked before us."""
    try:
        handle = imp.find_module(fullname)[0]
        if handle:
            handle.close()
        return fullname != '__main__'
    except ImportError:
        for path in sys.path:
            finder = sys.path_importer_cache.get(path)
            if finder and finder.find_module(fullname):
                return True
