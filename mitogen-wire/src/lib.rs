//! Every byte format of Mitogen, in one place.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod frame;
mod header;
mod id;
mod integrity;
mod message;
pub mod python;
mod value;

pub use frame::{DEFAULT_MAX_PAYLOAD, Decoder, Encoder, FrameError, FrameFormat, FrameHead};
pub use header::Layout;
pub use id::{ContextId, Handle};
pub use integrity::{Direction, Integrity, MAC_LEN, SessionKey};
pub use message::{Encoding, Message, ReplyTo};
pub use value::Value;
