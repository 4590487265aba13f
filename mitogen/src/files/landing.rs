//! A file that comes into being beside its place and takes it when it is whole. Until then, and if it never is,
//! the old one stays. Dropped before that, it leaves nothing (of a transfer that may be resumed, its part).

use super::error::{FileError, FileErrorKind};
use super::source::digest_of;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Timespec, Timestamps, flock};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is to land.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) path: PathBuf,
    /// Its name, should the path be a directory.
    pub(super) name: Option<std::ffi::OsString>,
    pub(super) size: Option<u64>,
    pub(super) mode: Option<u32>,
    /// Access and modification, in nanoseconds since 1970.
    pub(super) times: Option<(i64, i64)>,
    /// What an earlier part is recognised by, if one may be used.
    pub(super) resume: Option<i64>,
    pub(super) sync: bool,
}

#[derive(Debug)]
pub(super) struct Landing {
    plan: Plan,
    /// Where it will be: the path, or what links there lead to.
    target: PathBuf,
    file: File,
    name: Name,
    old: Option<Metadata>,
    at: u64,
    /// How much was there from an earlier attempt, and its digest.
    pub(super) have: u64,
    pub(super) digest: Option<String>,
    done: bool,
}

/// What the file is called until it takes its place.
#[derive(Debug)]
enum Name {
    /// Nothing: if we are killed nothing is left.
    Nothing,
    Temporary(PathBuf),
    /// It stays when the transfer is cut.
    Part(PathBuf),
    /// It is a device that is written to as it is.
    Direct,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);
static ZEROS: [u8; 4096] = [0; 4096];

impl Landing {
    pub(super) fn new(plan: Plan) -> Result<Landing, FileError> {
        let mut path = plan.path.clone();
        if let Some(name) = &plan.name
            && (path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/"))
        {
            path.push(name);
        }
        let fail = |error: &io::Error| FileError::io(&path, error);
        let mut target = path.clone();
        if !is_own_descriptor(&path)
            && std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink())
        {
            target = path.canonicalize().map_err(|error| fail(&error))?;
        }
        let old = match std::fs::metadata(&target) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail(&error)),
        };
        let direct = match &old {
            Some(metadata) => check_old(&target, metadata)?,
            None => false,
        };
        let directory = directory_of(&target);
        let (file, name) = if direct {
            (File::options().write(true).open(&target).map_err(|error| fail(&error))?, Name::Direct)
        } else if let (Some(mark), Some(size)) = (plan.resume, plan.size) {
            let part = beside(&target, &format!(".{size:x}.{mark:x}.mitogen-part"));
            (open_part(&part, size).map_err(|error| fail(&error))?, Name::Part(part))
        } else {
            open_temporary(directory, &target).map_err(|error| fail(&error))?
        };
        let mut landing =
            Landing { plan, target, file, name, old, at: 0, have: 0, digest: None, done: false };
        if let Name::Part(_) = landing.name {
            landing.have = landing.file.metadata().map_err(|error| landing.fail(&error))?.len();
            landing.digest = digest_of(&landing.file, landing.have).map_err(|error| landing.fail(&error))?;
            landing.rewind(0)?;
        }
        Ok(landing)
    }

    /// Goes on behind the first bytes of an earlier attempt.
    pub(super) fn keep(&mut self, offset: u64) -> Result<(), FileError> {
        if offset != 0 && offset != self.have {
            let message = format!("it goes on at {offset}, and {} bytes are there", self.have);
            return Err(FileError::new(&self.plan.path, FileErrorKind::Protocol, message));
        }
        self.rewind(offset)
    }

    fn rewind(&mut self, offset: u64) -> Result<(), FileError> {
        self.at = offset;
        if !matches!(self.name, Name::Direct) {
            let moved = self.file.seek(SeekFrom::Start(offset));
            moved.map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), FileError> {
        self.start()?;
        let zeros = data.len() >= ZEROS.len()
            && data[0] == 0
            && data.chunks(ZEROS.len()).all(|block| block == &ZEROS[..block.len()]);
        if zeros && !matches!(self.name, Name::Direct) {
            return self.hole(data.len() as u64);
        }
        self.file.write_all(data).map_err(|error| self.fail(&error))?;
        self.at += data.len() as u64;
        Ok(())
    }

    pub(super) fn hole(&mut self, length: u64) -> Result<(), FileError> {
        self.start()?;
        self.at += length;
        if !matches!(self.name, Name::Direct) {
            let at = self.at;
            self.file.seek(SeekFrom::Start(at)).map_err(|error| self.fail(&error))?;
        }
        Ok(())
    }

    /// Before the first bytes: a part that was of no use goes.
    fn start(&mut self) -> Result<(), FileError> {
        if self.at == 0 && self.have > 0 {
            self.file.set_len(0).map_err(|error| self.fail(&error))?;
            self.have = 0;
        }
        Ok(())
    }

    /// All of it came: it takes its place. Gives where that is.
    pub(super) fn finish(mut self) -> Result<(PathBuf, u64), FileError> {
        self.start()?;
        if !matches!(self.name, Name::Direct) {
            self.settle().map_err(|error| self.fail(&error))?;
        }
        self.done = true;
        Ok((self.target.clone(), self.have))
    }

    fn settle(&mut self) -> io::Result<()> {
        self.file.set_len(self.at)?;
        let old = self.old.as_ref().map(|old| old.mode() & 0o7777);
        let mode = self.plan.mode.or(old).unwrap_or_else(|| 0o666 & !umask());
        self.file.set_permissions(Permissions::from_mode(mode))?;
        if let Some((access, modification)) = self.plan.times {
            let times =
                Timestamps { last_access: timespec(access), last_modification: timespec(modification) };
            rustix::fs::futimens(&self.file, &times)?;
        }
        if self.plan.sync {
            self.file.sync_all()?;
        }
        self.place()?;
        if self.plan.sync {
            // A crash of the machine shall not take the name back. Some file systems cannot promise that.
            let _ = File::open(directory_of(&self.target)).and_then(|directory| directory.sync_all());
        }
        Ok(())
    }

    fn place(&mut self) -> io::Result<()> {
        let name = match std::mem::replace(&mut self.name, Name::Nothing) {
            Name::Temporary(name) | Name::Part(name) => name,
            Name::Nothing | Name::Direct => {
                if self.old.is_none() {
                    match link(&self.file, &self.target) {
                        Err(rustix::io::Errno::EXIST) => {}
                        result => return Ok(result?),
                    }
                }
                self.call_it()?
            }
        };
        let renamed = std::fs::rename(&name, &self.target);
        // If that failed, dropping removes it.
        self.name = Name::Temporary(name);
        renamed
    }

    /// Gives it a name beside its place. Should we be killed before it is renamed, the next one that comes there
    /// sweeps it away.
    fn call_it(&self) -> io::Result<PathBuf> {
        // Who cannot lock is at worst not swept away after.
        let _ = flock(&self.file, FlockOperation::NonBlockingLockExclusive);
        let name = beside(&self.target, ".mitogen");
        for sweeping in [true, false] {
            match link(&self.file, &name) {
                Err(rustix::io::Errno::EXIST) if sweeping => sweep(&name),
                Err(rustix::io::Errno::EXIST) => {}
                result => return Ok(result.map(|()| name)?),
            }
        }
        let name = fresh_name(&self.target);
        link(&self.file, &name)?;
        Ok(name)
    }

    fn fail(&self, error: &io::Error) -> FileError {
        FileError::io(&self.target, error)
    }
}

