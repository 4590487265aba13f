//! What can be wrong with a file.

use crate::error::{ContextLabel, Error};
use mitogen_fileservice::{Busy, DownloadError, Ended, RegistryError};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A transfer failed because of a file: which one, where, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FileError {
    /// The context whose file it is; `None` for this machine.
    pub context: Option<ContextLabel>,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, for programs.
    pub kind: FileErrorKind,
    /// What is wrong with it, for people.
    pub message: String,
}

/// The kinds of [`FileError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// There is no such file, or no such directory to put it in.
    NotFound,
    /// It may not be read or written.
    Denied,
    /// It is a directory.
    Directory,
    /// It is a FIFO, a socket or a device.
    NotRegular,
    /// Nobody registered it, or a link leads out of what was registered.
    NotRegistered,
    /// It shrank, grew or was written to while it was sent.
    Changed,
    /// No space is left.
    NoSpace,
    /// The file system is read-only.
    ReadOnly,
    /// Less or more came than was announced.
    WrongSize,
    /// The content is not what was sent.
    WrongDigest,
    /// Nothing was acknowledged, or nothing came, for too long.
    Stalled,
    /// The other side ended it.
    Cut,
    /// The other side breaks the protocol.
    Protocol,
    /// Too much is queued.
    Busy,
    /// Something else that the system said.
    Io,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(context) = &self.context {
            write!(f, "{context}: ")?;
        }
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for FileError {}

impl FileError {
    pub(crate) fn new(path: &Path, kind: FileErrorKind, message: impl Into<String>) -> FileError {
        FileError { context: None, path: path.to_owned(), kind, message: message.into() }
    }

    /// What the system said about a local file.
    pub(crate) fn io(path: &Path, error: &io::Error) -> FileError {
        let kind = error.raw_os_error().map_or(FileErrorKind::Io, FileErrorKind::of_errno);
        let text = error.to_string();
        // The number is for programs.
        let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
        FileError::new(path, kind, text)
    }

    pub(crate) fn at(mut self, context: ContextLabel) -> FileError {
        self.context = Some(context);
        self
    }

    pub(crate) fn registry(error: &RegistryError) -> FileError {
        let (path, kind) = match error {
            RegistryError::Unregistered { path } | RegistryError::NotPlain { path } => {
                (path.clone(), FileErrorKind::NotRegistered)
            }
            _ => (PathBuf::new(), FileErrorKind::Denied),
        };
        FileError { context: None, path, kind, message: error.to_string() }
    }

    pub(crate) fn ended(path: &Path, how: Ended) -> FileError {
        let kind = match how {
            Ended::Stalled => FileErrorKind::Stalled,
            Ended::OverAcknowledged => FileErrorKind::Protocol,
            Ended::Source => FileErrorKind::Io,
            _ => FileErrorKind::Cut,
        };
        FileError::new(path, kind, how.to_string())
    }

    pub(crate) fn busy(path: &Path, busy: Busy) -> FileError {
        FileError::new(path, FileErrorKind::Busy, busy.to_string())
    }

    pub(crate) fn download(path: &Path, error: &DownloadError) -> FileError {
        let kind = match error {
            DownloadError::WrongDigest => FileErrorKind::WrongDigest,
            DownloadError::TooLong { .. } | DownloadError::Short { .. } => FileErrorKind::WrongSize,
            _ => FileErrorKind::Protocol,
        };
        FileError::new(path, kind, error.to_string())
    }
}

impl FileErrorKind {
    /// Numbers of POSIX that are the same everywhere, but for those that are named.
    pub(crate) fn of_errno(number: i32) -> FileErrorKind {
        use rustix::io::Errno;
        match Errno::from_raw_os_error(number) {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => FileErrorKind::NotFound,
            Errno::ACCESS | Errno::PERM => FileErrorKind::Denied,
            Errno::ISDIR => FileErrorKind::Directory,
            Errno::NXIO => FileErrorKind::NotRegular,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FileErrorKind::NoSpace,
            Errno::ROFS => FileErrorKind::ReadOnly,
            _ => FileErrorKind::Io,
        }
    }

    /// By the agent's word for it.
    pub(crate) fn of_word(word: &str) -> FileErrorKind {
        match word {
            "directory" => FileErrorKind::Directory,
            "not-regular" => FileErrorKind::NotRegular,
            "changed" => FileErrorKind::Changed,
            "size" => FileErrorKind::WrongSize,
            "digest" => FileErrorKind::WrongDigest,
            "stalled" => FileErrorKind::Stalled,
            "cut" => FileErrorKind::Cut,
            "acknowledged" => FileErrorKind::Protocol,
            _ => FileErrorKind::Io,
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Error {
        Error::File(Box::new(error))
    }
}
