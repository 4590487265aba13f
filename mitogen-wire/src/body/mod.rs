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
//! | `GET_RESOURCE` 112, `LOAD_RESOURCE` 113 | [`GetResource`], [`LoadResource`] | pickles |
//! | 202, ours alone | [`LoadBundle`], [`BundleEntry`] | pickle |
//! | 205, ours alone | [`Grant`] | text |
//! | `CALL_SERVICE` 110 | [`CallService`], answered by [`CallResult`] | pickle |
//! | any, when dead | [`Dead`] | text |

mod bundle;
mod call;
mod dead;
mod empty;
mod ids;
mod log;
mod module;
mod resource;
mod route;
mod service;

pub use bundle::{BundleEntry, LoadBundle};
pub use call::{CallError, CallFunction, CallResult};
pub use dead::Dead;
pub use empty::{AllocateId, Shutdown};
pub use ids::IdBlock;
pub use log::ForwardLog;
pub use module::{GetModule, LoadModule, LoadedModule};
pub use resource::{GetResource, LoadResource};
pub use route::{AddRoute, DelRoute, Grant};
pub use service::CallService;

use crate::pickle::{self, Limits, PickleError};
use crate::{ContextId, Encoding, Message, Value};

/// Why a payload is not the body that its handle calls for.
///
/// It costs the one message that carried it, never the link.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is no body: the message says that none will come.
    #[error("{0}")]
    Dead(Dead),
    /// The payload is no pickle that we read.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The message says that its payload is raw bytes where a pickle belongs.
    #[error("the {body} is marked as raw bytes, not as a pickle")]
    NotPickled {
        /// Which body was expected.
        body: &'static str,
    },
    /// The payload does not have its body's form.
    #[error("malformed {body}: {problem}")]
    Malformed {
        /// Which body was expected.
        body: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A dead message has no body, whatever its handle.
fn alive(message: &Message) -> Result<&[u8], BodyError> {
    match Dead::from_message(message) {
        Some(dead) => Err(BodyError::Dead(dead)),
        None => Ok(&message.payload),
    }
}

/// Reads the first pickle of a payload. A message without a mark may hold one too: releases
/// before 0.3.39, and compact frames, mark nothing.
fn pickled(message: &Message, body: &'static str) -> Result<Value, BodyError> {
    alive(message)?;
    match message.encoding {
        Encoding::Raw => Err(BodyError::NotPickled { body }),
        Encoding::Implied | Encoding::Pickle => {
            Ok(pickle::read_shared(&message.payload, &Limits::default())?)
        }
    }
}

/// Text, or what Python 2 writes for it: a byte string that holds UTF-8.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text),
        Value::Str(bytes) | Value::Bytes(bytes) => String::from_utf8(bytes.into()).ok(),
        _ => None,
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
