//! Typed payloads of the well-known handles (protocol.md sections 3, 4 and 6).
//!
//! Every body has `encode()`, which gives the encoding mark and the payload, and
//! `decode(&Message)`, which reads a payload that a peer wrote and trusts nothing in it. What a
//! body type writes it also reads; it reads more than it writes, because peers of other versions
//! (and Python 2, whose `str` is bytes) are neighbours too.
//!
//! | handle | body | payload |
//! |---|---|---|
//! | `GET_MODULE` 100 | [`GetModule`] | text |
//! | `CALL_FUNCTION` 101 | [`CallFunction`] | pickle |
//! | a reply handle | [`CallResult`], [`CallError`] | pickle |
//! | `FORWARD_LOG` 102 | [`ForwardLog`] | text |
//! | `ADD_ROUTE` 103 | [`AddRoute`] | text |
//! | `DEL_ROUTE` 104 | [`DelRoute`] | text |
//! | `ALLOCATE_ID` 105 | [`AllocateId`], answered by [`IdBlock`] | empty, pickle |
//! | `SHUTDOWN` 106 | [`Shutdown`] | empty |
//! | `LOAD_MODULE` 107 | [`LoadModule`] | pickle |
//! | any, when dead | [`Dead`] | text |

mod call;
mod dead;
mod empty;
mod ids;
mod log;
mod module;
mod route;

pub use call::{CallError, CallFunction, CallResult};
pub use dead::Dead;
pub use empty::{AllocateId, Shutdown};
pub use ids::IdBlock;
pub use log::ForwardLog;
pub use module::{GetModule, LoadModule, LoadedModule};
pub use route::{AddRoute, DelRoute};

use crate::{ContextId, Message};

/// Names of contexts are cut below this many characters when they are written: upstream's
/// receivers refuse the whole message otherwise (protocol.md section 11, quirk 15).
pub const MAX_NAME_CHARS: usize = 99;

/// Why a payload is not the body that its handle calls for.
///
/// It costs the one message that carried it, never the link.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is no body: the message says that none will come.
    #[error("{0}")]
    Dead(Dead),
    /// A text body does not have its form.
    #[error("malformed {body}: {problem}")]
    Malformed {
        /// Which body was expected.
        body: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A dead message has no body, whatever its handle.
fn alive<'a>(message: &'a Message) -> Result<&'a [u8], BodyError> {
    match Dead::from_message(message) {
        Some(dead) => Err(BodyError::Dead(dead)),
        None => Ok(&message.payload),
    }
}

/// Reads a context id in decimal: digits only, no sign, no blanks, as upstream writes it.
fn decimal_id(digits: &[u8]) -> Option<ContextId> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok().map(ContextId)
}

/// The longest front of `text` of at most `chars` characters.
fn front(text: &str, chars: usize) -> &str {
    match text.char_indices().nth(chars) {
        None => text,
        Some((end, _)) => &text[..end],
    }
}
