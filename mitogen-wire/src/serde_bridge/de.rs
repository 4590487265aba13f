//! [`Value`]s into Rust values.

use super::error::Segment;
use super::tag::{self, Tag};
use super::variant::{Tagged, Variant};
use super::{ValueError, ValueErrorKind};
use crate::Value;
use bytes::Bytes;
use serde::de::value::SeqDeserializer;
use serde::de::{self, DeserializeSeed, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// Gives a value away.
pub(super) struct FromValue(pub(super) Value);

impl FromValue {
    pub(super) fn mismatch(&self, expected: &dyn de::Expected) -> ValueError {
        ValueError::invalid_type(Unexpected::Other(self.0.kind()), expected)
    }
}

fn visit_items<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, ValueError> {
    let len = items.len();
    let mut items = Items { items: items.into_iter(), index: 0 };
    let value = visitor.visit_seq(&mut items)?;
    if items.items.len() > 0 {
        return Err(ValueError::new(ValueErrorKind::Length {
            expected: format!("{}", items.index),
            got: len,
        }));
    }
    Ok(value)
}

fn visit_pairs<'de, V: Visitor<'de>>(pairs: Vec<(Value, Value)>, visitor: V) -> Result<V::Value, ValueError> {
    let len = pairs.len();
    let mut pairs = Pairs { pairs: pairs.into_iter(), entry: None };
    let value = visitor.visit_map(&mut pairs)?;
    let rest = pairs.pairs.len();
    if rest > 0 {
        return Err(ValueError::new(ValueErrorKind::Length {
            expected: format!("{}", len - rest),
            got: len,
        }));
    }
    Ok(value)
}

fn visit_keywords<'de, V: Visitor<'de>>(
    pairs: Vec<(String, Value)>,
    visitor: V,
) -> Result<V::Value, ValueError> {
    visit_pairs(pairs.into_iter().map(|(key, value)| (Value::Text(key), value)).collect(), visitor)
}

/// A byte string as the integers that it is made of, for `Vec<u8>` and `[u8; N]`.
fn visit_octets<'de, V: Visitor<'de>>(bytes: &Bytes, visitor: V) -> Result<V::Value, ValueError> {
    let mut octets = SeqDeserializer::<_, ValueError>::new(bytes.iter().copied());
    let value = visitor.visit_seq(&mut octets)?;
    octets.end()?;
    Ok(value)
}

/// A Python 2 `str`: text if it can be, else bytes.
fn visit_str<'de, V: Visitor<'de>>(bytes: Bytes, visitor: V) -> Result<V::Value, ValueError> {
    match String::from_utf8(bytes.into()) {
        Ok(text) => visitor.visit_string(text),
        Err(error) => visitor.visit_byte_buf(error.into_bytes()),
    }
}

impl<'de> de::Deserializer<'de> for FromValue {
    type Error = ValueError;

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::None => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(b),
            Value::Int(n) => visitor.visit_i64(n),
            Value::Long(ref n) => {
                if let Some(n) = n.to_u128() {
                    match u64::try_from(n) {
                        Ok(n) => visitor.visit_u64(n),
                        Err(_) => visitor.visit_u128(n),
                    }
                } else if let Some(n) = n.to_i128() {
                    visitor.visit_i128(n)
                } else {
                    Err(ValueError::invalid_value(
                        Unexpected::Other("an int of more than 128 bits"),
                        &visitor,
                    ))
                }
            }
            Value::Float(x) => visitor.visit_f64(x),
            Value::Str(bytes) => visit_str(bytes, visitor),
            Value::Bytes(bytes) | Value::Blob(bytes) => visitor.visit_byte_buf(bytes.into()),
            Value::Text(text) | Value::CallError(text) => visitor.visit_string(text),
            Value::List(items) | Value::Tuple(items) => visit_items(items, visitor),
            Value::Dict(pairs) => visit_pairs(pairs, visitor),
            Value::Kwargs(pairs) => visit_keywords(pairs, visitor),
            Value::Context { id, name } => {
                visit_keywords(vec![("id".into(), id.0.into()), ("name".into(), name.into())], visitor)
            }
            Value::Sender { context, handle } => visit_keywords(
                vec![("context".into(), context.0.into()), ("handle".into(), handle.0.into())],
                visitor,
            ),
            // Only whoever asks for text, a secret or a `Value` gets it.
            Value::Secret(_) => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Text(text) => visitor.visit_string(text),
            Value::Secret(secret) => visitor.visit_string(secret.into_exposed()),
            Value::Str(bytes) => match String::from_utf8(bytes.into()) {
                Ok(text) => visitor.visit_string(text),
                Err(_) => Err(ValueError::invalid_type(
                    Unexpected::Other("a byte string that is not UTF-8"),
                    &visitor,
                )),
            },
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Str(bytes) | Value::Bytes(bytes) | Value::Blob(bytes) => {
                visitor.visit_byte_buf(bytes.into())
            }
            Value::List(items) | Value::Tuple(items) => visit_items(items, visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::None => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::None => visitor.visit_unit(),
            _ => Err(self.mismatch(&"None")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if name != tag::VALUE {
            return visitor.visit_newtype_struct(self);
        }
        match Tag::unwrap(self.0) {
            Ok((tag, plain)) => visitor.visit_enum(Tagged { tag, plain }),
            Err(plain) => FromValue(plain).deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::List(items) | Value::Tuple(items) => visit_items(items, visitor),
            Value::Str(bytes) | Value::Bytes(bytes) | Value::Blob(bytes) => visit_octets(&bytes, visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Dict(pairs) => visit_pairs(pairs, visitor),
            Value::Kwargs(pairs) => visit_keywords(pairs, visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Dict(_) | Value::Kwargs(_) | Value::Context { .. } | Value::Sender { .. } => {
                self.deserialize_any(visitor)
            }
            Value::List(items) | Value::Tuple(items) => visit_items(items, visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let (variant, content) = match self.0 {
            Value::Dict(mut pairs) if pairs.len() == 1 => pairs.remove(0),
            Value::Kwargs(mut pairs) if pairs.len() == 1 => {
                let (key, value) = pairs.remove(0);
                (Value::Text(key), value)
            }
            variant @ (Value::Text(_) | Value::Str(_)) => (variant, Value::None),
            _ => return Err(self.mismatch(&"text, or a dict of one variant's name and content")),
        };
        visitor.visit_enum(Variant { variant, content })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, ValueError> for FromValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Items {
    items: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> de::SeqAccess<'de> for &mut Items {
    type Error = ValueError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(FromValue(item)).map(Some).map_err(|e| e.within(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Pairs {
    pairs: std::vec::IntoIter<(Value, Value)>,
    /// The pair whose key has been given.
    entry: Option<(Value, Value)>,
}

impl<'de> de::MapAccess<'de> for &mut Pairs {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        self.entry = self.pairs.next();
        // The key stays here until its value is read, so that an error there can name it.
        let Some((key, _)) = &self.entry else { return Ok(None) };
        seed.deserialize(FromKey(key)).map(Some).map_err(|e| e.within(Segment::of_key(key)))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ValueError> {
        let (key, value) =
            self.entry.take().ok_or_else(|| ValueError::custom("a map's value without its key"))?;
        seed.deserialize(FromValue(value)).map_err(|e| e.within(Segment::of_key(&key)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.pairs.len())
    }
}

/// Shows a key: text, which nearly all are, without a copy.
struct FromKey<'a>(&'a Value);

impl FromKey<'_> {
    fn owned(&self) -> FromValue {
        FromValue(self.0.clone())
    }
}

impl<'de> de::Deserializer<'de> for FromKey<'_> {
    type Error = ValueError;

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Value::Text(text) => visitor.visit_str(text),
            key => match key.as_str() {
                Some(text) => visitor.visit_str(text),
                None => self.owned().deserialize_any(visitor),
            },
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.owned().deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.owned().deserialize_byte_buf(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.owned().deserialize_option(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if name == tag::VALUE {
            return self.owned().deserialize_newtype_struct(name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.owned().deserialize_enum(name, variants, visitor)
    }
}
