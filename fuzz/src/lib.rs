//! Thin fuzz targets over the public API. Each takes any bytes, asserts one invariant and panics
//! when it does not hold.
//!
//! | target | invariant |
//! |---|---|
//! | [`frame_decoder`] | a stream's messages and its end do not depend on how it was cut |
//! | [`frame_roundtrip`] | what is encoded is decoded, and a flipped bit of a signed stream is noticed |
//! | [`pickle_read`] | what is read can be written, and is then read as the same value |
//! | [`body_decode`] | a body that is read is written so that it is read again as the same |
//!
//! `tests/replay.rs` runs each over its corpus in `corpus/TARGET/`; README.md says how to explore.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod body;
mod frame;
mod pickle;

pub use body::body_decode;
pub use frame::{frame_decoder, frame_roundtrip};
pub use pickle::pickle_read;

/// A fuzz target: any bytes in, a panic if its invariant does not hold.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus and of its libFuzzer binary.
pub const TARGETS: &[(&str, Target)] = &[
    ("body_decode", body_decode),
    ("frame_decoder", frame_decoder),
    ("frame_roundtrip", frame_roundtrip),
    ("pickle_read", pickle_read),
];
