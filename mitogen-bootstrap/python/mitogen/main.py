"""Makes a context of this process."""
import os
import sys
import mitogen
from mitogen import core
from mitogen.broker import Broker
from mitogen.dispatch import Dispatcher
from mitogen.link import Link
from mitogen.router import Router
from mitogen.stdio import redirect
from mitogen.wire import Chain

try:
    from thread import get_ident, start_new_thread
except ImportError:
    from _thread import get_ident, start_new_thread


class ExternalContext(object):
    """What functions marked with `takes_econtext` are given."""

    def __init__(self, config, importer):
        self.config = config
        self.importer = importer
        parents = config['parent_ids']
        limit = config['max_message_size']
        key = config['key'].encode()
        self.router = router = Router(config['context_id'], parents, limit)
        self.broker = broker = Broker()
        self.master = router.context_by_id(0, 'master')
        self.parent = router.context_by_id(parents[0], 'parent')
        fd_in = os.dup(100)
        os.close(100)
        fd_out = os.dup(1)
        chain_in = chain_out = None
        if key:
            chain_in = Chain(key, 'mitogen parent to child')
            chain_out = Chain(key, 'mitogen child to parent')
        self.stream = router.parent = link = Link(broker, fd_in, fd_out, chain_in, chain_out, limit)
        protocol = 2
        if core.PY3:
            protocol = config['pickle_protocol']
        broker.router = router
        broker.dispatcher = self.dispatcher = dispatcher = Dispatcher(self, protocol)
        broker.outputs = redirect(router)
        if sys.version_info < (3, 5):
            import fcntl
            for fd in [fd_in, fd_out, broker.reader, broker.writer] + list(broker.outputs):
                fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            fcntl.fcntl(fd_out, fcntl.F_SETFL, fcntl.fcntl(fd_out, fcntl.F_GETFL) | os.O_NONBLOCK)
        else:
            os.set_blocking(fd_out, False)
        router.add_handler(dispatcher.handle_call, core.CALL_FUNCTION, True, True)
        router.add_handler(self.handle_shutdown, core.SHUTDOWN, True, True)
        router.add_handler(self.handle_load_module, core.LOAD_MODULE, True, True)
        importer.request = self.request_module

    def handle_shutdown(self, msg):
        self.broker.shutdown()

    def handle_load_module(self, msg):
        fullname, children, path, data, _ = msg.unpickle()
        if path is not None:
            path = 'master:' + path
        self.importer.handle_answer(str(fullname), children, path, data)

    def request_module(self, fullname):
        self.parent.send(core.Message(handle=core.GET_MODULE, data=fullname.encode()))

    def io_thread(self):
        self.importer.io_thread = get_ident()
        self.broker.run()


def main(config, first_stage, importer):
    try:
        os.waitpid(first_stage, 0)
    except OSError:
        # SIGCHLD was ignored when we were started.
        pass
    mitogen.is_master = False
    mitogen.__version__ = '.'.join([str(part) for part in config['version']])
    mitogen.context_id = config['context_id']
    mitogen.parent_ids = config['parent_ids']
    mitogen.parent_id = mitogen.parent_ids[0]
    # Python 2 would clear it with its last reference.
    mitogen.main_module = sys.modules.pop('__main__')
    sys.executable = os.environ.pop('ARGV0')
    mitogen.econtext = econtext = ExternalContext(config, importer)
    os.write(econtext.stream.fd_out, 'EC2\n'.encode())
    start_new_thread(econtext.io_thread, ())
    econtext.dispatcher.run()
