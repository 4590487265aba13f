//! Dead messages: why nothing (more) will come to a handle (protocol.md section 4.4).

use crate::{ContextId, Handle, Message};
use std::fmt;

/// Why a message is dead. [`fmt::Display`] gives upstream's text, which is what travels; a text
/// of no known form is kept as [`Dead::Other`], so that every reason survives a round trip.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dead {
    /// The context `at` knows no way to the context `to`.
    NoRoute {
        /// Where the message was to go.
        to: ContextId,
        /// Who could not route it.
        at: ContextId,
    },
    /// Nothing listens on the handle.
    InvalidHandle,
    /// The receiver does not take messages from that source.
    RefusedByPolicy,
    /// The handle waits for another context's message.
    UnexpectedContext,
    /// The message exceeds the sender's or a relay's limit.
    TooLarge {
        /// That limit, in bytes.
        limit: u64,
    },
    /// The tree is unidirectional, and the two contexts are not each other's ancestors.
    RoutingMode {
        /// Who sent it.
        from: ContextId,
        /// Where it was to go.
        to: ContextId,
        /// Who refused to relay it.
        via: ContextId,
    },
    /// The sender will send no more: the regular end of a stream of messages.
    SenderClosed,
    /// The context that was to answer is gone. Made locally, not by a peer.
    RespondentGone,
    /// This context is shutting down. Made locally. (The spelling is upstream's.)
    BrokerExited,
    /// The receiver was closed by its owner. Made locally.
    ReceiverClosed,
    /// No reason was given.
    Unexplained,
    /// Any other text.
    Other(String),
}

const INVALID_HANDLE: &str = "invalid handle";
const REFUSED_BY_POLICY: &str = "refused by policy";
const UNEXPECTED_CONTEXT: &str = "reply from unexpected context";
const SENDER_CLOSED: &str = "Sender was explicitly closed";
const RESPONDENT_GONE: &str = "the respondent Context has disconnected";
const BROKER_EXITED: &str = "Broker has exitted";
const RECEIVER_CLOSED: &str = "the Receiver has been closed";

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dead::NoRoute { to, at } => write!(f, "no route to {to}, my ID is {at}"),
            Dead::InvalidHandle => f.write_str(INVALID_HANDLE),
            Dead::RefusedByPolicy => f.write_str(REFUSED_BY_POLICY),
            Dead::UnexpectedContext => f.write_str(UNEXPECTED_CONTEXT),
            Dead::TooLarge { limit } => write!(f, "message too large (max {limit} bytes)"),
            Dead::RoutingMode { from, to, via } => write!(
                f,
                "routing mode prevents forward of message from context {from} to context {to} via context {via}"
            ),
            Dead::SenderClosed => f.write_str(SENDER_CLOSED),
            Dead::RespondentGone => f.write_str(RESPONDENT_GONE),
            Dead::BrokerExited => f.write_str(BROKER_EXITED),
            Dead::ReceiverClosed => f.write_str(RECEIVER_CLOSED),
            Dead::Unexplained => Ok(()),
            Dead::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Dead {}

impl Dead {
    /// Recognises upstream's texts; never fails.
    pub fn parse(text: &str) -> Dead {
        let known = match text {
            "" => Some(Dead::Unexplained),
            INVALID_HANDLE => Some(Dead::InvalidHandle),
            REFUSED_BY_POLICY => Some(Dead::RefusedByPolicy),
            UNEXPECTED_CONTEXT => Some(Dead::UnexpectedContext),
            SENDER_CLOSED => Some(Dead::SenderClosed),
            RESPONDENT_GONE => Some(Dead::RespondentGone),
            BROKER_EXITED => Some(Dead::BrokerExited),
            RECEIVER_CLOSED => Some(Dead::ReceiverClosed),
            _ => parse_numbered(text),
        };
        match known {
            // A number in a form that we would not write (`+7`, `007`) must not change on its way.
            Some(dead) if dead.to_string() == text => dead,
            _ => Dead::Other(text.to_owned()),
        }
    }

    /// The reason of a dead message, or `None` when the message is not dead. Bytes that are not
    /// UTF-8 are replaced.
    pub fn from_message(message: &Message) -> Option<Dead> {
        message.is_dead().then(|| Dead::parse(&String::from_utf8_lossy(&message.payload)))
    }

    /// The dead message that gives this reason to whoever waits at `handle` of `dst`.
    pub fn to_message(&self, src: ContextId, dst: ContextId, handle: Handle) -> Message {
        Message::dead(src, dst, handle, &self.to_string())
    }
}

fn parse_numbered(text: &str) -> Option<Dead> {
    if let Some(rest) = text.strip_prefix("no route to ") {
        let (to, at) = rest.split_once(", my ID is ")?;
        return Some(Dead::NoRoute { to: id(to)?, at: id(at)? });
    }
    if let Some(rest) = text.strip_prefix("message too large (max ") {
        return Some(Dead::TooLarge { limit: rest.strip_suffix(" bytes)")?.parse().ok()? });
    }
    let rest = text.strip_prefix("routing mode prevents forward of message from context ")?;
    let (from, rest) = rest.split_once(" to context ")?;
    let (to, via) = rest.split_once(" via context ")?;
    Some(Dead::RoutingMode { from: id(from)?, to: id(to)?, via: id(via)? })
}

fn id(digits: &str) -> Option<ContextId> {
    super::decimal_id(digits.as_bytes())
}
