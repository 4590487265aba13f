//! What can go wrong, told apart by who can do something about it.

use mitogen_transport::{ConnectError, LinkError, ListenError};
use mitogen_wire::body::{CallError, Dead};
use mitogen_wire::{ContextId, FrameError, Handle};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why something that was asked of a [`Router`](crate::Router) or a [`Context`](crate::Context)
/// did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The context was not born: unreachable host, refused password, no interpreter, a deadline...
    /// The error names the hop and the phase, and quotes the last lines that were seen.
    #[error(transparent)]
    Connect(#[from] Box<ConnectError>),

    /// The called function raised an exception. The context lives on.
    #[error(transparent)]
    Call(#[from] RemoteError),

    /// The context went away, or its link broke, before an answer came.
    #[error("{context} was lost: {reason}")]
    Lost {
        /// Which context: its name and id.
        context: ContextLabel,
        /// The hop that led to it, as a target is written (`ssh:web1`).
        hop: String,
        /// What ended it.
        reason: LostReason,
    },

    /// No answer came in time. The function may still be running: its answer, if one comes, is
    /// thrown away.
    #[error("no answer from {context} within {after:?} to {what}")]
    Timeout {
        /// Who was to answer.
        context: ContextLabel,
        /// What was asked: a function's name, `shutdown`...
        what: String,
        /// The deadline that passed.
        after: Duration,
    },

    /// So many calls of one context are waited for already. Await some of them first.
    #[error("{limit} calls of {context} are waiting for their answers already")]
    TooManyCalls {
        /// Which context.
        context: ContextLabel,
        /// How many may.
        limit: usize,
    },

    /// The calls of one context that are waited for are too large together. Await some of them first, or
    /// send what is large as a file.
    #[error("calls of {context} are waiting for their answers that take more than {limit} bytes together")]
    CallsTooLarge {
        /// Which context.
        context: ContextLabel,
        /// How many bytes they may take.
        limit: usize,
    },

    /// The message was refused on its way: no such receiver, forbidden, too large for the far end...
    #[error("{context} refused the message: {reason}")]
    Refused {
        /// Who was to answer.
        context: ContextLabel,
        /// What the refusing router said.
        reason: Dead,
    },

    /// The arguments cannot be sent as Python values.
    #[error("cannot send the arguments of {what}: {message}")]
    Encode {
        /// Which function's arguments.
        what: String,
        /// What does not fit.
        message: String,
    },

    /// The call with its arguments is larger than the router's message limit; see
    /// [`RouterBuilder::max_message_size`](crate::RouterBuilder::max_message_size).
    #[error("the call of {what} takes {length} bytes, more than the limit of {limit} bytes for one message")]
    TooLarge {
        /// Which function's call.
        what: String,
        /// Its size in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },

    /// An answer came, and it is not what was expected: no pickle that we read, or a value of
    /// another type than the caller asked for.
    #[error("cannot read the result of {what}: {message}")]
    Decode {
        /// Which function's result.
        what: String,
        /// What does not fit.
        message: String,
    },

    /// A function's name does not say where the function lives.
    #[error(
        "{name:?} does not name a function: write `module.function`, `module.Class.method` or `module:Class.method`"
    )]
    BadName {
        /// What was given.
        name: String,
    },

    /// The context runs upstream's core ([`Agent::Upstream`](crate::Agent::Upstream)), which has not what was
    /// asked for.
    #[error("{context} runs upstream's core, which cannot {what}: {instead}")]
    NotUpstream {
        /// Which context.
        context: ContextLabel,
        /// What was asked for.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },

    /// The other end of a channel said that nothing more will come from it. Others may still send.
    #[error("{context} closed the channel: {reason}")]
    ChannelClosed {
        /// Who said so.
        context: ContextLabel,
        /// The reason given.
        reason: Dead,
    },

    /// The receiver has not taken enough of what was sent to it before.
    #[error("{context} has not taken what was sent to it before")]
    NoCredit {
        /// Whose receiver.
        context: ContextLabel,
    },

    /// A receiver was not read, and more was waiting in it than may be. It was closed.
    #[error("the receiver was closed: {queued} bytes were waiting in it to be read")]
    Overflow {
        /// How much was waiting, in bytes.
        queued: usize,
    },

    /// Somebody listens on that handle already.
    #[error("handle {handle} is already in use")]
    HandleTaken {
        /// The handle.
        handle: Handle,
    },

    /// There is a service of that name already.
    #[error("there is a service named {name:?} already")]
    NameTaken {
        /// The name.
        name: String,
    },

    /// A file cannot be read, written or sent; it says which, where and why.
    #[error(transparent)]
    File(Box<crate::files::FileError>),

    /// A socket cannot be listened on.
    #[error(transparent)]
    Listen(#[from] Box<ListenError>),

    /// The router was shut down, or its last handle was dropped.
    #[error("the router is closed")]
    Closed,

    /// This machine refused something that the router itself needs: randomness, a runtime.
    #[error("cannot {what}")]
    Local {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A context's name and id, as errors show them: `web1 (context 3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextLabel {
    /// The id.
    pub id: ContextId,
    /// The name.
    pub name: Arc<str>,
}

impl fmt::Display for ContextLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (context {})", self.name, self.id)
    }
}

/// What ended a context, as far as this side can know.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// Its end of the link was closed: it ended, was killed, or the connection broke.
    #[error("it closed the link{}", .status.as_ref().map(|s| format!(" ({s})")).unwrap_or_default())]
    Ended {
        /// How its process ended, where that was known in time: `exit status: 1`, `signal: 9 (SIGKILL)`.
        status: Option<String>,
    },
    /// What it sent is no valid frame; nothing after that can be read, so it was killed.
    #[error(transparent)]
    Corrupt(#[from] FrameError),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] Arc<io::Error>),
    /// It did not read, and more was waiting for it than may be.
    #[error("it stopped reading while {queued} bytes were waiting for it")]
    Backlog {
        /// How much was queued.
        queued: usize,
    },
    /// This side shut it down.
    #[error("it was shut down")]
    ShutDown,
    /// The router was closed.
    #[error("the router is closed")]
    RouterClosed,
    /// It detached, or one that leads to it did: it lives on without this program.
    #[error("it has detached")]
    Detached,
    /// A context between here and there said so.
    #[error("the respondent Context has disconnected")]
    Disconnected,
    /// A context that leads to it was lost.
    #[error("{context}, which leads to it, was lost: {reason}")]
    Behind {
        /// The one that went first.
        context: ContextLabel,
        /// What ended that one.
        reason: Arc<LostReason>,
    },
}

impl From<LinkError> for LostReason {
    fn from(error: LinkError) -> LostReason {
        match error {
            LinkError::Frame(error) => LostReason::Corrupt(error),
            LinkError::Io(error) => LostReason::Io(error),
            LinkError::QueueFull { queued, .. } => LostReason::Backlog { queued },
            LinkError::Closed => LostReason::RouterClosed,
            other => LostReason::Io(Arc::new(io::Error::other(other))),
        }
    }
}

/// A Python exception, raised by the called function or by the context on its way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// The exception's class with its module, as its Python calls it: `builtins.ValueError` on
    /// Python 3, `exceptions.ValueError` on Python 2. Empty when what came names none.
    pub type_name: String,
    /// What `str(exception)` gave. May be empty, may have several lines.
    pub message: String,
    /// The formatted traceback, outermost call first; absent if the exception had none.
    pub traceback: Option<String>,
}

impl RemoteError {
    /// An exception of this class (`builtins.KeyError`), for a service to answer with.
    pub fn new(type_name: impl Into<String>, message: impl Into<String>) -> RemoteError {
        RemoteError { type_name: type_name.into(), message: message.into(), traceback: None }
    }
}

impl From<CallError> for RemoteError {
    fn from(error: CallError) -> RemoteError {
        RemoteError {
            type_name: error.type_name().unwrap_or_default().to_owned(),
            message: error.message().to_owned(),
            traceback: error.traceback().map(str::to_owned),
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.type_name.as_str(), self.message.as_str()) {
            (name, "") => f.write_str(name),
            ("", message) => f.write_str(message),
            (name, message) => write!(f, "{name}: {message}"),
        }
    }
}

impl std::error::Error for RemoteError {}
