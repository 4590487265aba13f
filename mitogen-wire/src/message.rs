//! One message, independent of the frame format that carries it.

use crate::{ContextId, Handle};
use bytes::Bytes;

/// What the `reply_to` field of a frame says (protocol.md section 1.1).
///
/// On the wire these are 0, 999 and anything else; those two numbers never leave this crate's
/// `header` module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyTo {
    /// No answer is wanted.
    Nobody,
    /// The answer goes to this handle of the message's source.
    Handle(Handle),
    /// The message is *dead*: it says that no (further) message will come to its handle. Its
    /// payload is a UTF-8 reason, and it is never answered.
    Dead,
}

/// How a frame's magic number says its payload is encoded (protocol.md section 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 0x4D49: implied by the handle (text, empty, or a pickle from releases before 0.3.39).
    /// Also what a [`Compact`](crate::Layout::Compact) frame is read as, which has no magic.
    Implied,
    /// 0x4D4A: one or more pickles.
    Pickle,
    /// 0x4D4B: raw bytes.
    Raw,
}

/// One message from one context to a handle of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The context that shall receive it.
    pub dst: ContextId,
    /// The context that sent it, and that an answer goes to.
    pub src: ContextId,
    /// The context whose authority it carries. Equal to `src` unless a router re-stamped it.
    pub auth: ContextId,
    /// The receiver inside `dst`.
    pub handle: Handle,
    /// Where an answer is expected.
    pub reply_to: ReplyTo,
    /// How the payload is encoded. Routers preserve it and never act on it.
    pub encoding: Encoding,
    /// The body.
    pub payload: Bytes,
}

impl Message {
    /// A message from `src`, on its own authority, that wants no answer and has an empty body.
    pub fn new(src: ContextId, dst: ContextId, handle: Handle) -> Message {
        Message {
            dst,
            src,
            auth: src,
            handle,
            reply_to: ReplyTo::Nobody,
            encoding: Encoding::Implied,
            payload: Bytes::new(),
        }
    }

    /// The same message with a body.
    pub fn with_payload(mut self, encoding: Encoding, payload: impl Into<Bytes>) -> Message {
        self.encoding = encoding;
        self.payload = payload.into();
        self
    }

    /// The same message with a typed body: `message.with_body(body.encode())`.
    pub fn with_body(self, (encoding, payload): (Encoding, Bytes)) -> Message {
        self.with_payload(encoding, payload)
    }

    /// The same message, asking for its answer at `handle`.
    pub fn with_reply_to(mut self, handle: Handle) -> Message {
        self.reply_to = ReplyTo::Handle(handle);
        self
    }

    /// A dead message: tells whoever waits at `handle` of `dst` that nothing more will come.
    pub fn dead(src: ContextId, dst: ContextId, handle: Handle, reason: &str) -> Message {
        Message {
            reply_to: ReplyTo::Dead,
            ..Message::new(src, dst, handle)
                .with_payload(Encoding::Implied, Bytes::copy_from_slice(reason.as_bytes()))
        }
    }

    /// Whether this is a dead message.
    pub fn is_dead(&self) -> bool {
        self.reply_to == ReplyTo::Dead
    }
}
