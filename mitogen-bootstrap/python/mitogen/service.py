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
        sender = receiver.to_sender()
        # What is to be said of this transfer, should it end before its time.
        last = 'cancel', {'sender': sender}

        def tell(method, kwargs):
            context.send(Message.pickled((to_text(cls.name()), to_text(method), Kwargs(kwargs)), handle=CALL_SERVICE))

        try:
            metadata = context.call_service(cls.name(), FETCH, path=path, sender=sender)
            metadata = dict([(str(key), metadata[key]) for key in Kwargs(metadata)])
            received = 0
            while 1:
                msg = receiver.get(throw_dead=False)
                if msg.is_dead:
                    last = None
                    # Any other word is why it ended.
                    whole = received == metadata['size'] and to_text(msg.data)[:27] == 'Sender was explicitly close'
                    return whole, metadata
                data = msg.data
                if msg.enc != ENC_BYTES:
                    data = msg.unpickle()
                # The bytes arrived, whatever the disk says to them.
                tell(ACKNOWLEDGE, {'size': len(data)})
                out_fp.write(data)
                received += len(data)
        finally:
            receiver.close()
            if last:
                # Nobody need wait for what we do not take.
                tell(*last)
    get = classmethod(get)
