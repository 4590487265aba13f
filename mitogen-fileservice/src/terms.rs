//! What a [`FileServer`](crate::FileServer) is told, and what it says.

use crate::window::Credit;
use mitogen_wire::ContextId;
use std::time::Duration;

/// Names one transfer of a [`FileServer`](crate::FileServer); never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What a server takes on, and for how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many transfers one context may have queued.
    pub per_context: usize,
    /// How many there may be in all.
    pub total: usize,
    /// How long nothing may be acknowledged while something is on its way.
    pub stall: Duration,
}

impl Default for Limits {
    /// 16,384 for one context, 131,072 in all; 60 s.
    fn default() -> Limits {
        Limits { per_context: 1 << 14, total: 1 << 17, stall: Duration::from_secs(60) }
    }
}

/// A transfer was not taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Busy {
    /// Too many are queued.
    #[error("{queued} transfers are queued already")]
    Full {
        /// How many.
        queued: usize,
    },
    /// The server was shut down.
    #[error("the file server is shut down")]
    ShutDown,
}

/// What the server asks of the world.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Output {
    /// Tell the receiver what it will get. It comes before anything else is said about the job.
    Announce {
        /// Which transfer.
        job: JobId,
    },
    /// Open the source, and say so with [`FileServer::handle_opened`](crate::FileServer::handle_opened).
    Begin {
        /// Which transfer.
        job: JobId,
    },
    /// Read and send as much as the credit allows, and say so with [`FileServer::handle_read`](crate::FileServer::handle_read).
    Read {
        /// Which transfer.
        job: JobId,
        /// How much.
        credit: Credit,
    },
    /// All of it was sent, and [`Output::End`] said so; now its receiver has stopped acknowledging what is still on
    /// its way. Nothing more is said about it.
    Unacknowledged {
        /// Which transfer.
        job: JobId,
    },
    /// The transfer is over: tell the receiver, and let the source go. Nothing more is said about it, unless it is
    /// [`Output::Unacknowledged`].
    End {
        /// Which transfer.
        job: JobId,
        /// How it ended.
        how: Ended,
    },
}

/// How a transfer ended, as far as the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// Everything was sent.
    #[error("everything was sent")]
    Sent,
    /// The source could not be opened, or read to its end.
    #[error("the file could not be read")]
    Source,
    /// Whoever wanted it wants it no more.
    #[error("the transfer was cancelled")]
    Cancelled,
    /// The receiver is gone.
    #[error("the receiver is gone")]
    Gone,
    /// The receiver acknowledges nothing any more.
    #[error("the receiver has stopped acknowledging")]
    Stalled,
    /// The receiver has acknowledged more than was sent.
    #[error("the receiver has acknowledged more than it was sent")]
    OverAcknowledged,
    /// The server was shut down.
    #[error("the file server was shut down")]
    ShutDown,
}

/// What came of a [`Output::Read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of the window were sent; not 0.
    Sent(usize),
    /// There was nothing left.
    End,
    /// The source failed.
    Failed,
}

/// An acknowledgement that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("context {who} acknowledged {bytes} bytes, {owed} of which were on their way to it")]
pub struct BadAck {
    /// Who sent it.
    pub who: ContextId,
    /// How much it says has arrived.
    pub bytes: usize,
    /// How much was on its way there.
    pub owed: usize,
}
