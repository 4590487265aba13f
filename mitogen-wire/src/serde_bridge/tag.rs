//! How the kinds of [`Value`] that serde has no word for pass through it.
//!
//! Serializing, each goes as a newtype struct with a name of its own around something plain; our serializer
//! knows the names and wraps it again, any other sees the plain thing. Deserializing, a `Value` asks for a
//! newtype struct named [`VALUE`]; our deserializer then shows these kinds as an enum of tags, any other
//! deserializer shows what it has.

use super::{ValueError, ValueErrorKind};
use crate::value::{BigInt, Secret};
use crate::{ContextId, Handle, Value};

/// What a `Value` asks a deserializer for.
pub(super) const VALUE: &str = "$mitogen::Value";

/// A kind of value that serde has no word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Tag {
    Str,
    Tuple,
    Long,
    CallError,
    Context,
    Sender,
    Blob,
    Secret,
    Kwargs,
}

impl Tag {
    const ALL: [Tag; 9] = [
        Tag::Str,
        Tag::Tuple,
        Tag::Long,
        Tag::CallError,
        Tag::Context,
        Tag::Sender,
        Tag::Blob,
        Tag::Secret,
        Tag::Kwargs,
    ];

    /// The name of its newtype struct.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Tag::Str => "$mitogen::Str",
            Tag::Tuple => "$mitogen::Tuple",
            Tag::Long => "$mitogen::Long",
            Tag::CallError => "$mitogen::CallError",
            Tag::Context => "$mitogen::Context",
            Tag::Sender => "$mitogen::Sender",
            Tag::Blob => "$mitogen::Blob",
            Tag::Secret => "$mitogen::Secret",
            Tag::Kwargs => "$mitogen::Kwargs",
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Tag> {
        // Almost every newtype struct is somebody else's.
        name.starts_with('$').then(|| Tag::ALL.into_iter().find(|tag| tag.name() == name)).flatten()
    }

    pub(super) fn of_index(index: u32) -> Option<Tag> {
        Tag::ALL.get(index as usize).copied()
    }

    /// Takes the wrapping off a value of such a kind; gives back any other.
    pub(super) fn unwrap(value: Value) -> Result<(Tag, Value), Value> {
        Ok(match value {
            Value::Str(bytes) => (Tag::Str, Value::Bytes(bytes)),
            Value::Tuple(items) => (Tag::Tuple, Value::List(items)),
            Value::Long(n) => (Tag::Long, Value::Bytes(n.as_le_bytes().to_vec().into())),
            Value::CallError(text) => (Tag::CallError, Value::Text(text)),
            Value::Context { id, name } => (Tag::Context, Value::Tuple(vec![id.0.into(), name.into()])),
            Value::Sender { context, handle } => {
                (Tag::Sender, Value::Tuple(vec![context.0.into(), handle.0.into()]))
            }
            Value::Blob(bytes) => (Tag::Blob, Value::Bytes(bytes)),
            Value::Secret(secret) => (Tag::Secret, Value::Text(secret.into_exposed())),
            Value::Kwargs(pairs) => (Tag::Kwargs, pairs.into_iter().collect()),
            plain => return Err(plain),
        })
    }

    /// Puts it on.
    pub(super) fn wrap(self, plain: Value) -> Result<Value, ValueError> {
        Ok(match (self, plain) {
            (Tag::Str, Value::Bytes(bytes)) => Value::Str(bytes),
            (Tag::Tuple, Value::List(items)) => Value::Tuple(items),
            (Tag::Long, Value::Bytes(bytes)) => BigInt::value_of_le_bytes(&bytes),
            (Tag::CallError, Value::Text(text)) => Value::CallError(text),
            (Tag::Context, Value::Tuple(parts)) => match <[Value; 2]>::try_from(parts) {
                Ok([Value::Int(id), name @ (Value::None | Value::Text(_))]) => Value::Context {
                    id: ContextId(number(id)?),
                    name: if let Value::Text(name) = name { Some(name) } else { None },
                },
                _ => return Err(misused()),
            },
            (Tag::Sender, Value::Tuple(parts)) => match parts[..] {
                [Value::Int(context), Value::Int(handle)] => {
                    Value::Sender { context: ContextId(number(context)?), handle: Handle(number(handle)?) }
                }
                _ => return Err(misused()),
            },
            (Tag::Blob, Value::Bytes(bytes)) => Value::Blob(bytes),
            (Tag::Secret, Value::Text(text)) => Value::Secret(Secret::new(text)),
            (Tag::Kwargs, Value::Dict(pairs)) => Value::Kwargs(
                pairs
                    .into_iter()
                    .map(|pair| match pair {
                        (Value::Text(key), value) => Ok((key, value)),
                        _ => Err(misused()),
                    })
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(misused()),
        })
    }
}

fn number(n: i64) -> Result<u32, ValueError> {
    u32::try_from(n).map_err(|_| misused())
}

/// Somebody else named a newtype struct like one of ours.
#[cold]
fn misused() -> ValueError {
    ValueError::new(ValueErrorKind::Custom("a type's name begins with `$mitogen::`; rename it".to_owned()))
}
