"""Makes a context of this process."""
import os
import sys
import mitogen
from mitogen import core, logs
from mitogen.broker import Broker
from mitogen.dispatch import Dispatcher
from mitogen.importer import get_ident, start_new_thread
from mitogen.link import Link
from mitogen.router import Router
from mitogen.stdio import redirect
from mitogen.wire import Chain


class ExternalContext(object):
    """What functions marked with `takes_econtext` are given."""

    def __init__(self, config, importer):
        self.config = config
        self.importer = importer
        parents = config['parent_ids']
        core.router = self.router = router = Router(config['context_id'], parents, config['max_message_size'])
        self.broker = broker = Broker()
        self.master = router.context_by_id(0, 'master')
        self.parent = router.context_by_id(parents[0], 'parent')
        fds = [os.dup(100), os.dup(1), broker.reader, broker.writer]
        os.close(100)
        chains = None, None
        key = config['key'].encode()
        if key:
            chains = Chain(key, 'mitogen parent to child'), Chain(key, 'mitogen child to parent')
        self.stream = router.parent = Link(broker, fds[0], fds[1], chains, router.limit)
        protocol = 2
        if core.PY3:
            protocol = config['pickle_protocol']
        broker.router = router
        broker.dispatcher = self.dispatcher = dispatcher = Dispatcher(self, protocol)
        broker.outputs = redirect(router)
        if sys.version_info < (3, 5):
            # Later ones inherit no descriptor, and have os.set_blocking.
            import fcntl
            for fd in fds + list(broker.outputs):
                fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            fcntl.fcntl(fds[1], fcntl.F_SETFL, fcntl.fcntl(fds[1], fcntl.F_GETFL) | os.O_NONBLOCK)
        else:
            os.set_blocking(fds[1], False)
        logs.install(router, config['log_level'])
        for handle, fn in (core.CALL_FUNCTION, dispatcher.handle_call), (core.SHUTDOWN, broker.shutdown), (core.LOAD_MODULE, self.handle_load_module):
            router.add_handler(fn, handle, True, True)
        importer.request = self.request_module

    def handle_load_module(self, msg):
        fullname, children, path, data, _ = msg.unpickle()
        self.importer.handle_answer(str(fullname), children, path and 'master:' + path, data)

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
    econtext = ExternalContext(config, importer)
    for name in list(sys.modules):
        if sys.modules[name] is None:
            # What Python 2 took for relative imports of ours. Some of these modules may be asked for later.
            del sys.modules[name]
    os.write(econtext.stream.fd_out, 'EC2\n'.encode())
    start_new_thread(econtext.io_thread, ())
    econtext.dispatcher.run()
