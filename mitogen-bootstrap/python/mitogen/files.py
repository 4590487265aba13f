"""Files to and from this context: what the controller asks for, and the bytes that pass here on their way to others.

Requests come to handle 204, from parents only: the pickle of (operation, options), answered by a dict. The bytes of a file are raw messages of
at most a chunk to a handle of the receiver. Each asks for an answer: how much of the window its receiver has done with, in decimal. Between them
stand pickles: ('hole', length), ('from', offset), ('end', size, digest or None); a dead message says that no more will come.
"""
import os
import stat
import sys
import zlib
from mitogen import api, bulk, core
from mitogen.broker import clock
from mitogen.core import ENC_BYTES, BytesType, Message, to_text
from mitogen.importer import allocate_lock, start_new_thread
from mitogen.landing import Landing, Refused, digest_of, os_error, sha256

HANDLE = 204
CHUNK = 131072 - 26
HOLE_COST = 4096
# What is no longer than this travels with the request or the answer itself.
INLINE = 65536
# Threads for requests; after how many seconds at one request a thread gets company (two that are busy only take turns); seconds without a sign of life of a receiver.
THREADS = 4
SLOW = .05
STALL = 60
SEEK_DATA = 3
SEEK_HOLE = 4
NUMBERS = 1 << 20, 262144, 8 << 20

# What is under way: the handle that its messages come to -> Incoming, Outgoing or Relay.
transfers = {}
requests = api.Latch()
# [since when it is at a request, or None] of each thread.
workers = []
# link -> the locks of those that want to send there, in their order.
turns = {}
guard = allocate_lock()


