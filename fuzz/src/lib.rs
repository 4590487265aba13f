//! Thin fuzz targets over the public API. Each takes any bytes, asserts one invariant and panics
//! when it does not hold.
//!
//! | target | invariant |
//! |---|---|
//! | [`frame_decoder`] | a stream's messages and its end do not depend on how it was cut |
//! | [`frame_roundtrip`] | what is encoded is decoded, and a flipped bit of a signed stream is noticed |
//! | [`pickle_read`] | what is read can be written, and is then read as the same value |
//! | [`body_decode`] | a body that is read is written so that it is read again as the same |
//! | [`python_lexer`] | tokens tile the source, and blocks that are opened are closed |
//! | [`minify`] | minified source has the same tokens on the same lines, and minifying again changes nothing |
//! | [`import_scan`] | what a scan finds stands in the source, in order, packages before their members |
//! | [`config_literal`] | a name in the configuration is one ASCII literal that means that name |
//! | [`handshake`] | how a birth goes does not depend on how its output was cut |
//!
//! `tests/replay.rs` runs each over its corpus in `corpus/TARGET/`; README.md says how to explore.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod birth;
mod body;
mod frame;
mod importer;
mod pickle;
mod python;

pub use birth::{config_literal, handshake};
pub use body::body_decode;
pub use frame::{frame_decoder, frame_roundtrip};
pub use importer::import_scan;
pub use pickle::pickle_read;
pub use python::{minify, python_lexer};

/// A fuzz target: any bytes in, a panic if its invariant does not hold.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus and of its libFuzzer binary.
pub const TARGETS: &[(&str, Target)] = &[
    ("body_decode", body_decode),
    ("config_literal", config_literal),
    ("frame_decoder", frame_decoder),
    ("frame_roundtrip", frame_roundtrip),
    ("handshake", handshake),
    ("import_scan", import_scan),
    ("minify", minify),
    ("pickle_read", pickle_read),
    ("python_lexer", python_lexer),
];
