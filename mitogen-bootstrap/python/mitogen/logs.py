"""Log records of this context go to the root of the tree. This module comes when user code imports logging, never before."""
import sys


def attach(econtext):
    """Has the records of logging, which is loaded, forwarded."""
    logging = sys.modules['logging']
    router = econtext.router

    class Forwarder(logging.Handler):
        def emit(self, record):
            if record.name != 'mitogen.io':
                try:
                    router.log(record.name, record.levelno, self.format(record))
                except Exception:
                    self.handleError(record)

    root = logging.getLogger()
    root.addHandler(Forwarder())
    root.setLevel(econtext.config['log_level'])


class Loader(object):
    """Loads logging as it would have been without us, then attaches the handler."""

    def __init__(self, econtext):
        self.econtext = econtext

    def load_module(self, fullname):
        # The thread that imports it holds the lock already, and may take it again.
        __import__(fullname)
        attach(self.econtext)
        return sys.modules[fullname]

    def create_module(self, spec):
        module = self.load_module(spec.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self.spec


def find(econtext):
    """What a finder answers: a loader for Python 2, a spec for Python 3."""
    loader = Loader(econtext)
    if sys.version_info > (3,):
        return type(sys.__spec__)('logging', loader)
    return loader
