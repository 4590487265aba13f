"""The birth of one child, seen from its parent: what its tool says until frames flow. No descriptor, no process and no clock is known here.

    login -> interpreter -> first-stage -> agent -> ready
                        EC0            EC1      EC2
"""
import re
from mitogen.core import BytesType, to_text

MARKER = re.compile('EC([0129])\r?\n'.encode())
EMPTY = BytesType()
NEWLINE = '\n'.encode()
# The longest marker but one letter.
HELD = 4
# What is kept of each source.
LINES = 100
BYTES = 8192


class History(object):
    """The last lines of all sources, in the order in which they began."""

    def __init__(self):
        self.lines = []
        self.partial = {}
        self.count = 0
        self.blotted = []

    def feed(self, source, data):
        for piece in data.splitlines(True):
            entry = self.partial.get(source)
            if not entry:
                self.count += 1
                entry = self.partial[source] = [self.count, source, EMPTY]
                self.lines.append(entry)
                self.trim(source)
            entry[2] = (entry[2] + piece)[:BYTES]
            if piece.endswith(NEWLINE):
                del self.partial[source]

    def trim(self, source):
        mine = [entry for entry in self.lines if entry[1] == source]
        while len(mine) > LINES or sum([len(entry[2]) for entry in mine]) > BYTES and len(mine) > 1:
            self.lines.remove(mine.pop(0))

    def pending(self, source):
        """What came behind the last line feed."""
        return to_text((self.partial.get(source) or (0, 0, EMPTY))[2]).strip()

    def shown(self):
        out = []
        for _, source, line in self.lines:
            for secret in self.blotted:
                line = line.replace(secret, '[secret]'.encode())
            line = line.strip('\r\n'.encode())
            if line.strip():
                out.append((to_text(source), line))
        return out


class Handshake(object):
    def __init__(self, plan):
        self.phase = 'login'
        if not plan.get('logs_in', True):
            self.phase = 'interpreter'
        # The source whose bytes may be markers.
        self.comms = 'stdout'
        if plan['wiring'] == 'pty':
            self.comms = 'tty'
        self.secrets = plan.get('secrets') or ()
        # Indices of those that were sent.
        self.sent = []
        self.answered = False
        self.history = History()
        self.held = EMPTY
        self.noise = 0
        self.cap = plan.get('noise_cap') or 65536
        # Why it failed; what came behind the last marker.
        self.reason = None
        self.residue = None
        self.echo = True

    def is_over(self):
        return self.reason is not None or self.residue is not None

    def handle_comms(self, data):
        """Takes bytes of the comms channel. Returns whether the preamble is to be sent now."""
        send = False
        data = self.held + data
        while not self.is_over():
            found = MARKER.search(data)
            if not found:
                break
            text = found.group()
            self.pass_by(data[:found.start()])
            data = data[found.end():]
            number = int(found.group(1))
            if number == 0 and self.phase in ('login', 'interpreter'):
                self.phase = 'first-stage'
                send = True
            elif number == 9 and self.phase != 'agent':
                self.phase = 'interpreter'
                self.reason = 'no-python'
            elif number == 1 and self.phase == 'first-stage':
                self.phase = 'agent'
            elif number == 2 and self.phase == 'agent':
                self.phase = 'ready'
                self.residue = data
            else:
                # Out of its turn: a shell that prints what it runs, for one.
                self.pass_by(text)
        if not self.is_over():
            start = data.rfind('E'.encode())
            if start < 0 or start < len(data) - HELD or not 'EC'.encode().startswith(data[start:start + 2]):
                start = len(data)
            self.pass_by(data[:start])
            self.held = data[start:]
        return send

    def pass_by(self, noise):
        self.noise += len(noise)
        self.history.feed(self.comms, noise)
        if self.noise > self.cap:
            self.reason = self.reason or 'noise'

    def handle_stderr(self, data):
        self.history.feed('stderr', data)

    def handle_terminal(self, data, echo):
        """Takes bytes of the terminal. Returns (whether to send the preamble, a secret to send or None)."""
        send = False
        if self.comms == 'tty':
            send = self.handle_comms(data)
        else:
            self.history.feed('tty', data)
        if NEWLINE in data:
            self.answered = False
        return send, self.question(echo, False)

    def handle_quiet(self, echo):
        """The terminal has been silent for a moment. Returns a secret to send or None."""
        return self.question(echo, True)

    def question(self, echo, quiet):
        # Behind the first marker nobody asks us any more.
        text = self.history.pending('tty')
        if self.is_over() or self.phase not in ('login', 'interpreter') or self.answered or not text:
            return None
        self.echo = echo
        for index in range(len(self.secrets)):
            secret = self.secrets[index]
            prompt = to_text(secret['prompt'])
            if echo and to_text(secret['source']) == 'hidden' or prompt not in text or not prompt and not quiet:
                continue
            if secret['value'] is None or index in self.sent:
                break
            self.sent.append(index)
            self.answered = True
            value = to_text(secret['value']).encode('utf-8')
            if value:
                self.history.blotted.append(value)
            return value
        else:
            if not quiet:
                return None
        self.reason = 'asked'

    def handle_end(self):
        """The tool is gone, or will not say more."""
        self.give_up('eof')

    def handle_deadline(self):
        self.give_up('timeout')

    def give_up(self, reason):
        if not self.is_over():
            self.history.feed(self.comms, self.held)
            self.reason = reason
