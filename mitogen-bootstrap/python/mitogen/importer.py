"""Serves modules from memory, and asks the parent for what nobody else finds."""
import sys
import zlib

try:
    from thread import allocate_lock, get_ident, start_new_thread
except ImportError:
    from _thread import allocate_lock, get_ident, start_new_thread
if sys.version_info < (3,):
    import imp


class Importer(object):
    """A finder (PEP 302 for Python 2, PEP 451 for 3) and the loader of what it finds.

    On Python 3 it is the last finder, so it hears only of names that nobody else knows. Python 2 asks the finders before it looks itself.
    """
    def __init__(self, sources, blob):
        # name -> (names of a package's children or None, file name or None if there is no such module, source; it is compressed if its file name is the parent's)
        # Names that the agent tries while it holds a lock of the link are never asked for.
        self.cache = {'_hashlib': (None, None, None)}
        for name in sources:
            self.cache[name] = None, name.replace('.', '/') + '.py', sources[name]
        # The compressed agent, as its children will need it.
        self.core_blob = blob
        self.lock = allocate_lock()
        # Names asked for -> locks of the threads that wait for them.
        self.waiting = {}
        self.io_thread = None

    # Asks the parent for a module, who answers with `handle_answer`; None as long as nobody can be asked.
    request = None

    def handle_answer(self, fullname, children, path, data):
        """Takes an answer, which wakes who waits for it."""
        self.lock.acquire()
        self.cache.setdefault(fullname, (children, path, data))
        locks = self.waiting.pop(fullname, [])
        self.lock.release()
        for lock in locks:
            lock.release()

    def fetch(self, fullname):
        """What is known of a module; waits for the parent's answer if need be."""
        if fullname not in self.cache and self.request and get_ident() != self.io_thread:
            lock = allocate_lock()
            lock.acquire()
            self.lock.acquire()
            ask = self.request
            if fullname in self.cache or not ask:
                ask = None
                lock.release()
            else:
                locks = self.waiting.setdefault(fullname, [])
                locks.append(lock)
                if len(locks) > 1:
                    ask = None
            self.lock.release()
            if ask:
                ask(fullname)
            lock.acquire()
        return self.cache.get(fullname, (None, None, None))

    def close(self):
        """Answers all questions in the negative, from now on."""
        self.request = None
        for fullname in list(self.waiting):
            self.handle_answer(fullname, None, None, None)

    def serves(self, fullname):
        """Whether the module comes from here. Submodules are asked for only if their package came from here and names them."""
        if '.' in fullname:
            package, name = fullname.rsplit('.', 1)
            if package != 'mitogen' and name not in (self.cache.get(package, (None,))[0] or ()):
                return False
        return self.fetch(fullname)[1] is not None

    def find_spec(self, fullname, path=None, target=None):
        if self.serves(fullname):
            spec = type(sys.__spec__)(fullname, self, origin=self.path(fullname), is_package=self.is_package(fullname))
            return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        module.__file__ = self.path(name)
        exec(self.get_code(name), module.__dict__)

    def find_module(self, fullname, path=None):
        # Python 2 only: 3.12 no longer calls this, and before that find_spec came first.
        if '.' in fullname or fullname in self.cache or not elsewhere(fullname, self):
            if self.serves(fullname):
                return self

    def load_module(self, fullname):
        module = sys.modules.get(fullname)
        fresh = module is None
        if fresh:
            sys.modules[fullname] = module = type(sys)(fullname)
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
                sys.modules.pop(fullname, None)
            raise
        return module

    def path(self, fullname):
        return self.cache[fullname][1]

    def is_package(self, fullname):
        return self.cache[fullname][0] is not None

    def get_code(self, fullname):
        return compile(self.source(fullname), self.path(fullname), 'exec', 0, 1)

    def source(self, fullname):
        _, path, source = self.cache[fullname]
        if path.startswith('master:'):
            # Before 2.7 a source had to end its last line.
            source = zlib.decompress(source) + '\n'.encode()
        return source

    def get_source(self, fullname):
        if fullname in self.cache:
            source = self.source(fullname)
            if not isinstance(source, str):
                source = source.decode('utf-8', 'replace')
            return source


def elsewhere(fullname, importer):
    """Whether Python 2 will find a top-level module itself."""
    for finder in sys.meta_path:
        if finder is not importer and finder.find_module(fullname):
            return True
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
