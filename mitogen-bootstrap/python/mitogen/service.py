"""What user code may ask of services: files of the controller or of any context that serves them, by upstream's protocol."""
import sys
from mitogen import api, core
from mitogen.core import ENC_BYTES, Error, Kwargs, Message, to_text

CALL_SERVICE = 110


def call_service_async(self, service_name, method_name, **kwargs):
    """Starts a call of a service's method in that context; returns the receiver of its result."""
    if not isinstance(service_name, (type(''), core.UnicodeType)):
        service_name = service_name.name()
    options = Kwargs(dict([(to_text(key), api.text_of(kwargs[key])) for key in kwargs]))
    return self.send_async(Message.pickled((to_text(service_name), to_text(method_name), options), handle=CALL_SERVICE))


def call_service(self, service_name, method_name, **kwargs):
    """Calls a service's method in that context, and returns its result."""
    return call_service_async(self, service_name, method_name, **kwargs).get().unpickle()


core.Context.call_service_async = call_service_async
core.Context.call_service = call_service


class Service(object):
    def name(cls):
        return '%s.%s' % (cls.__module__, cls.__name__)
    name = classmethod(name)


class FileService(Service):
    """Fetches files that were registered with the file service of another context."""

    def get(cls, context=None, path=None, out_fp=None):
        """Writes a file of that context to an open one. Returns (whether all of it came, its metadata)."""
        receiver = api.Receiver(core.router, respondent=context)
        try:
            metadata = call_service(context, cls.name(), 'fetch', path=path, sender=receiver.to_sender())
            metadata = dict([(str(key), metadata[key]) for key in Kwargs(metadata)])
            received = 0
            while 1:
                msg = receiver.get(throw_dead=False)
                if msg.is_dead:
                    break
                data = msg.data
                if msg.enc != ENC_BYTES:
                    data = msg.unpickle()
                # The bytes arrived, whatever the disk says to them.
                context.send(Message.pickled((to_text(cls.name()), to_text('acknowledge'), Kwargs({'size': len(data)})), handle=CALL_SERVICE))
                out_fp.write(data)
                received += len(data)
            return received == metadata['size'], metadata
        finally:
            receiver.close()
    get = classmethod(get)
