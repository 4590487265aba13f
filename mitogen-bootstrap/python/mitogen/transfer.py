"""One transfer: messages of a handle, taken by a thread of its own, and an end that is told to whoever waits for it. Here are those that receive."""
import sys
import zlib
from mitogen import bulk, core, messages
from mitogen.core import ENC_BYTES, BytesType, Message, to_text
from mitogen.importer import allocate_lock, start_new_thread
from mitogen.landing import Landing, Refused, os_error, sha256
from mitogen.window import CHUNK, HOLE_COST

# For how many seconds an acknowledgement waits for the next chunk; not where waiting with a limit is a row of naps.
PROMPT = sys.version_info > (3, 2) and .002 or None

# What is under way: the handle that its messages come to -> Incoming, Outgoing or Relay.
transfers = {}
guard = allocate_lock()


class Conversation(object):
    """Messages of one handle, taken by a thread of its own."""

    def __init__(self, who, trusted=None):
        self.who = who
        self.latch = messages.Latch()
        # The request whose answer is the end of it all; the answer, if that came first.
        self.waiter = self.result = None
        self.handle = core.router.add_handler(self.handle_message, respondent=who, policy=trusted)
        transfers[self.handle] = self

    def handle_message(self, msg):
        try:
            self.latch.put(msg)
        except messages.LatchError:
            pass

    def begin(self):
        start_new_thread(self.live, ())

    def live(self):
        try:
            try:
                result = self.run()
            except:
                result = failure()
        finally:
            core.router.del_handler(self.handle)
            self.latch.close()
        self.settle(result)

    def settle(self, result=None, waiter=None):
        """The end meets whoever waits for it, in either order."""
        guard.acquire()
        self.result = result or self.result
        self.waiter = waiter or self.waiter
        both = self.waiter and self.result
        if both:
            transfers.pop(self.handle, None)
        guard.release()
        if both:
            answer(self.waiter, self.result)

    def abort(self):
        self.handle_message(Message.dead('aborted'))
        transfers.pop(self.handle, None)


def failure():
    """The answer that reports the exception being handled."""
    kind, exc, _ = sys.exc_info()
    if isinstance(exc, Refused):
        return {'error': to_text(exc.kind), 'text': to_text(exc.args[0]), 'errno': None}
    if isinstance(exc, EnvironmentError):
        return {'error': to_text('os'), 'text': to_text(os_error(exc)), 'errno': exc.errno}
    return {'error': to_text('other'), 'text': to_text('%s: %s') % (kind.__name__, to_text(exc)), 'errno': None}


def answer(msg, result):
    protocol = 2
    if not msg.src_id:
        protocol = sys.modules['mitogen'].econtext.dispatcher.protocol
    msg.reply(Message.pickled(result, protocol))


class Intake(messages.Latch):
    def take(self, timeout):
        """All that has come, as soon as something has."""
        items = [self.get(timeout)]
        self.lock.acquire()
        items += self.items
        del self.items[:]
        self.lock.release()
        return items


class Incoming(Conversation):
    """A file that comes."""

    def __init__(self, who, options):
        self.landing = Landing(options)
        self.have = self.landing.have
        self.inflate = None
        if options.get('compress'):
            self.inflate = zlib.decompressobj()
        self.sha = None
        if options.get('verify') and not self.have and sha256:
            self.sha = sha256()
        Conversation.__init__(self, None, True)
        self.latch = Intake()
        bulk.direct.add(self.handle)
        # The relay that passes it on, or the controller; the first that writes.
        self.source = None

    def run(self):
        landing = self.landing
        try:
            done = 0
            wait = last = None
            while 1:
                try:
                    came = self.latch.take(wait)
                except messages.TimeoutError:
                    acknowledge(last, done)
                    done = 0
                    wait = None
                    continue
                pieces = []
                for msg in came:
                    if msg.is_dead:
                        raise Refused('cut', msg.data)
                    if self.source not in (None, msg.src_id):
                        continue
                    self.source = msg.src_id
                    last = msg
                    if msg.enc == ENC_BYTES:
                        pieces.append(msg.data)
                        done += len(msg.data)
                        continue
                    self.keep(pieces)
                    pieces = []
                    words = msg.unpickle()
                    kind = to_text(words[0])
                    if kind == 'end':
                        if done:
                            acknowledge(msg, done)
                        return self.finish(words[1], words[2])
                    if kind == 'from':
                        landing.keep(words[1])
                    elif kind == 'hole':
                        landing.hole(words[1])
                        if self.sha:
                            feed_zeros(self.sha, words[1])
                        done += HOLE_COST
                self.keep(pieces)
                came = msg = pieces = wait = None
                if done > CHUNK or done and not PROMPT and self.latch.empty():
                    acknowledge(last, done)
                    done = 0
                elif done:
                    wait = PROMPT
        except:
            landing.discard()
            raise

    def live(self):
        try:
            Conversation.live(self)
        finally:
            bulk.direct.discard(self.handle)

    def keep(self, pieces):
        """Writes what has come together."""
        if not pieces:
            # Nothing has begun.
            return
        content = pieces
        if self.inflate:
            content = [self.inflated(data) for data in pieces]
        if self.sha:
            for data in content:
                self.sha.update(data)
        self.landing.write_all(content)
        for data in pieces:
            bulk.recycle(data)

    def inflated(self, data):
        data = self.inflate.decompress(data, CHUNK + 1)
        if len(data) > CHUNK or self.inflate.unconsumed_tail:
            raise Refused('size', 'a compressed chunk holds too much')
        return data

    def finish(self, size, digest):
        if digest and self.sha and self.sha.hexdigest() != to_text(digest):
            raise Refused('digest', 'the content does not have the digest that its sender computed')
        return self.landing.finish(size)


def acknowledge(msg, count):
    msg.reply(Message(data=str(count).encode()))


def feed_zeros(sha, count):
    zeros = BytesType().ljust(65536, '\0'.encode())
    while count > 0:
        sha.update(zeros[:count])
        count -= len(zeros)
