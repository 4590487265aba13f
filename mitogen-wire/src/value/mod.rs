//! A Python value, as far as pickles between contexts may hold one (protocol.md section 4.3).
//!
//! Owns the type and what one may ask of it. How it becomes bytes is `pickle`'s business, how it
//! becomes a Rust type is `serde_bridge`'s.

mod big_int;
mod convert;
mod secret;

pub use big_int::{BigInt, ParseBigIntError};
pub use secret::Secret;

use crate::{ContextId, Handle};
use bytes::Bytes;

/// A Python value that can cross between contexts.
///
/// Values are trees: what Python shares (the same list twice) is copied when it is read.
///
/// Dropping, cloning, comparing and printing a value recurse once per level of nesting. The
/// reader bounds the levels of what arrives ([`Limits::max_depth`](crate::pickle::Limits)), the
/// serde bridge and the writer bound what is built here.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits. Every integer that does is held in this variant.
    Int(i64),
    /// Any other integer.
    Long(BigInt),
    /// A float.
    Float(f64),
    /// A Python 2 `str`, or a byte string of which only that is known (opcodes U and T).
    Str(Bytes),
    /// Python 3 `bytes`.
    Bytes(Bytes),
    /// Text: `str` on Python 3, `unicode` on Python 2.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dict, in the order of its pickle.
    ///
    /// A key that stands twice is kept twice; Python lets the last one win.
    Dict(Vec<(Value, Value)>),
    /// `mitogen.core.CallError` with its text: `module.Class: message`, then the traceback.
    CallError(String),
    /// `mitogen.core.Context`.
    Context {
        /// Which context.
        id: ContextId,
        /// Its name, as its owner knows it; fewer than 100 characters.
        name: Option<String>,
    },
    /// `mitogen.core.Sender`.
    Sender {
        /// The context that holds the receiver.
        context: ContextId,
        /// The receiver; never 0.
        handle: Handle,
    },
    /// `mitogen.core.Blob`: bytes on every Python.
    Blob(Bytes),
    /// `mitogen.core.Secret`: text that is not to be shown.
    Secret(Secret),
    /// `mitogen.core.Kwargs`: keyword arguments.
    Kwargs(Vec<(String, Value)>),
}

impl Value {
    /// Whether this is `None`.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// The boolean, of a [`Value::Bool`] alone.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(n) => Some(n),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i128().and_then(|n| u64::try_from(n).ok())
    }

    /// The integer, if it is one and fits.
    #[must_use]
    pub fn as_i128(&self) -> Option<i128> {
        match self {
            Value::Int(n) => Some(i128::from(*n)),
            Value::Long(n) => n.to_i128(),
            _ => None,
        }
    }

    /// The number as a float: a float itself, or the nearest one to an [`Value::Int`].
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Float(x) => Some(x),
            Value::Int(n) => Some(n as f64),
            _ => None,
        }
    }

    /// Text, and a Python 2 `str` that is valid UTF-8. Never `bytes`, never a secret.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of a Python 2 `str`, of Python 3 `bytes`, or of a `Blob`.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(bytes) | Value::Bytes(bytes) | Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items of a list or tuple.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a dict.
    #[must_use]
    pub fn as_dict(&self) -> Option<&[(Value, Value)]> {
        match self {
            Value::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// What a dict or `Kwargs` holds under a key that is this text (or the same Python 2 `str`).
    ///
    /// Looks at the pairs one by one, from the last, since that is the one which Python keeps.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(pairs) => pairs.iter().rev().find(|(k, _)| k.as_str() == Some(key)).map(|(_, v)| v),
            Value::Kwargs(pairs) => pairs.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// What kind of value this is, in Python's words, for messages: `a dict`, `bytes`, `None`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) | Value::Long(_) => "an int",
            Value::Float(_) => "a float",
            Value::Str(_) => "a byte string",
            Value::Bytes(_) => "bytes",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Tuple(_) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::CallError(_) => "a CallError",
            Value::Context { .. } => "a Context",
            Value::Sender { .. } => "a Sender",
            Value::Blob(_) => "a Blob",
            Value::Secret(_) => "a Secret",
            Value::Kwargs(_) => "Kwargs",
        }
    }

    /// Whether Python can use this as a key of a dict.
    pub(crate) fn is_hashable(&self) -> bool {
        match self {
            Value::List(_) | Value::Dict(_) | Value::Kwargs(_) => false,
            Value::Tuple(items) => items.iter().all(Value::is_hashable),
            _ => true,
        }
    }
}
