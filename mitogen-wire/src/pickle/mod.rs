//! Pickles of protocol 2 (and of 3, when reading): our own reader and writer.
//!
//! The reader knows the opcodes and constructors of protocol.md section 4.3 and nothing else; it
//! calls nothing, imports nothing and has hard limits. Every error concerns one message.

mod construct;
mod error;
mod item;
mod limits;
mod memo;
mod opcode;
mod reader;
mod unfold;
mod writer;

pub use error::PickleError;
pub use limits::Limits;
pub use reader::Reader;
pub use writer::{MAX_CALL_ERROR_CHARS, MAX_CONTEXT_NAME_CHARS, write, write_into};

use crate::Value;
use bytes::Bytes;

/// Reads the first pickle in `data`; whatever follows its STOP is not looked at.
///
/// # Errors
/// `data` is no pickle, is cut off, holds what the dialect does not know, or passes a limit.
pub fn read(data: &[u8], limits: &Limits) -> Result<Value, PickleError> {
    Reader::new(data, limits).next_value()?.ok_or(PickleError::Truncated { at: 0 })
}

/// As [`read`], but a byte string that makes up half of the message or more shares its memory.
///
/// # Errors
/// As [`read`].
pub fn read_shared(data: &Bytes, limits: &Limits) -> Result<Value, PickleError> {
    Reader::shared(data, limits).next_value()?.ok_or(PickleError::Truncated { at: 0 })
}

/// Reads all pickles in `data`, which share one memo, to its end.
///
/// # Errors
/// As [`read`]; the limits hold for all of them together.
pub fn read_many(data: &[u8], limits: &Limits) -> Result<Vec<Value>, PickleError> {
    let mut reader = Reader::new(data, limits);
    std::iter::from_fn(|| reader.next_value().transpose()).collect()
}
