"""Carries out plans: starts the tool that leads to a new context, attends the birth, and takes the child in or reports why there is none.

A plan is a dict (mitogen-bootstrap/src/plan_message.rs writes it), and so is the report (src/handshake/report.rs reads it).
"""
import errno
import os
import sys
import termios
import time
from mitogen import loop
from mitogen.broker import clock
from mitogen.core import Error, Message, to_text
from mitogen.handshake import Handshake
from mitogen.importer import allocate_lock
from mitogen.stream import Link
from mitogen.tool import Tool, nonblocking, pair, pipe, private, words
from mitogen.wire import EMPTY, Chain

# Seconds: that a tool without output may take to end; that its channels may take after its end; after which a text without an end on the terminal is a question;
# that a tool gets to end politely; between looks at whether it has ended.
EXIT_PATIENCE = 2
DRAIN_PATIENCE = .25
QUIET = .4
TERM_PATIENCE = .2
LOOK = .05


def run(econtext, msg):
    """Carries out the plan in a message, and answers with the report."""
    birth = None
    try:
        birth = Birth(econtext, msg.unpickle())
        birth.run()
        report = birth.report
    except:
        report = {'ok': False, 'phase': 'spawn', 'reason': 'spawn', 'status': None, 'errno': None, 'message': to_text(repr(sys.exc_info()[1])), 'lines': [], 'elapsed': 0.}
        if birth:
            birth.close()
    msg.reply(texts(report))


def texts(report):
    """With the keys and words as text, which Python 2 would send as bytes."""
    out = {}
    for key, value in report.items():
        if type(value) is str:
            value = to_text(value)
        out[to_text(key)] = value
    return out


