"""A file that comes into being beside its place, and takes it when it is whole: until then, and if it never is, the old one stays."""
import errno
import os
import stat
import sys
from mitogen import bulk
from mitogen.core import BytesType, Error, to_text
from mitogen.importer import allocate_lock

try:
    from hashlib import sha256  # novm
except ImportError:
    sha256 = None

# Linux's O_TMPFILE | O_DIRECTORY: a file without a name, of which nothing is left if we are killed.
NAMELESS = 0x410000
# Temporary files that must not outlive us.
temporary = {}
guard = allocate_lock()
numbers = [0]
ZEROS = BytesType().ljust(131072, '\0'.encode())


def link_number(fd, name):
    """Gives an open file a name."""
    # The directory counts for nothing, but that it is given makes Python follow the link.
    os.link('/proc/self/fd/%d' % fd, name, src_dir_fd=fd, follow_symlinks=True)  # novm


def find_linker():
    """What gives an open file a name; None where nothing can."""
    if sys.platform[:5] != 'linux':
        return None
    if sys.version_info > (3, 3):
        return link_number
    try:
        import ctypes  # novm
        linkat = ctypes.CDLL(None, use_errno=True).linkat  # novm
    except (ImportError, AttributeError, OSError, TypeError):
        return None

    def link(fd, name):
        # AT_FDCWD twice, and AT_SYMLINK_FOLLOW.
        if linkat(-100, '/proc/self/fd/%d' % fd, -100, name, 0x400):
            code = ctypes.get_errno()  # novm
            raise OSError(code, os.strerror(code))

    return link


def sync_directory(path):
    """A crash of the machine shall not take names back. Some file systems cannot promise that."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        try:
            os.fsync(fd)
        except OSError:
            pass
    finally:
        os.close(fd)


# The one function, once it was looked for.
linkers = []


def sweep(name):
    """Takes away a file that one of us was about to rename when it was killed: nobody locks it any more."""
    import fcntl
    try:
        fd = keep_private(os.open(name, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return
    try:
        try:
            info = os.fstat(fd)
            if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid():
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.lstat(name).st_ino == info.st_ino:
                    os.unlink(name)
        except EnvironmentError:
            pass
    finally:
        os.close(fd)


class Refused(Error):
    """What cannot be done, and of which kind that is."""

    def __init__(self, kind, text):
        Error.__init__(self, to_text(text))
        self.kind = kind


def os_error(exc):
    """What the system said, without the file's name, which the asker knows."""
    return exc.strerror or str(exc)


def clean_up():
    for path in list(temporary):
        try:
            os.unlink(path)
        except OSError:
            pass


def keep_private(fd):
    """No program that is started shall inherit it."""
    if sys.version_info < (3, 4):
        import fcntl
        fcntl.fcntl(fd, fcntl.F_SETFD, 1)
    return fd


def digest_of(fd, length):
    """The digest of a file's first bytes; None if there are not so many."""
    sha = sha256()
    os.lseek(fd, 0, 0)
    while length > 0:
        data = os.read(fd, min(length, 1 << 20))
        if not data:
            return None
        sha.update(data)
        length -= len(data)
    return to_text(sha.hexdigest())


def look(path):
    """What stands in a place; None if nothing does."""
    try:
        return os.lstat(path)
    except OSError:
        if sys.exc_info()[1].errno != errno.ENOENT:
            raise


