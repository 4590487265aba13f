//! What may be said about a transfer, and what comes of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How a file is transferred.
#[derive(Clone)]
pub struct TransferOptions {
    pub(crate) preserve: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) resume: bool,
    pub(crate) compress: bool,
    pub(crate) verify: bool,
    pub(crate) sync: bool,
    pub(crate) progress: Option<Callback>,
}

type Callback = Arc<dyn Fn(Progress) + Send + Sync>;

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the file are through, those of an earlier attempt included.
    pub bytes: u64,
    /// How many there are; `None` for a stream.
    pub total: Option<u64>,
}

impl Default for TransferOptions {
    fn default() -> TransferOptions {
        TransferOptions {
            preserve: true,
            mode: None,
            resume: false,
            compress: false,
            verify: false,
            sync: true,
            progress: None,
        }
    }
}

impl TransferOptions {
    /// Mode and times are kept, data is on the disk before the file takes its place; nothing else.
    pub fn new() -> TransferOptions {
        TransferOptions::default()
    }

    /// Whether the file keeps its permissions and times (default: yes).
    #[must_use]
    pub fn preserve(mut self, preserve: bool) -> TransferOptions {
        self.preserve = preserve;
        self
    }

    /// These permissions, whatever the file has.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> TransferOptions {
        self.mode = Some(mode & 0o7777);
        self
    }

    /// Whether a transfer that is cut leaves what it has, under a name of its own beside the target, and
    /// goes on from there the next time (default: no). It does when size, time and the digest of the
    /// part agree.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> TransferOptions {
        self.resume = resume;
        self
    }

    /// Whether the content is compressed on its way (default: no). It pays on slow links.
    #[must_use]
    pub fn compress(mut self, compress: bool) -> TransferOptions {
        self.compress = compress;
        self
    }

    /// Whether both ends compute a SHA-256 of the content and compare them (default: no; every link is
    /// signed anyway, and the size is always compared).
    #[must_use]
    pub fn verify(mut self, verify: bool) -> TransferOptions {
        self.verify = verify;
        self
    }

    /// Whether the data is on the disk (`fsync`) before the file takes its place (default: yes).
    #[must_use]
    pub fn sync(mut self, sync: bool) -> TransferOptions {
        self.sync = sync;
        self
    }

    /// Calls this as the transfer goes on; it must not wait.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(Progress) + Send + Sync + 'static) -> TransferOptions {
        self.progress = Some(Arc::new(progress));
        self
    }

    pub(crate) fn tell(&self, bytes: u64, total: Option<u64>) {
        if let Some(progress) = &self.progress {
            progress(Progress { bytes, total });
        }
    }
}

impl fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferOptions")
            .field("preserve", &self.preserve)
            .field("mode", &self.mode)
            .field("resume", &self.resume)
            .field("compress", &self.compress)
            .field("verify", &self.verify)
            .field("sync", &self.sync)
            .finish_non_exhaustive()
    }
}

/// What a transfer came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// The size of the file.
    pub bytes: u64,
    /// Where it is now.
    pub path: PathBuf,
    /// How much of it was there from an earlier attempt.
    pub resumed: u64,
}
