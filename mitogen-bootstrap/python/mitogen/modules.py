"""Imports user code: modules that come in bundles, packages, their data files. This module comes when user code first misses something."""
import sys
import zlib
import mitogen
from mitogen import core
from mitogen.core import BytesType, Message, to_text
from mitogen.importer import allocate_lock, get_ident, wait

GET_RESOURCE = 112
LOAD_RESOURCE = 113
LOAD_BUNDLE = 202

# How paths of modules begin that are in no file here.
SCHEME = 'master:'

# Names that no parent has a module for: those of this Python's own library, and those that its sources try in vain.
OWN = set(getattr(sys, 'stdlib_module_names', ()))
OWN.update('_winapi _winreg _scproxy builtins __builtin__ cStringIO ce java msvcrt nt org os2 riscos thread vms_lib winreg'.split())
if not core.PY3:
    OWN.discard('builtins')

# Where one pickle ends and another begins.
BORDER = '.\x80\x02'
if core.PY3:
    BORDER = BORDER.encode('latin-1')

installing = allocate_lock()


def install(importer):
    """Gives the importer its finder."""
    installing.acquire()
    try:
        if not importer.finder:
            importer.finder = Finder(importer)
    finally:
        installing.release()


def split(name):
    """The package, or '', and the last part of a name."""
    package, name = ('.' + name).rsplit('.', 1)
    return package[1:], name


def can_be_asked(name):
    """Whether there can be an answer: one that is no text, or longer than any file's path, gets none."""
    try:
        return len(name.encode('utf-8')) <= 1024
    except UnicodeError:
        return False


def goal(fullname):
    """The member, however deep, for whose sake Python looks for this package: `a.b.c` while it looks for `a` in `import a.b.c`."""
    frame = sys._getframe()
    while frame and 'importlib._bootstrap' not in frame.f_code.co_filename:
        frame = frame.f_back
    while frame and 'importlib._bootstrap' in frame.f_code.co_filename:
        if frame.f_code.co_name == '_find_and_load':
            name = frame.f_locals['name']
            if (name + '.')[:len(fullname) + 1] != fullname + '.':
                break
            fullname = name
        frame = frame.f_back
    return fullname


def border(payload):
    """Where the second of two pickles begins: what ends the first can stand in no text."""
    return payload.index(BORDER) + 1


class Part(object):
    """A part of a bundle: the sources of some modules, unpacked when the first is wanted."""

    def __init__(self, payload):
        self.payload = payload
        self.sources = None
        self.lock = allocate_lock()

    def head(self):
        """(name asked for, whether it is the last part, entries)"""
        name, last, head, _ = core.loads(self.payload)
        return str(name), last, core.loads(zlib.decompress(head))

    def get(self, start, size):
        self.lock.acquire()
        try:
            if self.sources is None:
                self.sources = zlib.decompress(core.loads(self.payload)[3])
        finally:
            self.lock.release()
        return self.sources[start:start + size]


class Source(object):
    """Where a module's source lies."""

    def __init__(self, part, start, size):
        self.part = part
        self.start = start
        self.size = size

    def get(self):
        return self.part.get(self.start, self.size)


class Bundle(object):
    """All that comes for one request, part by part."""

    def __init__(self):
        self.parts = []
        self.complete = False
        # Those below that are sent each part as it comes.
        self.links = []

    def add(self, payload):
        """Takes the next part; returns its entries: (name, children, path, source or reason)."""
        part = Part(payload)
        _, last, head = part.head()
        entries = []
        start = 0
        for name, children, path, size, reason in head:
            content = reason
            if path is not None:
                content = Source(part, start, size)
                path = SCHEME + str(path)
                start += size
            if children is not None:
                children = [str(child) for child in children]
            entries.append((str(name), children, path, content))
        self.parts.append(payload)
        self.complete = last
        return entries


