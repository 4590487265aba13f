//! Every byte format of Mitogen, in one place.
//!
//! Contexts (processes) exchange [`Message`]s. This crate turns messages into frames and back
//! ([`Encoder`], [`Decoder`]), payloads into [typed bodies](body) and back, and Python values into
//! pickles and back. It is pure: no runtime, no clock, no file, no socket; bytes go in and values
//! come out, in whatever pieces the bytes arrive. What a peer sends is never trusted: every length
//! is limited, every failure is a typed error, and nothing here panics on input.
//!
//! ```
//! use bytes::BytesMut;
//! use mitogen_wire::body::ForwardLog;
//! use mitogen_wire::{
//!     ContextId, DEFAULT_MAX_PAYLOAD, Decoder, Direction, Encoder, FrameFormat, Message, SessionKey,
//! };
//!
//! // Both ends of a link know the format, its key included.
//! let format = FrameFormat::signed(SessionKey::from_random([7; 16]));
//! let upward = Direction::ChildToParent;
//! let mut child = Encoder::new(&format, upward, DEFAULT_MAX_PAYLOAD);
//! let mut parent = Decoder::new(&format, upward, DEFAULT_MAX_PAYLOAD);
//!
//! // The child frames a log record ...
//! let record = ForwardLog { logger: "app".into(), level: 20, message: "up and running".into() };
//! let message = Message::new(ContextId(1), ContextId::CONTROLLER, ForwardLog::HANDLE)
//!     .with_body(record.encode());
//! let mut stream = BytesMut::new();
//! child.encode(&message, &mut stream)?;
//!
//! // ... and the parent reads it, however the bytes arrive.
//! let mut late = stream.split_off(30);
//! assert_eq!(parent.decode(&mut stream)?, None);
//! stream.unsplit(late.split());
//! let received = parent.decode(&mut stream)?.expect("the frame is whole");
//! assert_eq!(received, message);
//! assert_eq!(ForwardLog::decode(&received)?, record);
//!
//! // The stream may end here: nothing is left over.
//! parent.finish(&stream)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Contents
//!
//! | what | where |
//! |---|---|
//! | numbers that name things | [`ContextId`], [`Handle`] |
//! | a message | [`Message`], [`ReplyTo`], [`Encoding`] |
//! | frame formats | [`FrameFormat`], [`Layout`], [`Integrity`], [`SessionKey`], [`Direction`] |
//! | frames | [`Encoder`], [`FrameHead`], [`Decoder`], [`FrameError`], [`DEFAULT_MAX_PAYLOAD`], [`MAC_LEN`] |
//! | typed payloads | [`body`] |
//! | the words before frames on a UNIX socket | [`UnixHello`], [`UnixWelcome`] |
//! | Python values | [`Value`], [`BigInt`], [`Secret`], [`to_value`], [`from_value`] |
//! | pickles | [`pickle`] |
//! | Python sources, as tokens | [`python`] |
//! | frames on tokio's streams | `codec` (feature `codec`) |
#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod body;
#[cfg(feature = "codec")]
pub mod codec;
mod frame;
mod header;
mod id;
mod integrity;
mod message;
pub mod pickle;
pub mod python;
mod serde_bridge;
mod unix;
mod value;

pub use frame::{DEFAULT_MAX_PAYLOAD, Decoder, Encoder, FrameError, FrameFormat, FrameHead};
pub use header::Layout;
pub use id::{ContextId, Handle};
pub use integrity::{Direction, Integrity, MAC_LEN, SessionKey};
pub use message::{Encoding, Message, ReplyTo};
pub use serde_bridge::{ValueError, ValueErrorKind, from_value, to_value};
pub use unix::{UnixHello, UnixWelcome};
pub use value::{BigInt, ParseBigIntError, Secret, Value};
