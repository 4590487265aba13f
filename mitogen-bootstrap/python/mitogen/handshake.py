"""The birth of one child, seen from its parent: what its tool says until frames flow. No descriptor, no process and no clock is known here.

    login -> interpreter -> first-stage -> agent -> ready
                        EC0            EC1      EC2
"""
import re
from mitogen.core import BytesType, Secret, to_text

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

    def blot(self, line):
        for secret in self.blotted:
            line = line.replace(secret, '[secret]'.encode())
        return line

    def shown(self):
        out = []
        for _, source, line in self.lines:
            line = self.blot(line).strip('\r\n'.encode())
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
        # Questions that secrets were fetched for; (index, question) whose secret is being fetched; whether it was not to be had.
        self.fetched = []
        self.wanted = None
        self.refused = False
        self.answered = False
        self.history = History()
        self.held = EMPTY
        self.noise = 0
        self.cap = plan.get('noise_cap') or 65536
        # Why it failed; what came behind the last marker.
        self.reason = None
        self.residue = None
        self.echo = True
        # The shell has said that it found no interpreter.
        self.found_nothing = False

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
                self.found_nothing = False
                send = True
            elif number == 9 and self.phase != 'agent':
                # Not the last word yet: a shell that prints what it is about to run prints this, too.
                self.found_nothing = True
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
            if self.wanted:
                # Nobody waits for it any more.
                self.fetched.remove(self.wanted)
                self.wanted = None
        return send, self.question(echo, False)

    def handle_quiet(self, echo):
        """The terminal has been silent for a moment. Returns a secret to send or None."""
        return self.question(echo, True)

    def question(self, echo, quiet):
        # Behind the first marker nobody asks us any more.
        text = self.history.pending('tty')
        if self.is_over() or self.phase not in ('login', 'interpreter') or self.answered or self.wanted or not text:
            return None
        self.echo = echo
        asked = None
        undecided = False
        for index in range(len(self.secrets)):
            secret = self.secrets[index]
            prompts = [to_text(part) for part in [secret['prompt']] + list(secret.get('more') or ())]
            value = secret['value']
            if asked not in (None, (secret['source'], prompts)) or echo and to_text(secret['source']) == 'hidden':
                continue
            if [part for part in prompts if part not in text]:
                # A longer text may be its own.
                undecided = True
                continue
            if not quiet and (undecided or not prompts[0] or value is True or secret.get('wait')):
                continue
            # What it had was sent: a later one for the same question may have another.
            asked = secret['source'], prompts
            if index in self.sent and (value is not True or self.has_another(index)):
                continue
            if value is None or value is True and (index, text) in self.fetched:
                break
            if value is True:
                self.fetched.append((index, text))
                self.wanted = index, text
                return None
            return self.send(index, value)
        else:
            if not quiet and not asked:
                return None
        self.reason = 'asked'

    def has_another(self, index):
        key = lambda secret: (secret['source'], secret['prompt'], secret.get('more'))
        return [True for later in self.secrets[index + 1:] if key(later) == key(self.secrets[index])]

    def send(self, index, value):
        if index not in self.sent:
            self.sent.append(index)
        self.answered = True
        hidden = isinstance(value, Secret)
        value = to_text(value).encode('utf-8')
        if value and hidden:
            self.history.blotted.append(value)
        return value

    def handle_secret(self, wanted, value):
        """Takes what was fetched, or None. Returns a secret to send or None."""
        if self.is_over() or self.wanted != wanted:
            return None
        self.wanted = None
        if self.history.pending('tty') != wanted[1]:
            # The tool waits no more: whoever reads there now must not have it.
            return None
        if value is None:
            self.refused = True
            self.reason = 'asked'
            return None
        return self.send(wanted[0], value)

    def handle_end(self):
        """The tool is gone, or will not say more."""
        self.give_up('eof')

    def handle_deadline(self):
        self.give_up('timeout')

    def give_up(self, reason):
        if not self.is_over():
            self.history.feed(self.comms, self.held)
            self.reason = reason
            if self.found_nothing:
                self.phase = 'interpreter'
                self.reason = 'no-python'
