"""A file that passes here once on its way to many."""
from mitogen import core, messages
from mitogen.broker import clock
from mitogen.core import ENC_BYTES, Message, to_text
from mitogen.landing import Refused
from mitogen.transfer import Conversation, acknowledge
from mitogen.window import HOLE_COST, NUMBERS


class Output(object):
    """A receiver behind a relay."""

    def __init__(self, relay, who, handle, window):
        self.relay = relay
        self.who = who
        self.target = handle
        self.window = window
        self.in_flight = 0
        # What was ever acknowledged; the place of the next message in the relay's buffer.
        self.done = 0
        self.next = 0
        self.heard = clock()
        self.handle = core.router.add_handler(self.handle_ack, respondent=who)

    def handle_ack(self, msg):
        if msg.is_dead and msg.src_id != self.who and msg.auth_id not in core.router.trusted:
            # Anybody could say so.
            return
        try:
            self.relay.latch.put((self, msg))
        except messages.LatchError:
            pass


class Relay(Conversation):
    """Passes one file on to many: what came is kept until all of them have it."""

    def __init__(self, who, options):
        self.buffer = []
        # How many messages left the front of the buffer; cost of what came so far, and of what was acknowledged upward.
        self.gone = self.came = self.told = 0
        self.lost = []
        Conversation.__init__(self, None, True)
        # Seconds without a sign of life of a receiver: he is dropped before the sender loses patience with us.
        self.patience = options.get('patience') or 30
        outputs = options['receivers']
        window = max(1, NUMBERS[2] // len(outputs))
        self.outputs = [Output(self, who, handle, window) for who, handle in outputs]
        self.source = None
        self.ended = False

    def run(self):
        try:
            while self.outputs and not (self.ended and not self.buffer and not [1 for output in self.outputs if output.in_flight]):
                try:
                    item = self.latch.get(min(1, self.patience / 4.))
                except messages.TimeoutError:
                    item = None
                if item is None:
                    self.drop_stalled()
                elif isinstance(item, tuple):
                    self.handle_ack(*item)
                elif item.is_dead:
                    for output in self.outputs:
                        core.router.route(Message.dead(item.data, dst_id=output.who, handle=output.target))
                    raise Refused('cut', item.data)
                else:
                    self.take(item)
                for output in self.outputs[:]:
                    self.push(output)
                self.tidy()
            return {'lost': self.lost}
        finally:
            for output in self.outputs:
                core.router.del_handler(output.handle)

    def take(self, msg):
        self.source = msg
        cost = len(msg.data)
        if msg.enc != ENC_BYTES:
            words = msg.unpickle()
            cost = 0
            if to_text(words[0]) == 'hole':
                cost = HOLE_COST
            self.ended = to_text(words[0]) == 'end'
        self.came += cost
        self.buffer.append((msg.enc, msg.data, cost))

    def push(self, output):
        while output.next < self.gone + len(self.buffer) and output.in_flight < output.window:
            enc, data, cost = self.buffer[output.next - self.gone]
            output.next += 1
            if not output.in_flight:
                output.heard = clock()
            output.in_flight += cost
            core.router.route(Message(dst_id=output.who, handle=output.target, reply_to=output.handle, enc=enc, data=data))

    def handle_ack(self, output, msg):
        if output not in self.outputs:
            return
        count = 0
        if not msg.is_dead:
            count = int(msg.data)
        if not 0 < count <= output.in_flight:
            return self.drop(output, msg.data)
        output.heard = clock()
        output.in_flight -= count
        output.done += count

    def drop(self, output, why):
        self.outputs.remove(output)
        core.router.del_handler(output.handle)
        core.router.route(Message.dead(why, dst_id=output.who, handle=output.target))
        self.lost.append((output.who, output.target, to_text(why)))

    def drop_stalled(self):
        now = clock()
        for output in self.outputs[:]:
            if output.in_flight and now - output.heard > self.patience:
                self.drop(output, 'nothing was acknowledged within %g s' % self.patience)

    def tidy(self):
        """Lets go of what all have, and says so upward."""
        if not self.outputs:
            return
        first = min([output.next for output in self.outputs])
        done = min([output.done for output in self.outputs])
        # A message is kept until it is sent to all; the queues of the links hold it from there on.
        while self.gone < first:
            del self.buffer[0]
            self.gone += 1
        if done > self.told and self.source:
            acknowledge(self.source, done - self.told)
            self.told = done
