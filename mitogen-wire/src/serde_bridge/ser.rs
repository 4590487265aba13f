//! Rust values into [`Value`]s.

use super::error::Segment;
use super::tag::Tag;
use super::{ValueError, ValueErrorKind};
use crate::Value;
use bytes::Bytes;
use serde::ser::{self, Serialize};

/// As deep as the pickle writer goes.
const MAX_DEPTH: usize = 256;

/// Makes a value; knows how many containers it stands in.
#[derive(Clone, Copy)]
pub(super) struct ToValue {
    depth: usize,
    /// Inside a wrapping that serde has no word for: compact forms are welcome, secrets are needed.
    wrapped: bool,
}

impl ToValue {
    pub(super) const TOP: ToValue = ToValue { depth: 0, wrapped: false };

    fn deeper(self) -> Result<ToValue, ValueError> {
        if self.depth >= MAX_DEPTH {
            return Err(ValueError::new(ValueErrorKind::TooDeep));
        }
        Ok(ToValue { depth: self.depth + 1, wrapped: false })
    }

    fn items(self, len: Option<usize>, wrap: fn(Vec<Value>) -> Value) -> Result<Items, ValueError> {
        // A length is what the type says: not to be trusted beyond reason.
        Ok(Items {
            inner: self.deeper()?,
            items: Vec::with_capacity(len.unwrap_or(0).min(4096)),
            wrap,
            variant: None,
        })
    }

    fn pairs(self, len: Option<usize>) -> Result<Pairs, ValueError> {
        let pairs = Vec::with_capacity(len.unwrap_or(0).min(4096));
        Ok(Pairs { inner: self.deeper()?, pairs, key: None, variant: None })
    }
}

/// An enum's variant with data: a dict of one pair, as in JSON.
fn tagged(variant: &'static str, content: Value) -> Value {
    Value::Dict(vec![(variant.into(), content)])
}

macro_rules! serialize_from {
    ($($method:ident: $t:ty,)*) => { $(
        fn $method(self, v: $t) -> Result<Value, ValueError> {
            Ok(Value::from(v))
        }
    )* };
}

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = ValueError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Pairs;
    type SerializeStruct = Pairs;
    type SerializeStructVariant = Pairs;

    serialize_from! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_str: &str,
    }

    fn serialize_char(self, v: char) -> Result<Value, ValueError> {
        Ok(Value::Text(v.into()))
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<Value, ValueError> {
        Ok(Value::Bytes(Bytes::copy_from_slice(v)))
    }

    fn serialize_none(self) -> Result<Value, ValueError> {
        Ok(Value::None)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<Value, ValueError> {
        v.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, ValueError> {
        Ok(Value::None)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, ValueError> {
        Ok(Value::None)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, ValueError> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        v: &T,
    ) -> Result<Value, ValueError> {
        match Tag::of_name(name) {
            None => v.serialize(self),
            Some(tag) => tag.wrap(v.serialize(ToValue { wrapped: true, ..self })?),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<Value, ValueError> {
        let content = v.serialize(self.deeper()?).map_err(|e| e.within(Segment::of_name(variant)))?;
        Ok(tagged(variant, content))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items, ValueError> {
        self.items(len, Value::List)
    }

    fn serialize_tuple(self, len: usize) -> Result<Items, ValueError> {
        self.items(Some(len), Value::Tuple)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Items, ValueError> {
        self.items(Some(len), Value::Tuple)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items, ValueError> {
        Ok(Items { variant: Some(variant), ..self.deeper()?.items(Some(len), Value::Tuple)? })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Pairs, ValueError> {
        self.pairs(len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Pairs, ValueError> {
        self.pairs(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Pairs, ValueError> {
        Ok(Pairs { variant: Some(variant), ..self.deeper()?.pairs(Some(len))? })
    }

    fn is_human_readable(&self) -> bool {
        // Python reads an address or a date as text, not as the bytes of some Rust type.
        !self.wrapped
    }
}

/// A list or tuple being made.
pub(super) struct Items {
    inner: ToValue,
    items: Vec<Value>,
    wrap: fn(Vec<Value>) -> Value,
    variant: Option<&'static str>,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), ValueError> {
        let item = v.serialize(self.inner).map_err(|e| e.within(Segment::Index(self.items.len())))?;
        self.items.push(item);
        Ok(())
    }

    fn finish(self) -> Value {
        let value = (self.wrap)(self.items);
        match self.variant {
            None => value,
            Some(variant) => tagged(variant, value),
        }
    }
}

macro_rules! items_as {
    ($($shape:ident: $method:ident,)*) => { $(
        impl ser::$shape for Items {
            type Ok = Value;
            type Error = ValueError;

            fn $method<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), ValueError> {
                self.push(v)
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(self.finish())
            }
        }
    )* };
}

items_as! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

/// A dict being made.
pub(super) struct Pairs {
    inner: ToValue,
    pairs: Vec<(Value, Value)>,
    /// A key that waits for its value.
    key: Option<Value>,
    variant: Option<&'static str>,
}

impl Pairs {
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, v: &T) -> Result<(), ValueError> {
        let value = v.serialize(self.inner).map_err(|e| e.within(Segment::of_name(key)))?;
        self.pairs.push((key.into(), value));
        Ok(())
    }

    fn finish(self) -> Value {
        let value = Value::Dict(self.pairs);
        match self.variant {
            None => value,
            Some(variant) => tagged(variant, value),
        }
    }
}

impl ser::SerializeMap for Pairs {
    type Ok = Value;
    type Error = ValueError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ValueError> {
        self.key = Some(key.serialize(self.inner)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), ValueError> {
        let key = self
            .key
            .take()
            .ok_or_else(|| <ValueError as ser::Error>::custom("a map's value without its key"))?;
        let value = v.serialize(self.inner).map_err(|e| e.within(Segment::of_key(&key)))?;
        self.pairs.push((key, value));
        Ok(())
    }

    fn end(self) -> Result<Value, ValueError> {
        Ok(self.finish())
    }
}

macro_rules! pairs_as {
    ($($shape:ident,)*) => { $(
        impl ser::$shape for Pairs {
            type Ok = Value;
            type Error = ValueError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, v: &T) -> Result<(), ValueError> {
                self.field(key, v)
            }

            fn end(self) -> Result<Value, ValueError> {
                Ok(self.finish())
            }
        }
    )* };
}

pairs_as! { SerializeStruct, SerializeStructVariant, }