class Finder(object):
    """Finds, for Python 2 and 3, what the parents have; loads it, and answers what is asked of loaders."""

    def __init__(self, importer):
        self.importer = importer
        # Names asked for -> bundles of which more is to come. As long as there is one nothing is asked for: it may come with that.
        self.partial = {}
        # (name, what was asked for its sake or None, lock) of each who waits for that reason.
        self.hopes = []
        # Name -> the bundle it is in.
        self.where = {}
        # Paths of packages -> their names.
        self.folders = {}
        # (package, file) -> the message that brought it; locks of those who wait.
        self.resources = {}
        self.waiting = {}
        router = core.router
        if router:
            # Those that children of ours may need as well are replaced by mitogen.library.
            for fn, handle in (self.handle_bundle, LOAD_BUNDLE), (self.handle_resource, LOAD_RESOURCE):
                if handle not in router.handlers:
                    router.add_handler(fn, handle, True, True)
        sys.path_hooks.append(self.hook)
        importer.give_up = self.give_up
        importer.handle_answer = self.handle_answer

    # What the parent sends; on the I/O thread.

    def handle_bundle(self, msg):
        if not msg.is_dead:
            self.collect(msg.data)

    def collect(self, payload):
        """Takes a part of a bundle, which counts from now on; returns the bundle and the names that came."""
        importer = self.importer
        try:
            asked = str(core.loads(payload)[0])
            bundle = self.partial.get(asked) or Bundle()
            entries = bundle.add(payload)
        except:
            # Whose import waits for this is not known.
            importer.give_up()
            raise
        # Whoever wakes and misses more sees that there is more to come.
        self.partial[asked] = bundle
        for entry in entries:
            self.where.setdefault(entry[0], bundle)
        # Last those that somebody waits for: whoever wakes wants the others next.
        for awaited in False, True:
            for entry in entries:
                if (entry[0] in importer.waiting) is awaited:
                    type(importer).handle_answer(importer, *entry)
        if bundle.complete:
            del self.partial[asked]
        self.stir()
        return bundle, [entry[0] for entry in entries]

    def handle_answer(self, *entry):
        """In the importer's place, whatever message brings it."""
        type(self.importer).handle_answer(self.importer, *entry)
        self.stir()

    def is_settled(self, fullname, wanted):
        """Whether a module is here, or nothing is on its way."""
        cache = self.importer.cache
        return fullname in cache or not self.partial and (not wanted or wanted in cache)

    def stir(self):
        """Wakes those who wait for no reason any more."""
        for hope in list(self.hopes):
            if self.is_settled(*hope[:2]):
                try:
                    self.hopes.remove(hope)
                except ValueError:
                    # Another thread was quicker.
                    continue
                hope[2].release()

    def settle(self, fullname, wanted=None):
        """Waits until a module is here or nothing is on its way; the answer to what was asked for is until it is here."""
        if self.importer.request and get_ident() != self.importer.io_thread and not self.is_settled(fullname, wanted):
            lock = allocate_lock()
            lock.acquire()
            self.hopes.append((fullname, wanted, lock))
            # What came before that has stirred nobody.
            if not self.is_settled(fullname, wanted):
                econtext = getattr(mitogen, 'econtext', None)
                if econtext:
                    # The main thread reads nothing while it waits.
                    econtext.broker.wake()
                wait(lock)

    def ask(self, wanted):
        """Asks for a module unless that was done; on the thread that wants it."""
        importer = self.importer
        lock = allocate_lock()
        lock.acquire()
        if wanted not in importer.cache and importer.waiting.setdefault(wanted, lock) is lock and importer.request and wanted not in importer.cache:
            importer.request(wanted)

    def handle_resource(self, msg):
        if not msg.is_dead:
            self.keep(msg.data)

    def keep(self, payload):
        """Takes a data file; returns its key."""
        package, name = core.loads(payload[:border(payload)])
        key = str(package), to_text(name)
        if key not in self.resources:
            self.resources[key] = payload
            if key in self.waiting:
                self.waiting[key].release()
        return key

    # What Python asks of finders.

    def find(self, fullname):
        """Whether the module comes from here."""
        importer = self.importer
        package, name = split(fullname)
        if package:
            entry = importer.cache.get(package)
            if not entry or not entry[1] or not self.lists(entry[0], name) or getattr(sys.modules.get(package), '__loader__', None) is not self:
                return False
        elif fullname in OWN and fullname not in self.where or not can_be_asked(fullname):
            return False
        self.settle(fullname)
        if core.PY3 and fullname not in importer.cache and get_ident() != importer.io_thread:
            # What comes for the member holds the packages around it: one round trip for all of them.
            wanted = goal(fullname)
            if can_be_asked(wanted):
                self.ask(wanted)
                self.settle(fullname, wanted)
        _, path, reason = importer.fetch(fullname)
        if path is None and reason:
            error = ImportError('%s cannot be imported here: %s' % (fullname, to_text(reason)))
            error.name = fullname  # novm
            raise error
        return path is not None

    def lists(self, children, name):
        return children is not None and (name in children or name + '/' in children)

    def find_spec(self, fullname, path=None, target=None):
        if self.find(fullname):
            spec = type(sys.__spec__)(fullname, self, origin=self.get_filename(fullname), is_package=self.is_package(fullname))
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations.append(self.folder(fullname))
            return spec

    def find_module(self, fullname, path=None):
        try:
            if self.find(fullname):
                return self
        except ImportError:
            # From a finder, Python 2 takes this for "not here".
            return Refusal(sys.exc_info()[1])

    def hook(self, path):
        """The finder for the path of a package that came from here."""
        if path not in self.folders:
            raise ImportError(path)
        return Folder(self, self.folders[path])

    # What Python asks of loaders.

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        path = self.get_filename(name)
        if path[-1:] != '/':
            # A namespace package has no file.
            module.__file__ = path
        exec(compile(self.text(name), path, 'exec', 0, 1), module.__dict__)

    def load_module(self, fullname):
        module = sys.modules.get(fullname)
        fresh = not module
        if fresh:
            sys.modules[fullname] = module = type(sys)(fullname)
        module.__loader__ = self
        module.__package__ = fullname
        if self.is_package(fullname):
            module.__path__ = [self.folder(fullname)]
        else:
            module.__package__ = split(fullname)[0]
            if not module.__package__:
                module.__package__ = None
        try:
            self.exec_module(module)
        except:
            if fresh:
                del sys.modules[fullname]
            raise
        return sys.modules[fullname]

    def entry(self, fullname):
        entry = self.importer.cache.get(fullname)
        if not entry or entry[1] is None:
            raise ImportError('%s did not come from here' % fullname)
        return entry

    def data(self, fullname):
        """The source as it came."""
        source = self.entry(fullname)[2]
        if isinstance(source, Source):
            source = source.get()
        return source

    def text(self, fullname):
        """The source as this Python compiles it."""
        data = self.data(fullname)
        if sys.version_info < (2, 7):
            data = data.replace('\r\n', '\n') + '\n'
        return data

    def folder(self, fullname):
        """The path of a package."""
        path = self.get_filename(fullname).rsplit('/', 1)[0]
        self.folders.setdefault(path, fullname)
        return path

    def is_package(self, fullname):
        return self.entry(fullname)[0] is not None

    def get_filename(self, fullname):
        return self.entry(fullname)[1]

    def get_code(self, fullname):
        return compile(self.text(fullname), self.get_filename(fullname), 'exec', 0, 1)

    def get_source(self, fullname):
        data = self.data(fullname)
        if core.PY3 and not isinstance(data, str):
            from importlib.util import decode_source  # novm
            return decode_source(data)
        return data.replace('\r\n', '\n')

    # Data files.

    def resource(self, package, name):
        """A data file of a package; None if there is none. Waits for the parent."""
        key = package, to_text(name)
        importer = self.importer
        if key not in self.resources and importer.request and get_ident() != importer.io_thread:
            lock = allocate_lock()
            lock.acquire()
            if self.waiting.setdefault(key, lock) is lock and key not in self.resources:
                self.request_resource(key)
            lock = self.waiting[key]
            while key not in self.resources and importer.request:
                lock.acquire()
                lock.release()
        payload = self.resources.get(key)
        if payload is not None:
            return core.loads(payload[border(payload):])

    def request_resource(self, key):
        mitogen.econtext.parent.send(Message.pickled((to_text(key[0]), key[1]), handle=GET_RESOURCE))

    def give_up(self):
        """Ends all waiting, when no more answers can come."""
        self.partial = {}
        type(self.importer).give_up(self.importer)
        self.stir()
        for key in list(self.waiting):
            if key not in self.resources:
                self.resources[key] = None
                self.waiting[key].release()

    def get_data(self, path):
        """The data file at a path below that of a package, as `pkgutil.get_data` and old programs ask for it."""
        path = path.replace('\\', '/')
        folder = path
        while '/' in folder:
            folder = folder.rsplit('/', 1)[0]
            if folder in self.folders:
                content = self.resource(self.folders[folder], path[len(folder) + 1:])
                if content is not None:
                    return BytesType(content)
                break
        error = IOError('no such file in a package that came from here: %s' % path)
        error.errno = 2
        raise error

    def get_resource_reader(self, fullname):
        if self.is_package(fullname):
            from mitogen.resources import Reader
            return Reader(self, fullname)


class Refusal(object):
    """The loader of what cannot be imported for a reason."""

    def __init__(self, error):
        self.error = error

    def load_module(self, fullname):
        raise self.error


class Folder(object):
    """The finder for one package's path."""

    def __init__(self, finder, package):
        self.finder = finder
        self.package = package

    def find_spec(self, fullname, target=None):
        return self.finder.find_spec(fullname)

    def find_module(self, fullname, path=None):
        return self.finder.find_module(fullname)

    def iter_modules(self, prefix=''):
        """(name, whether it is a package) of all members, for `pkgutil`."""
        found = []
        for name in self.finder.entry(self.package)[0]:
            found.append((prefix + name.rstrip('/'), name[-1:] == '/'))
        return sorted(found)

    def invalidate_caches(self):
        pass
