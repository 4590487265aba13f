//! `Serialize` and `Deserialize` of [`Value`] and [`Secret`] themselves: without loss through our own
//! bridge, as plainly as possible through any other format.

use super::tag::{self, Tag};
use crate::value::{BigInt, Secret};
use crate::{ContextId, Handle, Value};
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, VariantAccess as _, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, SerializeTuple as _, Serializer};
use std::fmt;

/// What another format shows instead of a secret.
const HIDDEN: &str = "<secret>";

impl Serialize for Value {
    /// Through formats other than our own bridge, secrets are replaced by `<secret>` wherever the
    /// format is for people to read, and byte strings are text there if they are UTF-8.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::None => s.serialize_unit(),
            Value::Bool(b) => s.serialize_bool(*b),
            Value::Int(n) => s.serialize_i64(*n),
            Value::Long(n) => match (n.to_i128(), n.to_u128()) {
                (Some(n), _) => s.serialize_i128(n),
                (_, Some(n)) => s.serialize_u128(n),
                _ => s.serialize_newtype_struct(Tag::Long.name(), &Plain::Long(n)),
            },
            Value::Float(x) => s.serialize_f64(*x),
            Value::Str(bytes) => s.serialize_newtype_struct(Tag::Str.name(), &Plain::Bytes(bytes)),
            Value::Bytes(bytes) => s.serialize_bytes(bytes),
            Value::Text(text) => s.serialize_str(text),
            Value::List(items) => {
                let mut seq = s.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Value::Tuple(items) => {
                let mut tuple = s.serialize_tuple(items.len())?;
                items.iter().try_for_each(|item| tuple.serialize_element(item))?;
                tuple.end()
            }
            Value::Dict(pairs) => {
                let mut map = s.serialize_map(Some(pairs.len()))?;
                pairs.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
            Value::CallError(text) => s.serialize_newtype_struct(Tag::CallError.name(), text),
            Value::Context { id, name } => s.serialize_newtype_struct(Tag::Context.name(), &(id.0, name)),
            Value::Sender { context, handle } => {
                s.serialize_newtype_struct(Tag::Sender.name(), &(context.0, handle.0))
            }
            Value::Blob(bytes) => s.serialize_newtype_struct(Tag::Blob.name(), &Plain::Bytes(bytes)),
            Value::Secret(secret) => secret.serialize(s),
            Value::Kwargs(pairs) => s.serialize_newtype_struct(Tag::Kwargs.name(), &Plain::Kwargs(pairs)),
        }
    }
}

impl Serialize for Secret {
    /// Our own bridge keeps the secret; formats for people show `<secret>`.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_newtype_struct(Tag::Secret.name(), &Plain::Secret(self))
    }
}

/// What stands inside the wrapping of a kind that serde has no word for. Our serializer says that it
/// is not for people only there.
enum Plain<'a> {
    Bytes(&'a Bytes),
    Long(&'a BigInt),
    Secret(&'a Secret),
    Kwargs(&'a [(String, Value)]),
}

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let for_people = s.is_human_readable();
        match self {
            Plain::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if for_people => s.serialize_str(text),
                _ => s.serialize_bytes(bytes),
            },
            Plain::Long(n) if for_people => s.collect_str(n),
            Plain::Long(n) => s.serialize_bytes(n.as_le_bytes()),
            Plain::Secret(_) if for_people => s.serialize_str(HIDDEN),
            Plain::Secret(secret) => s.serialize_str(secret.expose()),
            Plain::Kwargs(pairs) => {
                let mut map = s.serialize_map(Some(pairs.len()))?;
                pairs.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
        d.deserialize_newtype_struct(tag::VALUE, ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// From a secret, or from text.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        String::deserialize(d).map(Secret::new)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Python value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i128<E>(self, v: i128) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u128<E>(self, v: u128) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_bytes<E>(self, v: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(Bytes::copy_from_slice(v)))
    }

    fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(v.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        Value::deserialize(d)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        // Another format than our own, which takes the name for that of any newtype.
        d.deserialize_any(self)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0).min(4096));
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Dict(pairs))
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        // Only our own deserializer answers a request for a newtype with an enum.
        let (index, content) = data.variant::<u32>()?;
        let tag = Tag::of_index(index).ok_or_else(|| de::Error::custom("an enum that is no Python value"))?;
        Ok(match tag {
            Tag::Context => {
                let (id, name) = content.newtype_variant()?;
                Value::Context { id: ContextId(id), name }
            }
            Tag::Sender => {
                let (context, handle) = content.newtype_variant()?;
                Value::Sender { context: ContextId(context), handle: Handle(handle) }
            }
            tag => tag.wrap(content.newtype_variant()?).map_err(de::Error::custom)?,
        })
    }
}
