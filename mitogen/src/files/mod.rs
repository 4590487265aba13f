//! Files: to contexts, from contexts, and for contexts that fetch them on their own account.
//!
//! | what | where |
//! |---|---|
//! | opening what may be opened, reading it ahead | `open`, `source` |
//! | a file that takes its place when it is whole | `landing` |
//! | the driver of the scheduler | `server`, `pump`, `clock` |
//! | this program's side of a transfer | `upload`, `many`, `download`, `request`, `batch` |
//! | what upstream's children ask for | `service` |

mod batch;
mod clock;
mod download;
mod error;
mod landing;
mod many;
mod open;
mod options;
mod pump;
mod request;
mod server;
mod service;
mod source;
mod upload;

pub use error::{FileError, FileErrorKind};
pub use mitogen_fileservice::{Bounds, Sizing};
pub use options::{Progress, TransferOptions, Transferred};
pub(crate) use server::Server;

use crate::{Context, Error, Router};
use mitogen_wire::ContextId;
use std::path::Path;

/// What is no longer than this travels in one message with its metadata.
const INLINE: u64 = 65_536;

/// A remote entry below a directory: [`Context::list_files`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The way to it from the directory.
    pub path: std::path::PathBuf,
    /// Type and permissions, as `stat` has them.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
}

impl Entry {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }
}

impl Context {
    /// Sends a file of this machine there, with its mode and times. It is written beside its place and
    /// takes it only when it is whole: on any failure the old file stays as it was, and nothing else is left.
    /// Into a directory it goes under its own name.
    ///
    /// # Errors
    /// [`Error::File`], which says where and what; [`Error::Lost`], [`Error::Closed`] and others as for a call.
    pub async fn upload(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
    ) -> Result<Transferred, Error> {
        self.upload_with(local, remote, &TransferOptions::new()).await
    }

    /// As [`Context::upload`], with other options.
    ///
    /// # Errors
    /// As there.
    pub async fn upload_with(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
        options: &TransferOptions,
    ) -> Result<Transferred, Error> {
        upload::one(self, local.as_ref(), remote.as_ref(), options).await
    }

    /// Fetches a file from there, with its mode and times; it lands as [`Context::upload`] says.
    ///
    /// # Errors
    /// As there.
    pub async fn download(
        &self,
        remote: impl AsRef<Path>,
        local: impl AsRef<Path>,
    ) -> Result<Transferred, Error> {
        self.download_with(remote, local, &TransferOptions::new()).await
    }

    /// As [`Context::download`], with other options.
    ///
    /// # Errors
    /// As there.
    pub async fn download_with(
        &self,
        remote: impl AsRef<Path>,
        local: impl AsRef<Path>,
        options: &TransferOptions,
    ) -> Result<Transferred, Error> {
        download::one(self, remote.as_ref(), local.as_ref(), options).await
    }

    /// What lies below a directory there, directories before what they hold; symbolic links are named and
    /// not followed. `None` when it is no directory.
    ///
    /// # Errors
    /// As [`Context::download`].
    pub async fn list_files(&self, directory: impl AsRef<Path>) -> Result<Option<Vec<Entry>>, Error> {
        request::list(self, directory.as_ref()).await
    }

    /// Makes a directory there, unless there is one, and gives it these permissions.
    ///
    /// # Errors
    /// As [`Context::upload`].
    pub async fn make_directory(&self, path: impl AsRef<Path>, mode: Option<u32>) -> Result<(), Error> {
        request::make_directory(self, path.as_ref(), mode).await
    }
}

impl Router {
    /// Sends one file to many contexts. Over a link that leads to several of them the bytes go once: where
    /// their ways part, a context passes them on. The results stand in the order of the contexts.
    pub async fn upload_to(
        &self,
        contexts: &[Context],
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
        options: &TransferOptions,
    ) -> Vec<Result<Transferred, Error>> {
        many::many(self.shared(), contexts, local.as_ref(), remote.as_ref(), options).await
    }

    /// What contexts may fetch from this program on their own account.
    pub fn files(&self) -> Files<'_> {
        Files { router: self }
    }
}

/// The files that any context of the tree may fetch by `mitogen.service.FileService`, ours or upstream's:
/// [`Router::files`]. At first there are none.
#[derive(Debug)]
pub struct Files<'a> {
    router: &'a Router,
}

impl Files<'_> {
    /// Lets every context fetch one file. What it is now counts: a symbolic link is followed now, not later.
    ///
    /// # Errors
    /// [`Error::File`] when the path is relative or goes up by `..`.
    pub fn register(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        service::offer(self.router)?;
        self.server().register(ContextId::CONTROLLER, path.as_ref(), false).map_err(Error::from)
    }

    /// Lets every context fetch what lies below a directory. Links that lead out of it are refused.
    ///
    /// # Errors
    /// As [`Files::register`].
    pub fn register_prefix(&self, directory: impl AsRef<Path>) -> Result<(), Error> {
        service::offer(self.router)?;
        self.server().register(ContextId::CONTROLLER, directory.as_ref(), true).map_err(Error::from)
    }

    /// Lets programs on a listener fetch any file, and say what contexts may.
    pub(crate) fn offer(&self) -> Result<(), Error> {
        service::offer(self.router)
    }

    /// How many transfers are queued or under way.
    pub fn pending(&self) -> usize {
        self.server().pending()
    }

    /// Over the link to this neighbour: how many bytes of files are on their way, and how many may be.
    pub fn window(&self, neighbour: &Context) -> Option<(usize, usize)> {
        self.server().window(neighbour.id())
    }

    fn server(&self) -> &std::sync::Arc<Server> {
        self.router.shared().files()
    }
}
