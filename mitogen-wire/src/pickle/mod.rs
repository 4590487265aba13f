//! Pickles of protocol 2 (and of 3, when reading): our own reader and writer.
//!
//! The reader knows the opcodes and constructors of protocol.md section 4.3 and nothing else; it
//! calls nothing, imports nothing and has hard limits. Every error concerns one message.

mod error;
mod limits;

pub use error::PickleError;
pub use limits::Limits;

use crate::Value;
use bytes::Bytes;

/// Reads the first pickle in `data`; whatever follows its STOP is not looked at.
///
/// # Errors
/// `data` is no pickle, is cut off, holds what the dialect does not know, or passes a limit.
pub fn read(_data: &[u8], _limits: &Limits) -> Result<Value, PickleError> {
    Err(PickleError::Truncated { at: 0 })
}

/// Reads all pickles in `data`, which share one memo, to its end.
///
/// # Errors
/// As [`read`]; the limits hold for all of them together.
pub fn read_many(_data: &[u8], _limits: &Limits) -> Result<Vec<Value>, PickleError> {
    Err(PickleError::Truncated { at: 0 })
}

/// Writes `value` as a pickle of protocol 2 that CPython 2.4 to 2.7 reads, and 3.x with
/// `encoding="bytes"` (as Mitogen does).
///
/// # Errors
/// The value is nested too deeply, holds a byte string or text of 2 GiB, or a dict key that Python
/// cannot hash.
pub fn write(_value: &Value) -> Result<Bytes, PickleError> {
    Err(PickleError::Truncated { at: 0 })
}
