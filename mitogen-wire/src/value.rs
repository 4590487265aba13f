//! A Python value, as far as pickles between contexts may hold one (protocol.md section 4.3).

use crate::{ContextId, Handle};
use bytes::Bytes;

/// A Python value that can cross between contexts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// Any other integer: two's complement, little endian, shortest form.
    Long(Vec<u8>),
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
    Dict(Vec<(Value, Value)>),
    /// `mitogen.core.CallError` with its text.
    CallError(String),
    /// `mitogen.core.Context`.
    Context {
        /// Which context.
        id: ContextId,
        /// Its name, as its owner knows it.
        name: Option<String>,
    },
    /// `mitogen.core.Sender`.
    Sender {
        /// The context that holds the receiver.
        context: ContextId,
        /// The receiver.
        handle: Handle,
    },
    /// `mitogen.core.Blob`: bytes on every Python.
    Blob(Bytes),
    /// `mitogen.core.Secret`: text that is not to be shown.
    Secret(String),
    /// `mitogen.core.Kwargs`: keyword arguments.
    Kwargs(Vec<(String, Value)>),
}
