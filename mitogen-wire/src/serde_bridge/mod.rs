//! Between [`Value`] and any type that serde knows.

mod de;
mod error;
mod ser;
mod tag;
mod value;
mod variant;

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
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, ValueError> {
    value.serialize(ser::ToValue::TOP)
}

/// Makes a Rust value of a Python one.
///
/// `String` takes text, and the `str` of Python 2 when it is UTF-8, never `bytes`; byte buffers (`serde_bytes`,
/// `Vec<u8>`, `[u8; N]`) take `str`, `bytes` and `Blob`; sequences and tuples take lists and tuples; structs take
/// dicts and `Kwargs` by name, lists and tuples by place; numbers are checked for range, floats take ints too;
/// `Option` and `()` take `None`; enums are tagged from outside as in JSON. A `Secret` is given only to who asks for
/// a `String`, a [`Secret`](crate::Secret) or a [`Value`]. A [`Value`] comes through as it is.
///
/// # Errors
/// The value is not of that type; the error says where.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    T::deserialize(de::FromValue(value))
}
