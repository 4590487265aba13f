"""Log records of this context go to the root of the tree. Nothing is loaded or done until user code imports logging."""
import sys


def install(router, level):
    """Has records of at least `level` forwarded, now or as soon as there can be any."""
    if 'logging' in sys.modules:
        attach(router, level)
    else:
        sys.meta_path.insert(0, Hook(router, level))


def attach(router, level):
    logging = sys.modules['logging']

    class Forwarder(logging.Handler):
        def emit(self, record):
            if record.name != 'mitogen.io':
                try:
                    router.log(record.name, record.levelno, self.format(record))
                except Exception:
                    self.handleError(record)

    root = logging.getLogger()
    root.addHandler(Forwarder())
    root.setLevel(level)


class Hook(object):
    """A finder that waits for logging; also the loader that completes it."""

    def __init__(self, *args):
        self.args = args

    def find_spec(self, fullname, path=None, target=None):
        if fullname == 'logging' and self in sys.meta_path:
            sys.meta_path.remove(self)
            for finder in sys.meta_path:
                spec = finder.find_spec(fullname, path)
                if spec:
                    self.loader = spec.loader
                    spec.loader = self
                    return spec

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        attach(*self.args)

    def find_module(self, fullname, path=None):
        if fullname == 'logging' and self in sys.meta_path:
            sys.meta_path.remove(self)
            return self

    def load_module(self, fullname):
        __import__(fullname)
        attach(*self.args)
        return sys.modules[fullname]