/// Takes away a file that one of us was about to rename when it was killed: nobody locks it any more.
fn sweep(name: &Path) {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::openat(CWD, name, flags, Mode::empty()).map(File::from) else { return };
    let Ok(metadata) = file.metadata() else { return };
    let ours = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    if ours
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        && std::fs::symlink_metadata(name).is_ok_and(|now| now.ino() == metadata.ino())
    {
        let _ = std::fs::remove_file(name);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        match &self.name {
            Name::Temporary(name) => drop(std::fs::remove_file(name)),
            // What was never written is no part.
            Name::Part(_) if self.at > 0 => drop(self.file.set_len(self.at)),
            _ => {}
        }
    }
}

/// Whether what stands there is a device that is written to as it is.
fn check_old(path: &Path, old: &Metadata) -> Result<bool, FileError> {
    let kind = old.file_type();
    if kind.is_dir() {
        return Err(FileError::new(path, FileErrorKind::Directory, "it is a directory"));
    }
    if kind.is_char_device() || is_own_descriptor(path) && !kind.is_block_device() {
        return Ok(true);
    }
    if !kind.is_file() {
        let message = format!("'{}' is not a regular file.", path.display());
        return Err(FileError::new(path, FileErrorKind::NotRegular, message));
    }
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK)
        .map_err(|error| FileError::io(path, &error.into()))?;
    Ok(false)
}

/// Whether it names what is open already: standard output, whatever that is.
fn is_own_descriptor(path: &Path) -> bool {
    let named = ["/dev/stdout", "/dev/stderr"].into_iter().any(|name| path == Path::new(name));
    named || ["/dev/fd", "/proc/self/fd"].into_iter().any(|above| path.starts_with(above))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut hidden = vec![b'.'];
    // Names have at most 255 bytes.
    hidden.extend_from_slice(&name[..name.len().min(180)]);
    hidden.extend_from_slice(end.as_bytes());
    directory_of(path).join(std::ffi::OsString::from_vec(hidden))
}

fn fresh_name(path: &Path) -> PathBuf {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    beside(path, &format!(".{}.{number}.mitogen", std::process::id()))
}

fn open_temporary(directory: &Path, target: &Path) -> io::Result<(File, Name)> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((File::from(fd), Name::Nothing)),
            Err(error @ (Errno::NOENT | Errno::ACCESS | Errno::NOSPC | Errno::ROFS)) => {
                return Err(error.into());
            }
            // This file system, or kernel, has no such thing.
            Err(_) => {}
        }
    }
    let _ = directory;
    let name = fresh_name(target);
    Ok((create(&name)?, Name::Temporary(name)))
}

fn create(name: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(CWD, name, flags, Mode::RUSR | Mode::WUSR)?))
}

fn open_part(part: &Path, size: u64) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(CWD, part, flags, Mode::empty()) {
        Ok(fd) => {
            let file = File::from(fd);
            let metadata = file.metadata()?;
            let ours = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
            if ours && metadata.len() <= size {
                return Ok(file);
            }
            std::fs::remove_file(part)?;
        }
        Err(rustix::io::Errno::NOENT) => {}
        Err(_) => std::fs::remove_file(part)?,
    }
    create(part)
}

fn link(file: &File, name: &Path) -> Result<(), rustix::io::Errno> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, path, CWD, name, AtFlags::SYMLINK_FOLLOW)
}

fn timespec(nanoseconds: i64) -> Timespec {
    Timespec {
        tv_sec: nanoseconds.div_euclid(1_000_000_000),
        tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as _,
    }
}

/// What new files may not permit. It can only be read by setting it; the system says it too, without that.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o022)
}
