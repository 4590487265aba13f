"""Data files of packages that came from a parent, for `importlib.resources`. Python 3 only."""
import io  # novm


class Reader(object):
    """What `importlib.resources` asks of a loader, by its old protocol and (`files`) by its new one."""

    def __init__(self, finder, package):
        self.finder = finder
        self.package = package

    def read(self, path):
        content = self.finder.resource(self.package, path)
        if content is None:
            raise FileNotFoundError('no file %r in %s' % (path, self.package))  # novm
        return content

    def listing(self, path):
        """Names of a directory's entries; those of directories end with a slash. None if there is no such directory."""
        content = self.finder.resource(self.package, path and path + '/')
        if content is not None:
            return content.decode('utf-8').splitlines()

    def open_resource(self, resource):
        return io.BytesIO(self.read(resource))

    def resource_path(self, resource):
        # There is no file; whoever must have one is given a temporary copy.
        raise FileNotFoundError(resource)  # novm

    def is_resource(self, name):
        return name in (self.listing('') or ())

    def contents(self):
        return [name.rstrip('/') for name in self.listing('') or ()]

    def files(self):
        return Item(self, '')


class Item(object):
    """A file or directory of a package: a `Traversable`."""

    def __init__(self, reader, path):
        self.reader = reader
        self.path = path
        self.name = path.rsplit('/', 1)[-1] or reader.package.rsplit('.', 1)[-1]

    def iterdir(self):
        names = self.reader.listing(self.path)
        if names is None:
            raise NotADirectoryError(self.path)  # novm
        for name in names:
            yield self.joinpath(name.rstrip('/'))

    def is_dir(self):
        return not self.path or self.entry() == self.name + '/'

    def is_file(self):
        return bool(self.path) and self.entry() == self.name

    def entry(self):
        """How the directory around it lists it."""
        folder = ''
        if '/' in self.path:
            folder = self.path.rsplit('/', 1)[0]
        for name in self.reader.listing(folder) or ():
            if name.rstrip('/') == self.name:
                return name

    def joinpath(self, *names):
        parts = [part for part in self.path.split('/') if part]
        for name in names:
            for part in str(name).replace('\\', '/').split('/'):
                if part == '..':
                    raise FileNotFoundError('%s leads out of its package' % name)  # novm
                if part and part != '.':
                    parts.append(part)
        return Item(self.reader, '/'.join(parts))

    def __truediv__(self, name):
        return self.joinpath(name)

    def open(self, mode='r', *args, **kwargs):
        data = io.BytesIO(self.read_bytes())
        if 'b' in mode:
            return data
        return io.TextIOWrapper(data, *args, **kwargs)

    def read_bytes(self):
        return bytes(self.reader.read(self.path))

    def read_text(self, encoding=None, errors=None):
        return self.read_bytes().decode(encoding or 'utf-8', errors or 'strict')

    def __repr__(self):
        return 'Item(%r, %r)' % (self.reader.package, self.path)

    def __str__(self):
        return 'master:%s/%s' % (self.reader.package, self.path)
