//! What can go wrong, told apart by who can do something about it.

use crate::stand_in::ConnectError;
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, FrameError};
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
    /// A context between here and there said so.
    #[error("the respondent Context has disconnected")]
    Disconnected,
}

/// A Python exception, raised by the called function or by the context on its way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// The exception's class with its module, as its Python calls it: `builtins.ValueError` on
    /// Python 3, `exceptions.ValueError` on Python 2.
    pub type_name: String,
    /// What `str(exception)` gave. May be empty, may have several lines.
    pub message: String,
    /// The formatted traceback, outermost call first; absent if the exception had none.
    pub traceback: Option<String>,
}

impl RemoteError {
    /// Reads the text of a CallError: `module.Class: message`, then the traceback's lines.
    pub(crate) fn parse(text: &str) -> RemoteError {
        // A message may have several lines, so the traceback is found by what it always starts with.
        let (summary, traceback) = match text.find("\n  File \"") {
            Some(at) => (&text[..at], Some(text[at + 1..].trim_end_matches('\n').to_owned())),
            None => (text.trim_end_matches('\n'), None),
        };
        // A class name holds no blank, so a colon after one belongs to the message.
        let (type_name, message) = match summary.split_once(':') {
            Some((name, message)) if !name.contains(char::is_whitespace) => {
                (name, message.strip_prefix(' ').unwrap_or(message))
            }
            _ if !summary.contains(char::is_whitespace) => (summary, ""),
            _ => ("", summary),
        };
        RemoteError { type_name: type_name.to_owned(), message: message.to_owned(), traceback }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_error_s_text_falls_into_type_message_and_traceback() {
        let text =
            "builtins.ValueError: bad: thing\nsecond line\n  File \"m.py\", line 3, in f\n    raise x\n";
        let error = RemoteError::parse(text);
        assert_eq!(error.type_name, "builtins.ValueError");
        assert_eq!(error.message, "bad: thing\nsecond line");
        assert_eq!(error.traceback.as_deref(), Some("  File \"m.py\", line 3, in f\n    raise x"));
        assert_eq!(error.to_string(), "builtins.ValueError: bad: thing\nsecond line");
    }

    #[test]
    fn odd_call_errors_lose_nothing() {
        let bare = RemoteError::parse("exceptions.KeyError: ");
        assert_eq!((bare.type_name.as_str(), bare.message.as_str()), ("exceptions.KeyError", ""));
        let named = RemoteError::parse("mod.Stop");
        assert_eq!((named.type_name.as_str(), named.message.as_str()), ("mod.Stop", ""));
        let free = RemoteError::parse("something went wrong: badly");
        assert_eq!((free.type_name.as_str(), free.message.as_str()), ("", "something went wrong: badly"));
    }
}
