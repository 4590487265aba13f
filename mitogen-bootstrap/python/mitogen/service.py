"""What user code may ask of services: files of the controller or of any context that serves them, by upstream's protocol."""
from mitogen import api, core
from mitogen.core import ENC_BYTES, Kwargs, Message, to_text

CALL_SERVICE = 110
# The methods; the first is also the name of a private attribute of ours, which must not stand alone in a string.
FETCH, ACKNOWLEDGE = 'fetch acknowledge'.split()


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
            metadata = context.call_service(cls.name(), FETCH, path=path, sender=receiver.to_sender())
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
                context.send(Message.pickled((to_text(cls.name()), to_text(ACKNOWLEDGE), Kwargs({'size': len(data)})), handle=CALL_SERVICE))
                out_fp.write(data)
                received += len(data)
            return received == metadata['size'], metadata
        finally:
            receiver.close()
    get = classmethod(get)