class Birth(object):
    """One attempt, on a thread of its own."""

    def __init__(self, econtext, plan):
        self.econtext = econtext
        self.plan = dict([(str(to_text(key)), value) for key, value in plan.items()])
        for key in 'wiring', 'name', 'key':
            self.plan[key] = to_text(self.plan[key])
        self.wiring = self.plan['wiring']
        self.handshake = Handshake(self.plan)
        self.started = clock()
        self.deadline = self.started + self.plan['timeout']
        self.tool = None
        # Our ends: source -> descriptor. What is still to be written: descriptor -> bytes.
        self.fds = {}
        self.fd_out = None
        self.unsent = {}
        self.poller = loop.Poller(False)
        # Descriptors of the tool's, until it has them.
        self.lent = []
        self.cancelled = False
        self.report = None
        # What is being fetched, where the answer comes, and the answers: (what was fetched, value).
        self.fetching = None
        self.reply_to = None
        self.fetched = []

    def run(self):
        loop.upgrade(self.econtext)
        broker = self.econtext.broker
        broker.births.append(self)
        self.cancelled = self.plan['id'] in broker.cancelled
        try:
            try:
                self.spawn()
            except (OSError, IOError):
                exc = sys.exc_info()[1]
                self.fail('spawn', 'spawn', None)
                self.report['errno'] = exc.errno
                self.report['message'] = exc.strerror
                return
            if broker.ending is not None:
                self.cancel()
            self.attend()
            if self.cancelled:
                self.fail(self.handshake.phase, 'cancelled', self.tool.poll())
            elif self.handshake.residue is not None:
                self.adopt()
            else:
                self.fail(self.handshake.phase, self.handshake.reason, self.tool.poll())
        finally:
            broker.births.remove(self)
            self.econtext.router.handlers.pop(self.reply_to, None)
            broker.cancelled.discard(self.plan['id'])

    def cancel(self):
        """Ends the attempt; from any thread."""
        self.cancelled = True
        if self.tool:
            self.tool.stop(9, True)

    def spawn(self):
        argv = [words(word) for word in self.plan['argv']]
        env = None
        if self.plan.get('env'):
            env = dict(getattr(os, 'environb', os.environ))
            for name, value in self.plan['env']:
                env.pop(words(name), None)
                if value is not None:
                    env[words(name)] = words(value)
        slave = None
        if self.wiring in ('prompt', 'pty'):
            master, slave = os.openpty()
            self.fds['tty'] = private(master)
            self.lent.append(private(slave))
        if self.wiring == 'pty':
            fds = [slave] * 3
            self.fd_out = master
        else:
            ours, theirs = pair()
            self.fds['stdout'] = self.fd_out = ours
            self.lent.append(theirs)
            fds = [theirs] * 3
            if self.wiring != 'merged':
                self.fds['stderr'], fds[2] = pipe()
                self.lent.append(fds[2])
        self.tool = Tool(argv, env, fds, slave)
        for fd in self.lent:
            if fd != slave:
                os.close(fd)
        self.lent = []
        for fd in self.fds.values():
            nonblocking(fd)
            self.poller.set(fd, loop.READABLE)

    # The conversation.

    def attend(self):
        handshake = self.handshake
        settle = quiet = None
        exited = False
        while not handshake.is_over():
            now = clock()
            if now >= self.deadline or self.cancelled:
                # `run` knows which.
                return handshake.handle_deadline()
            if not exited and self.tool.poll() is not None:
                exited = True
                settle = now + DRAIN_PATIENCE
            if settle is not None and (now >= settle or exited and not self.fds):
                return handshake.handle_end()
            if quiet is not None and now >= quiet:
                quiet = None
                self.answer(handshake.handle_quiet(self.echoes()))
            self.consult()
            for fd, mask in self.poller.poll(min(LOOK, self.deadline - now)):
                if fd in self.unsent and mask & ~loop.READABLE:
                    self.write(fd)
                source = [name for name in self.fds if self.fds[name] == fd]
                if not source or not mask & ~loop.WRITABLE:
                    continue
                if not self.read(source[0], fd):
                    if not exited and fd == self.fd_out:
                        settle = settle or now + EXIT_PATIENCE
                elif source[0] == 'tty':
                    quiet = clock() + QUIET

    def consult(self):
        """Asks the controller for the secret that a question wants, and hands on what it has answered."""
        handshake = self.handshake
        while self.fetched:
            self.answer(handshake.handle_secret(*self.fetched.pop(0)))
        if handshake.wanted != self.fetching:
            self.fetching = handshake.wanted
            if self.fetching:
                self.econtext.broker.defer(self.ask, self.fetching)

    def ask(self, wanted):
        """On the I/O thread, where nobody else opens handles."""
        router = self.econtext.router

        def hear(msg):
            value = None
            try:
                value = msg.unpickle()
            except Error:
                # Nobody there has it.
                pass
            self.fetched.append((wanted, value))
        router.handlers.pop(self.reply_to, None)
        self.reply_to = router.add_handler(hear, persist=False, respondent=0)
        router.route(Message.pickled(wanted, handle=self.plan.get('vault'), reply_to=self.reply_to))

    def read(self, source, fd):
        """Takes what there is; returns false at the end."""
        try:
            data = os.read(fd, 65536)
        except OSError:
            if sys.exc_info()[1].errno in (errno.EAGAIN, errno.EINTR):
                return True
            # The end of a terminal.
            data = EMPTY
        if not data:
            self.unsent.pop(fd, None)
            self.poller.set(fd, 0)
            del self.fds[source]
            os.close(fd)
            return False
        handshake = self.handshake
        send = False
        if source == 'stdout':
            send = handshake.handle_comms(data)
        elif source == 'stderr':
            handshake.handle_stderr(data)
        else:
            send, secret = handshake.handle_terminal(data, self.echoes())
            self.answer(secret)
        if send:
            if self.wiring == 'pty':
                import tty
                tty.setraw(fd, termios.TCSANOW)
            plan = self.plan
            self.put(self.fd_out, plan['head'] + self.econtext.importer.core_blob + plan['tail'])
        return True

    def echoes(self):
        try:
            return bool(termios.tcgetattr(self.fds['tty'])[3] & termios.ECHO)
        except (KeyError, termios.error):
            return True

    def answer(self, secret):
        if secret is not None and 'tty' in self.fds:
            self.put(self.fds['tty'], secret + '\n'.encode())

    def put(self, fd, data):
        self.unsent[fd] = self.unsent.get(fd, EMPTY) + data
        self.write(fd)

    def write(self, fd):
        try:
            while self.unsent[fd]:
                self.unsent[fd] = self.unsent[fd][os.write(fd, self.unsent[fd][:65536]):]
        except OSError:
            if sys.exc_info()[1].errno not in (errno.EAGAIN, errno.EINTR):
                # What is read will tell why.
                self.unsent[fd] = EMPTY
        mask = loop.READABLE
        if self.unsent[fd]:
            mask |= loop.WRITABLE
        else:
            del self.unsent[fd]
        self.poller.set(fd, mask)

    # The outcome.

    def adopt(self):
        """Hands the child to the I/O thread, and waits until it is known to the tree."""
        econtext = self.econtext
        broker = econtext.broker
        chains = None, None
        key = self.plan['key'].encode()
        if key:
            chains = Chain(key, 'mitogen child to parent'), Chain(key, 'mitogen parent to child')
        fd = self.fd_out
        link = Link(broker, fd, fd, chains, econtext.router.limit)
        link.grow(self.plan['id'])
        link.child = self.tool
        self.tool.born = True
        sources = []
        for name in self.fds:
            if self.fds[name] != fd:
                source = loop.Lines(broker, self.fds[name])
                if econtext.config['log_level'] <= 10:
                    source.history = self.handshake.history
                sources.append(source)
        self.fds = {}
        done = allocate_lock()
        done.acquire()
        broker.defer(broker.adopt, link, self.plan['name'], self.handshake.residue, sources, self, done)
        done.acquire()
        self.report = {'ok': True, 'elapsed': clock() - self.started, 'noise': self.handshake.history.shown()}

    def fail(self, phase, reason, status):
        handshake = self.handshake
        self.report = {'ok': False, 'phase': phase, 'reason': reason, 'status': status, 'errno': None, 'message': None, 'lines': handshake.history.shown(),
                       'sent': handshake.sent, 'echo': handshake.echo, 'refused': handshake.refused, 'elapsed': clock() - self.started}
        self.close()

    def close(self):
        """Leaves nothing of the attempt."""
        for fd in list(self.fds.values()):
            os.close(fd)
        self.fds = {}
        tool = self.tool
        if not tool:
            for fd in self.lent:
                os.close(fd)
            return
        until = clock() + TERM_PATIENCE
        # Politely at first: ssh may have a control socket to remove.
        tool.stop(15, True)
        while tool.poll() is None and clock() < until:
            time.sleep(.005)
        tool.stop(9, True)
        self.econtext.broker.defer(self.econtext.broker.bury, tool)