class Window(object):
    """How much may be on its way: twice what the link holds, by the acknowledgements; see the crate mitogen-fileservice."""

    def __init__(self, fixed=None):
        self.fixed = fixed
        self.size = fixed or NUMBERS[0]
        self.in_flight = 0
        self.sent = self.delivered = self.round_end = 0
        self.flights = []
        self.rates = [0.] * 10
        self.shortest = None
        self.probing = False
        self.probed = 0

    def is_open(self):
        if self.probing:
            return not self.in_flight
        return self.in_flight < self.size

    def handle_sent(self, count):
        now = clock()
        if not self.in_flight:
            self.probed = now
            if self.probing:
                self.probing = False
                self.shortest = None
        self.sent += count
        self.in_flight += count
        self.flights.append((self.sent, now, self.delivered, self.in_flight + CHUNK > self.size))

    def handle_acked(self, count):
        """Says whether that many were on their way."""
        if count > self.in_flight:
            return False
        self.in_flight -= count
        self.delivered += count
        now = clock()
        while self.flights and self.flights[0][0] <= self.delivered:
            _, at, delivered, full = self.flights.pop(0)
            seconds = max(1e-6, now - at)
            rate = (self.delivered - delivered) / seconds
            if full or rate > max(self.rates):
                self.rates[0] = max(self.rates[0], rate)
            if self.shortest is None or seconds < self.shortest:
                self.shortest = seconds
        if self.delivered >= self.round_end and self.shortest is not None and not self.fixed:
            self.round_end = self.sent
            if now - self.probed > 10:
                self.probing = True
            aim = int(2 * max(self.rates) * self.shortest)
            self.rates = [0.] + self.rates[:-1]
            aim = max(self.size - self.size // 8, min(aim, self.size * 2))
            self.size = max(NUMBERS[1], min(aim, NUMBERS[2]))
        return True


class Conversation(object):
    """Messages of one handle, taken by a thread of its own."""

    def __init__(self, who, trusted=None):
        self.who = who
        self.latch = api.Latch()
        # The request whose answer is the end of it all; the answer, if that came first.
        self.waiter = self.result = None
        self.handle = core.router.add_handler(self.handle_message, respondent=who, policy=trusted)
        transfers[self.handle] = self

    def handle_message(self, msg):
        try:
            self.latch.put(msg)
        except api.LatchError:
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
        # The relay that passes it on, or the controller; the first that writes.
        self.source = None

    def run(self):
        landing = self.landing
        try:
            done = 0
            while 1:
                msg = self.latch.get()
                if msg.is_dead:
                    raise Refused('cut', msg.data)
                if self.source not in (None, msg.src_id):
                    continue
                self.source = msg.src_id
                if msg.enc == ENC_BYTES:
                    self.take(msg.data)
                    done += len(msg.data)
                else:
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
                if done and (done > CHUNK or self.latch.empty()):
                    acknowledge(msg, done)
                    done = 0
        except:
            landing.discard()
            raise

    def take(self, data):
        if self.inflate:
            data = self.inflate.decompress(data, CHUNK + 1)
            if len(data) > CHUNK or self.inflate.unconsumed_tail:
                raise Refused('size', 'a compressed chunk holds too much')
        if self.sha:
            self.sha.update(data)
        self.landing.write(data)

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


class Outgoing(Conversation):
    """A file that is sent to whoever asked."""
    offset = 0

    def __init__(self, who, fd, name, info):
        self.fd = fd
        self.name = name
        self.info = info
        Conversation.__init__(self, who)

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def abort(self):
        Conversation.abort(self)
        if not self.waiter:
            # Its thread was never begun.
            core.router.del_handler(self.handle)
            self.close()

    def start(self, options):
        self.target = options['handle']
        self.window = Window(options.get('window'))
        self.deflate = None
        if options.get('compress'):
            self.deflate = zlib.compressobj(1)
        self.sha = None
        there = options.get('there')
        if there and sha256 and there <= self.info.st_size and digest_of(self.fd, there) == to_text(options['digest']):
            self.offset = there
        elif options.get('verify') and sha256:
            self.sha = sha256()
        self.begin()

    def run(self):
        router = core.router
        link = router.links.get(self.who, router.parent)
        turn = take_turn(link)
        try:
            try:
                return self.send_all()
            except:
                router.route(Message.dead(to_text(sys.exc_info()[1]), dst_id=self.who, handle=self.target))
                raise
        finally:
            end_turn(link, turn)
            self.close()

    def say(self, *words):
        core.router.route(Message.pickled(words, dst_id=self.who, handle=self.target, reply_to=self.handle))

    def send_all(self):
        size = self.info.st_size
        regular = stat.S_ISREG(self.info.st_mode)
        at = self.offset
        if at:
            self.say('from', at)
        os_seek(self.fd, at)
        edge = at
        holes = regular and self.info.st_blocks * 512 < size
        if not holes:
            edge = size
        while not regular or at < size:
            self.await_window()
            if holes and at == edge:
                start, edge = next_data(self.fd, at, size)
                if start > at:
                    self.say('hole', start - at)
                    self.window.handle_sent(HOLE_COST)
                    if self.sha:
                        feed_zeros(self.sha, start - at)
                    at = start
                    continue
            want = CHUNK
            if regular:
                want = min(CHUNK, edge - at)
            data = os.read(self.fd, want)
            if not data:
                if regular:
                    raise Refused('changed', 'the file has shrunk from %d to %d bytes' % (size, at))
                break
            at += len(data)
            if self.sha:
                self.sha.update(data)
            if self.deflate:
                data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
            core.router.route(Message(dst_id=self.who, handle=self.target, reply_to=self.handle, enc=ENC_BYTES, data=data))
            self.window.handle_sent(len(data))
        if regular and changed(self.info, os.fstat(self.fd)):
            raise Refused('changed', 'the file was changed while it was sent')
        digest = None
        if self.sha:
            digest = to_text(self.sha.hexdigest())
        self.say('end', at, digest)
        return {'bytes': at, 'resumed': self.offset}

    def await_window(self):
        window = self.window
        while not window.is_open() or not self.latch.empty():
            try:
                msg = self.latch.get(STALL)
            except api.TimeoutError:
                raise Refused('stalled', 'nothing was acknowledged within %d seconds' % STALL)
            if msg.is_dead:
                raise Refused('cut', msg.data)
            if not window.handle_acked(int(msg.data)):
                raise Refused('acknowledged', 'more was acknowledged than was sent')


def take_turn(link):
    """Waits until nobody else sends files over a link; first come, first served."""
    turn = allocate_lock()
    turn.acquire()
    guard.acquire()
    line = turns.setdefault(link, [])
    line.append(turn)
    first = len(line) == 1
    guard.release()
    if not first:
        turn.acquire()
    return turn


def end_turn(link, turn):
    guard.acquire()
    line = turns[link]
    line.remove(turn)
    if line:
        line[0].release()
    else:
        del turns[link]
    guard.release()


def os_seek(fd, at):
    try:
        os.lseek(fd, at, 0)
    except OSError:
        # A stream has no places.
        if at:
            raise


def next_data(fd, at, size):
    """Where the next bytes that are no hole begin and end."""
    try:
        start = os.lseek(fd, at, SEEK_DATA)
    except OSError:
        if sys.exc_info()[1].errno == 6:
            # ENXIO: only a hole is left.
            return size, size
        start = at
    try:
        end = os.lseek(fd, start, SEEK_HOLE)
    except OSError:
        end = size
    os.lseek(fd, start, 0)
    return min(start, size), min(max(end, start + 1), size)


def changed(a, b):
    return (a.st_size, a.st_mtime) != (b.st_size, b.st_mtime)


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
        try:
            self.relay.latch.put((self, msg))
        except api.LatchError:
            pass


class Relay(Conversation):
    """Passes one file on to many: what came is kept until all of them have it."""

    def __init__(self, who, options):
        self.buffer = []
        # How many messages left the front of the buffer; cost of what came so far, and of what was acknowledged upward.
        self.gone = self.came = self.told = 0
        self.lost = []
        Conversation.__init__(self, None, True)
        outputs = options['receivers']
        window = max(1, NUMBERS[2] // len(outputs))
        self.outputs = [Output(self, who, handle, window) for who, handle in outputs]
        self.source = None
        self.ended = False

    def run(self):
        try:
            while self.outputs and not (self.ended and not self.buffer and not [1 for output in self.outputs if output.in_flight]):
                try:
                    item = self.latch.get(1)
                except api.TimeoutError:
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
        self.lost.append((output.who, to_text(why)))

    def drop_stalled(self):
        now = clock()
        for output in self.outputs[:]:
            if output.in_flight and now - output.heard > STALL / 2:
                self.drop(output, 'nothing was acknowledged within %d seconds' % (STALL / 2))

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


def op_put(msg, options):
    data = options.get('data')
    if data is None:
        incoming = Incoming(msg.src_id, options)
        incoming.begin()
        return {'id': incoming.handle, 'there': incoming.have, 'digest': incoming.landing.digest}
    landing = Landing(options)
    try:
        landing.keep(0)
        landing.write(data)
        return landing.finish(len(data))
    except:
        landing.discard()
        raise


def op_get(msg, options):
    path = options['path']
    special = path in ('/dev/null'.encode(), '/dev/stdin'.encode())
    # A FIFO without a writer must not hold us.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            raise Refused('directory', 'it is a directory')
        if not stat.S_ISREG(info.st_mode) and not special:
            raise Refused('not-regular', "'%s' is not a regular file." % to_text(path))
        result = describe(info)
        if stat.S_ISREG(info.st_mode) and info.st_size <= min(INLINE, options.get('inline') or 0):
            data = BytesType()
            while len(data) <= info.st_size:
                more = os.read(fd, INLINE)
                if not more:
                    break
                data += more
            if len(data) != info.st_size:
                raise Refused('changed', 'the file has changed from %d to %d bytes' % (info.st_size, len(data)))
            result['data'] = data
        else:
            result['id'] = Outgoing(msg.src_id, fd, path, info).handle
            fd = None
        return result
    finally:
        if fd is not None:
            os.close(fd)


def describe(info):
    size = None
    if stat.S_ISREG(info.st_mode):
        size = info.st_size
    return {'size': size, 'mode': info.st_mode, 'mtime': nanoseconds(info, 'st_mtime'), 'atime': nanoseconds(info, 'st_atime'),
            'owner': name_of('pwd', 'getpwuid', info.st_uid), 'group': name_of('grp', 'getgrgid', info.st_gid)}


def nanoseconds(info, name):
    exact = getattr(info, name + '_ns', None)
    if exact is None:
        exact = int(getattr(info, name) * 1000000) * 1000
    return exact


def name_of(module, function, number):
    try:
        return to_text(getattr(__import__(module), function)(number)[0])
    except (ImportError, KeyError):
        return None


def op_send(msg, options):
    transfers[options['id']].start(options)
    return op_wait(msg, options)


def op_wait(msg, options):
    transfers[options['id']].settle(None, msg)


def op_abort(msg, options):
    transfer = transfers.get(options['id'])
    if transfer:
        transfer.abort()
    return {}


def op_relay(msg, options):
    relay = Relay(msg.src_id, options)
    relay.begin()
    return {'id': relay.handle}


def op_mkdir(msg, options):
    path = options['path']
    try:
        os.mkdir(path)
    except OSError:
        if not os.path.isdir(path):
            raise
    if options.get('mode') is not None:
        os.chmod(path, stat.S_IMODE(options['mode']))
    return {}


def op_list(msg, options):
    """What lies below a directory: (path from there, mode, size), directories before what they hold; links are left out."""
    root = options['path']
    if not os.path.isdir(root):
        os.stat(root)
        return {'entries': None}
    entries = []
    todo = [BytesType()]
    while todo:
        rest = todo.pop()
        for name in sorted(os.listdir(os.path.join(root, rest))):
            name = os.path.join(rest, name)
            info = os.lstat(os.path.join(root, name))
            entries.append((name, info.st_mode, info.st_size))
            if stat.S_ISDIR(info.st_mode):
                todo.append(name)
    return {'entries': entries, 'mode': os.stat(root).st_mode}


OPERATIONS = {'put': op_put, 'get': op_get, 'send': op_send, 'wait': op_wait, 'abort': op_abort, 'relay': op_relay, 'mkdir': op_mkdir, 'list': op_list}


def handle_request(msg):
    """Takes a request, on the I/O thread."""
    if not msg.is_dead:
        requests.put(msg)
        late = clock() - SLOW
        if len(workers) < THREADS and not [1 for worker in workers if worker[0] is None or worker[0] > late]:
            worker = [None]
            workers.append(worker)
            start_new_thread(work, (worker,))


def work(worker):
    while 1:
        worker[0] = None
        msg = requests.get()
        worker[0] = clock()
        try:
            name, options = msg.unpickle()
            options = dict([(str(key), options[key]) for key in core.Kwargs(options)])
            result = OPERATIONS[to_text(name)](msg, options)
        except:
            result = failure()
        if result is not None:
            answer(msg, result)
        msg = result = options = None


def start():
    """Gets ready for requests."""
    from mitogen import landing
    if HANDLE not in core.router.handlers:
        sys.modules['mitogen'].econtext.broker.at_end.append(landing.clean_up)
        bulk.install(core.router.parent)
        core.router.handlers[HANDLE] = handle_request, True, True, None
    return True
