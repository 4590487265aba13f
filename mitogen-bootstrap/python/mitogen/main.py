"""Makes a context of this process."""
import os
import sys
import zlib
import mitogen
from mitogen import core
from mitogen.broker import Broker
from mitogen.dispatch import Dispatcher
from mitogen.importer import TAIL, get_ident, start_new_thread
from mitogen.link import Link
from mitogen.router import Router
from mitogen.stdio import redirect
from mitogen.wire import Chain


class ExternalContext(core.Growing):
    """What functions marked with `takes_econtext` are given."""

    def __init__(self, config, importer):
        self.config = config
        self.importer = importer
        parents = config['parent_ids']
        core.router = self.router = router = Router(config['context_id'], parents, config['max_message_size'])
        self.broker = broker = Broker()
        self.master = router.context_by_id(0, 'master')
        self.parent = router.context_by_id(parents[0], 'parent')
        fds = [os.dup(60), os.dup(62), broker.reader, broker.writer]
        os.close(60)
        os.close(62)
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
                fcntl.fcntl(fd, fcntl.F_SETFD, 1)
            fcntl.fcntl(fds[1], fcntl.F_SETFL, os.O_NONBLOCK)
        else:
            os.set_blocking(fds[1], False)  # novm
        for handle, fn in (core.CALL_FUNCTION, dispatcher.handle_call), (core.SHUTDOWN, broker.shutdown), (core.LOAD_MODULE, self.handle_load_module), (200, self.handle_plan):
            router.add_handler(fn, handle, True, True)
        importer.request = self.request_module

    def handle_load_module(self, msg):
        try:
            fullname, children, path, data, _ = msg.unpickle()
            if path:
                # Before 2.7 a source had to end its last line.
                data = zlib.decompress(data) + '\n'.encode()
                path = 'master:' + path
        except:
            # Whose import waits for this is not known.
            self.importer.give_up()
            raise
        self.importer.handle_answer(str(fullname), children, path, data)

    def handle_plan(self, msg):
        start_new_thread(self.carry_out, (msg,))

    def carry_out(self, msg):
        from mitogen import spawn
        spawn.run(self, msg)

    def request_module(self, fullname):
        self.parent.send(core.Message(handle=core.GET_MODULE, data=fullname.encode()))
        # The main thread reads no answer while it waits for it.
        self.broker.wake()

    def io_thread(self):
        self.importer.io_thread = get_ident()
        self.broker.run()


class LogHook(object):
    """A finder that has log records forwarded as soon as there can be any; the module for that comes only then."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == 'logging':
            sys.meta_path.remove(self)
            from mitogen import logs
            return logs.find(mitogen.econtext)
    find_module = find_spec


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
    if not core.PY3:
        sys.path.append(TAIL)
        sys.path_hooks.append(importer.hook)
    if 'logging' in sys.modules:
        from mitogen import logs
        logs.attach(econtext)
    else:
        sys.meta_path.insert(0, LogHook())
    econtext.dispatcher.run()
