//! Enums: a variant's name or number, then what it holds.

use super::ValueError;
use super::de::FromValue;
use super::error::Segment;
use super::tag::Tag;
use crate::Value;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

/// A variant of an enum, tagged from outside.
pub(super) struct Variant {
    pub(super) variant: Value,
    pub(super) content: Value,
}

impl<'de> de::EnumAccess<'de> for Variant {
    type Error = ValueError;
    type Variant = Content;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content), ValueError> {
        let content = Content { value: self.content, path: Segment::of_key(&self.variant) };
        Ok((seed.deserialize(FromValue(self.variant))?, content))
    }
}

/// What a variant holds: `None` when only its name was sent.
pub(super) struct Content {
    value: Value,
    path: Segment,
}

impl<'de> de::VariantAccess<'de> for Content {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        <() as de::Deserialize>::deserialize(FromValue(self.value)).map_err(|e| e.within(self.path))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ValueError> {
        seed.deserialize(FromValue(self.value)).map_err(|e| e.within(self.path))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        de::Deserializer::deserialize_tuple(FromValue(self.value), len, visitor)
            .map_err(|e| e.within(self.path))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        de::Deserializer::deserialize_struct(FromValue(self.value), "", fields, visitor)
            .map_err(|e| e.within(self.path))
    }
}

/// One of the kinds that serde has no word for, on its way to a [`Value`].
pub(super) struct Tagged {
    pub(super) tag: Tag,
    pub(super) plain: Value,
}

impl<'de> de::EnumAccess<'de> for Tagged {
    type Error = ValueError;
    type Variant = TaggedContent;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, TaggedContent), ValueError> {
        let index: de::value::U32Deserializer<ValueError> = (self.tag as u32).into_deserializer();
        Ok((seed.deserialize(index)?, TaggedContent(self.plain)))
    }
}

pub(super) struct TaggedContent(Value);

impl<'de> de::VariantAccess<'de> for TaggedContent {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        Err(FromValue(self.0).mismatch(&"a Value"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ValueError> {
        seed.deserialize(FromValue(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ValueError> {
        Err(FromValue(self.0).mismatch(&"a Value"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ValueError> {
        Err(FromValue(self.0).mismatch(&"a Value"))
    }
}