class Landing(object):
    # How much of it is there already, from an earlier attempt, and the digest of that.
    have = 0
    digest = None
    # The descriptor, the temporary name if there is one, and how far it is written.
    fd = None
    temp = None
    at = 0
    old = None
    # A device: nothing is put in its place.
    direct = False
    # Its end may be a hole that was never written.
    sparse = False

    def __init__(self, options):
        self.options = options
        path = options['path']
        name = options.get('name')
        if name and path.endswith('/'.encode()):
            path = os.path.join(path, name)
        self.size = options.get('size')
        self.partial = None
        self.old = look(path)
        if name and self.old and (stat.S_ISDIR(self.old.st_mode) or stat.S_ISLNK(self.old.st_mode) and os.path.isdir(path)):
            path = os.path.join(path, name)
            self.old = look(path)
        if self.old and stat.S_ISLNK(self.old.st_mode):
            # What it leads to is replaced, not the link.
            path = os.path.realpath(path)
            self.old = look(path)
        self.path = path
        if self.old:
            self.check_old(self.old.st_mode)
        if self.direct:
            self.fd = keep_private(os.open(path, os.O_WRONLY))
        elif options.get('resume') and sha256 and self.size is not None:
            self.open_partial()
        else:
            self.open_temporary()

    def check_old(self, mode):
        if stat.S_ISDIR(mode):
            raise Refused('directory', 'it is a directory')
        if stat.S_ISCHR(mode):
            self.direct = True
        elif not stat.S_ISREG(mode):
            raise Refused('not-regular', "'%s' is not a regular file." % to_text(self.path))
        elif not os.access(self.path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def directory(self):
        return os.path.dirname(self.path) or '.'.encode()

    def beside(self, end):
        return os.path.join(self.directory(), '.'.encode() + os.path.basename(self.path)[:180] + end.encode())

    def open_temporary(self):
        if not linkers:
            linkers.append(find_linker())
        if linkers[0]:
            try:
                self.fd = keep_private(os.open(self.directory(), os.O_RDWR | NAMELESS, 384))
                return
            except OSError:
                # This file system, or kernel, has no such thing.
                if sys.exc_info()[1].errno in (errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EROFS):
                    raise
        self.temp = self.fresh_name()
        temporary[self.temp] = 1
        try:
            self.fd = self.create(self.temp)
        except:
            temporary.pop(self.temp, None)
            self.temp = None
            raise

    def fresh_name(self):
        guard.acquire()
        numbers[0] += 1
        number = numbers[0]
        guard.release()
        return self.beside('.%d.%d.mitogen' % (os.getpid(), number))

    def create(self, path):
        # O_NOFOLLOW is not everywhere; O_EXCL refuses a link too.
        return keep_private(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 384))

    def open_partial(self):
        """A part has a name that says of which content; it stays when the transfer is cut."""
        self.partial = self.beside('.%x.%x.mitogen-part' % (self.size, self.options.get('mtime') or 0))
        try:
            info = os.lstat(self.partial)
        except OSError:
            info = None
        if info and stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and info.st_size <= self.size:
            self.fd = keep_private(os.open(self.partial, os.O_RDWR))
            self.have = info.st_size
            self.digest = digest_of(self.fd, self.have)
        else:
            if info:
                os.unlink(self.partial)
            self.fd = self.create(self.partial)

    def keep(self, offset):
        """Goes on behind the first bytes of an earlier attempt."""
        if offset not in (0, self.have):
            raise Refused('size', 'it goes on at %d, and %d bytes are there' % (offset, self.have))
        self.at = offset
        if not self.direct and self.have:
            os.lseek(self.fd, offset, 0)

    def started(self):
        if self.partial and not self.at and self.have:
            # The part was of no use.
            os.ftruncate(self.fd, 0)
            os.lseek(self.fd, 0, 0)
            self.have = 0

    def write(self, data):
        self.write_all([data])

    def write_all(self, pieces):
        """Writes what has come together, with as few system calls as that takes."""
        self.started()
        run = []
        for data in pieces:
            size = len(data)
            self.check(size)
            self.at += size
            if data[:1] == ZEROS[:1] and data == ZEROS[:size] and size > 4095 and not self.direct:
                self.put(run)
                os.lseek(self.fd, size, 1)
                self.sparse = True
            else:
                run.append(data)
        self.put(run)

    def put(self, pieces):
        while pieces:
            count = bulk.writev(self.fd, pieces)
            while pieces and count >= len(pieces[0]):
                count -= len(pieces.pop(0))
            if count:
                pieces[0] = pieces[0][count:]

    def hole(self, length):
        self.started()
        self.check(length)
        self.at += length
        if not self.direct:
            os.lseek(self.fd, length, 1)
            self.sparse = True

    def check(self, more):
        if more < 0 or self.size is not None and self.at + more > self.size:
            raise Refused('size', '%d bytes were announced, and more came' % self.size)

    def finish(self, size, unsynced=None):
        """All of it came: it takes its place. Whoever gives a dict syncs the directories that it names then."""
        if self.at != size or self.size not in (None, size):
            raise Refused('size', '%s bytes were announced, %d came' % (self.size or size, self.at))
        self.started()
        options = self.options
        if not self.direct:
            if self.sparse or self.have:
                os.ftruncate(self.fd, size)
            self.dress()
            if options.get('sync'):
                os.fsync(self.fd)
            self.place()
            if options.get('sync'):
                if unsynced is None:
                    sync_directory(self.directory())
                else:
                    unsynced[self.directory()] = True
        os.close(self.fd)
        self.fd = None
        return {'bytes': size, 'path': BytesType(self.path), 'resumed': self.have}

    def dress(self):
        mode = self.options.get('mode')
        if mode is None:
            if self.old:
                mode = self.old.st_mode
            else:
                mask = os.umask(18)
                os.umask(mask)
                mode = 438 & ~mask
        mtime = self.options.get('mtime')
        where = self.temp or self.partial or '/proc/self/fd/%d' % self.fd
        if hasattr(os, 'fchmod'):
            os.fchmod(self.fd, stat.S_IMODE(mode))  # novm
        else:
            os.chmod(where, stat.S_IMODE(mode))
        if mtime is not None:
            atime = self.options.get('atime') or mtime
            if sys.version_info > (3, 3):
                os.utime(self.fd, ns=(atime, mtime))  # novm
            else:
                # Rounded up, as what is cut off would be cut off twice.
                os.utime(where, (atime / 1e9 + 1e-7, mtime / 1e9 + 1e-7))

    def place(self):
        name = self.temp or self.partial
        if not name:
            if not self.old:
                try:
                    return linkers[0](self.fd, self.path)
                except OSError:
                    if sys.exc_info()[1].errno != errno.EEXIST:
                        raise
            name = self.call_it()
        os.rename(name, self.path)
        temporary.pop(name, None)
        self.temp = None

    def call_it(self):
        """Gives it a name beside its place. Should we be killed before it is renamed, the next one that comes there sweeps it away."""
        import fcntl
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except EnvironmentError:
            pass
        name = self.beside('.mitogen')
        for attempt in range(3):
            self.temp = name
            temporary[name] = 1
            try:
                linkers[0](self.fd, name)
                return name
            except OSError:
                temporary.pop(name)
                self.temp = None
                if sys.exc_info()[1].errno != errno.EEXIST or attempt == 2:
                    raise
            if attempt:
                name = self.fresh_name()
            else:
                sweep(name)

    def discard(self):
        """It came to nothing. A part that may be of use later stays."""
        if self.fd is not None:
            if self.partial:
                # Zeros at its end may be a hole that was never written.
                try:
                    os.ftruncate(self.fd, self.at)
                except OSError:
                    pass
            os.close(self.fd)
            self.fd = None
        if self.temp:
            try:
                os.unlink(self.temp)
            except OSError:
                pass
            temporary.pop(self.temp, None)
            self.temp = None
