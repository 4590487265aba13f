"""Files to and from this context: what the controller asks for, and the bytes that pass here on their way to others.

Requests come to handle 204, from parents only: the pickle of (operation, options), answered by a dict. The bytes of a file are raw messages of
at most a chunk to a handle of the receiver. Each asks for an answer: how much of the window its receiver has done with, in decimal. Between them
stand pickles: ('hole', length), ('from', offset), ('end', size, digest or None); a dead message says that no more will come.
"""
import errno
import os
import stat
import sys
import time
from mitogen import bulk, core, messages
from mitogen.broker import clock
from mitogen.core import BytesType, to_text
from mitogen.importer import start_new_thread
from mitogen.landing import Landing, Refused, look, sync_directory
from mitogen.sending import Outgoing, changed
from mitogen.transfer import Incoming, answer, failure, transfers

# The router's handlers get their policies from it.
__import__('mitogen.api')

HANDLE = 204
# What is no longer than this travels with the request or the answer itself.
INLINE = 65536
# Threads for requests; after how many seconds at one request a thread gets company (two that are busy would only take turns).
THREADS = 4
SLOW = .25

requests = messages.Latch()
# [since when it is at a request, or None] of each thread.
workers = []
watchers = []


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
        return landing.finish(len(data), options.get('unsynced'))
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
        sized = stat.S_ISREG(info.st_mode)
        data = None
        if sized and info.st_size <= min(INLINE, options.get('inline') or 0):
            data = read_short(fd, info)
            sized = data is not None or info.st_size
        if data is not None:
            result.update({'data': data, 'size': len(data)})
        else:
            if not sized:
                result['size'] = None
            result['id'] = Outgoing(msg.src_id, fd, path, info, sized).handle
            fd = None
        return result
    finally:
        if fd is not None:
            os.close(fd)


def read_short(fd, info):
    """All of a file that is short. None if it is longer: what the kernel makes up when it is read says that it is empty, or as long as a page."""
    data = BytesType()
    while len(data) <= INLINE:
        more = os.read(fd, INLINE)
        if not more:
            break
        data += more
    if len(data) != info.st_size and (changed(info, os.fstat(fd)) or info.st_size and len(data) > INLINE):
        raise Refused('changed', 'the file has changed from %d to %d bytes' % (info.st_size, len(data)))
    if len(data) <= INLINE:
        return data


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
    from mitogen.relay import Relay
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
        try:
            for name in sorted(os.listdir(os.path.join(root, rest))):
                name = os.path.join(rest, name)
                info = look(os.path.join(root, name))
                if info:
                    entries.append((name, info.st_mode, info.st_size))
                    if stat.S_ISDIR(info.st_mode):
                        todo.append(name)
        except OSError:
            # What has gone meanwhile is not there.
            if sys.exc_info()[1].errno != errno.ENOENT or not rest:
                raise
    return {'entries': entries, 'mode': os.stat(root).st_mode}


def op_all(msg, options):
    """Several requests that are answered at once. The directories of all that has landed are synced once."""
    answers = []
    unsynced = {}
    for name, options in options['requests']:
        try:
            options['unsynced'] = unsynced
            result = OPERATIONS[to_text(name)](msg, options)
        except:
            result = failure()
        answers.append(result)
    for directory in unsynced:
        sync_directory(directory)
    return {'answers': answers}


OPERATIONS = {'all': op_all, 'put': op_put, 'get': op_get, 'send': op_send, 'wait': op_wait, 'abort': op_abort, 'relay': op_relay, 'mkdir': op_mkdir, 'list': op_list}


def handle_request(msg):
    """Takes a request, on the I/O thread."""
    if not msg.is_dead:
        requests.put(msg)
        if not workers:
            hire()
        elif not watchers and not is_one_idle():
            watchers.append(1)
            start_new_thread(watch, ())


def hire():
    worker = [None]
    workers.append(worker)
    start_new_thread(work, (worker,))


def is_one_idle():
    return [1 for worker in workers if worker[0] is None]


def watch():
    """Sees that a thread that is held up by its request does not hold up the others."""
    while 1:
        time.sleep(SLOW)
        late = clock() - SLOW
        if requests.empty():
            watchers.pop()
            if requests.empty():
                return
            watchers.append(1)
        elif len(workers) < THREADS and not [1 for worker in workers if worker[0] is None or worker[0] > late]:
            hire()


def work(worker):
    while worker[0] is None or not is_one_idle():
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
    # Another one has nothing to do either.
    workers.remove(worker)


def start():
    """Gets ready for requests."""
    from mitogen import landing
    if HANDLE not in core.router.handlers:
        sys.modules['mitogen'].econtext.broker.at_end.append(landing.clean_up)
        bulk.install(core.router.parent)
        core.router.handlers[HANDLE] = handle_request, True, True, None
    return True
