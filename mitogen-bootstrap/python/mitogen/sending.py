"""A file that is sent from here: in its turn, through a window, its holes as holes."""
import os
import sys
import zlib
from mitogen import core, messages
from mitogen.core import ENC_BYTES, Message, to_text
from mitogen.importer import allocate_lock
from mitogen.landing import Refused, digest_of, sha256
from mitogen.transfer import Conversation, feed_zeros, guard
from mitogen.window import CHUNK, HOLE_COST, Window

SEEK_DATA = 3
SEEK_HOLE = 4

# link -> the locks of those that want to send there, in their order.
turns = {}


class Outgoing(Conversation):
    """A file that is sent to whoever asked."""
    offset = 0

    def __init__(self, who, fd, name, info, sized):
        self.fd = fd
        # Else it is read to its end, wherever that is.
        self.sized = sized
        self.name = name
        self.info = info
        # Nobody else acknowledges, and only those above say that it is over.
        Conversation.__init__(self, who, True)

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
        # Seconds without a sign of life of the receiver.
        self.patience = options.get('patience') or 60
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
        sized = self.sized
        at = self.offset
        if at:
            self.say('from', at)
        os_seek(self.fd, at)
        edge = at
        holes = sized and self.info.st_blocks * 512 < size
        if not holes:
            edge = size
        while not sized or at < size:
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
            if sized:
                want = min(CHUNK, edge - at)
            data = os.read(self.fd, want)
            if not data:
                if sized:
                    raise Refused('changed', 'the file has shrunk from %d to %d bytes' % (size, at))
                break
            at += len(data)
            if self.sha:
                self.sha.update(data)
            if self.deflate:
                data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
            core.router.route(Message(dst_id=self.who, handle=self.target, reply_to=self.handle, enc=ENC_BYTES, data=data))
            self.window.handle_sent(len(data))
        if sized and changed(self.info, os.fstat(self.fd)):
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
                msg = self.latch.get(self.patience)
            except messages.TimeoutError:
                raise Refused('stalled', 'nothing was acknowledged within %g s' % self.patience)
            if msg.is_dead:
                raise Refused('cut', msg.data)
            try:
                count = int(msg.data)
            except ValueError:
                count = -1
            if count < 0 or not window.handle_acked(count):
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
