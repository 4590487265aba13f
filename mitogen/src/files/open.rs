//! Opening files for reading: what is no file does not hold us, and what was not permitted is not reached
//! over symbolic links, whoever swaps them meanwhile.

use super::error::{FileError, FileErrorKind};
use mitogen_fileservice::Permit;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path};

/// An open source, and what it was when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) metadata: Metadata,
    /// `None`: it is read to its end, wherever that is. `/dev/stdin`, `/dev/null`, what the kernel makes up when it
    /// is read (`/proc/cpuinfo`).
    size: Option<u64>,
}

impl Opened {
    /// Its size, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Reads the file to its end if that is not far: at most so many bytes. It stands at its beginning then, if it
    /// has one. What the kernel makes up when it is read says that it is empty, or as long as a page: it is as
    /// long as it turns out to be.
    pub(super) fn read_short(&mut self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, FileError> {
        let Some(size) = self.size.filter(|&size| size <= most) else { return Ok(None) };
        let fail = |error: &io::Error| FileError::io(path, error);
        let mut content = Vec::with_capacity(size as usize + 1);
        (&self.file).take(most + 1).read_to_end(&mut content).map_err(|error| fail(&error))?;
        let length = content.len() as u64;
        if length == size {
            return Ok(Some(content));
        }
        let now = self.file.metadata().map_err(|error| fail(&error))?;
        if !is_unchanged(&self.metadata, &now) || length > most && size > 0 {
            let message = format!("it has changed from {size} to {length} bytes while it was read");
            return Err(FileError::new(path, FileErrorKind::Changed, message));
        }
        if length > most {
            self.size = None;
            (&self.file).rewind().map_err(|error| fail(&error))?;
            return Ok(None);
        }
        self.size = Some(length);
        Ok(Some(content))
    }
}

/// Flags without which no file is opened: a FIFO must not hold us.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens what our user names.
pub(super) fn any(path: &Path) -> Result<Opened, FileError> {
    let stream = path == Path::new("/dev/stdin") || path == Path::new("/dev/null");
    // Standard input is what it is; a FIFO there has a writer, and is waited for.
    let flags = if stream { FLAGS.difference(OFlags::NONBLOCK) } else { FLAGS };
    let fd = openat(CWD, path, flags, Mode::empty()).map_err(|error| FileError::io(path, &error.into()))?;
    examine(path, fd, stream)
}

/// Opens what somebody else may fetch.
pub(super) fn permitted(asked: &Path, permit: &Permit) -> Result<Opened, FileError> {
    let denied = |error: Errno| match error {
        // A link where none may be, or one that leads out.
        Errno::LOOP | Errno::XDEV => FileError::new(
            asked,
            FileErrorKind::NotRegistered,
            "a symbolic link leads out of what was registered",
        ),
        error => FileError::io(asked, &error.into()),
    };
    let fd = match permit {
        Permit::Anything(path) => openat(CWD, path, FLAGS, Mode::empty()),
        Permit::File(path) => walk(Path::new("/"), path.strip_prefix("/").unwrap_or(path)),
        Permit::Below { root, rest } => beneath(root, rest),
    };
    examine(asked, fd.map_err(denied)?, false)
}

fn examine(path: &Path, fd: OwnedFd, stream: bool) -> Result<Opened, FileError> {
    let file = File::from(fd);
    let metadata = file.metadata().map_err(|error| FileError::io(path, &error))?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(FileError::new(path, FileErrorKind::Directory, "it is a directory"));
    }
    let stream = stream && !kind.is_file();
    if !kind.is_file() && (!stream || kind.is_block_device()) {
        let message = format!("'{}' is not a regular file.", path.display());
        return Err(FileError::new(path, FileErrorKind::NotRegular, message));
    }
    let size = (!stream).then_some(metadata.len());
    Ok(Opened { file, metadata, size })
}

/// Opens what lies below a directory. Links may lead about within it, where the kernel can see to that.
fn beneath(root: &Path, rest: &Path) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{ResolveFlags, openat2};
        let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(&root, rest, FLAGS, Mode::empty(), resolve) {
            // An old kernel, or one that may not.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
            result => return result,
        }
    }
    walk(root, rest)
}

/// Opens what lies below a directory, name by name, and follows no link.
fn walk(root: &Path, rest: &Path) -> Result<OwnedFd, Errno> {
    let mut at = openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = rest.components().peekable();
    while let Some(name) = names.next() {
        let Component::Normal(name) = name else { return Err(Errno::XDEV) };
        let flags = match names.peek() {
            Some(_) => OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            None => FLAGS | OFlags::NOFOLLOW,
        };
        at = openat(at.as_fd(), name, flags, Mode::empty()).map_err(|error| {
            // A link that is to be a directory is "no directory".
            if error == Errno::NOTDIR { Errno::LOOP } else { error }
        })?;
    }
    Ok(at)
}

/// Whether it is still the file that was announced.
pub(super) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino()) && is_unchanged(a, b)
}

/// Whether nobody wrote to it.
pub(super) fn is_unchanged(a: &Metadata, b: &Metadata) -> bool {
    (a.len(), a.mtime(), a.mtime_nsec()) == (b.len(), b.mtime(), b.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_do_not_lead_out_of_what_is_permitted() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("in"), root.join("out"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(inside.join("good"), "good").unwrap();
        std::fs::write(outside.join("secret"), "secret").unwrap();
        symlink("../out/secret", inside.join("up")).unwrap();
        symlink(outside.join("secret"), inside.join("away")).unwrap();
        symlink(&outside, inside.join("dir")).unwrap();
        for (rest, good) in [("good", true), ("up", false), ("away", false), ("dir/secret", false)] {
            let permit = Permit::Below { root: inside.clone(), rest: rest.into() };
            match permitted(Path::new(rest), &permit) {
                Ok(_) => assert!(good, "{rest}"),
                Err(error) => {
                    assert!(!good && error.kind == FileErrorKind::NotRegistered, "{rest}: {error}");
                }
            }
            let walked = walk(&inside, Path::new(rest));
            assert_eq!(walked.is_ok(), good, "{rest}");
        }
        // A registered file that was swapped for a link since.
        let swapped = Permit::File(inside.join("away"));
        let error = permitted(&inside.join("away"), &swapped).unwrap_err();
        assert_eq!(error.kind, FileErrorKind::NotRegistered);
        permitted(&inside.join("good"), &Permit::File(inside.join("good"))).unwrap();
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for (path, kind) in [
            (fifo.as_path(), FileErrorKind::NotRegular),
            (directory.path(), FileErrorKind::Directory),
            (Path::new("/dev/zero"), FileErrorKind::NotRegular),
            (Path::new("/nonexistent/x"), FileErrorKind::NotFound),
        ] {
            assert_eq!(any(path).unwrap_err().kind, kind, "{}", path.display());
        }
        assert!(any(Path::new("/dev/null")).unwrap().size().is_none());
    }
}
