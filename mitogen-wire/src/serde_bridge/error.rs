//! What can be wrong between a value and a type, and where.

use crate::Value;
use serde::{de, ser};
use std::fmt;

/// A value that does not fit the type asked for, or a Rust value that has no Python form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// Boxed, as results of single integers carry one too.
    inner: Box<Inner>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: ValueErrorKind,
    /// From the innermost outwards.
    path: Vec<Segment>,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// An item of a list or tuple.
    Index(usize),
    /// What a dict holds under a key, in Python's notation.
    Key(String),
}

impl Segment {
    /// The step to a field or variant.
    pub(crate) fn of_name(name: &str) -> Segment {
        Segment::Key(format!("{name:?}"))
    }

    /// The step to what stands under `key`.
    pub(crate) fn of_key(key: &Value) -> Segment {
        Segment::Key(match key {
            Value::Int(n) => n.to_string(),
            key => key.as_str().map_or_else(|| format!("<{}>", key.kind()), |text| format!("{text:?}")),
        })
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueErrorKind {
    /// Another type than the one asked for.
    #[error("expected {expected}, got {got}")]
    Type {
        /// What the Rust type asks for.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// The right type, but not a value that fits (a number out of range).
    #[error("{got} does not fit: expected {expected}")]
    Range {
        /// What the Rust type asks for.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A sequence or map of the wrong length.
    #[error("{got} items, expected {expected}")]
    Length {
        /// What the Rust type asks for.
        expected: String,
        /// How many there are.
        got: usize,
    },
    /// A struct's field is not there.
    #[error("field `{0}` is missing")]
    MissingField(&'static str),
    /// Nested more deeply than can be sent.
    #[error("nested too deeply")]
    TooDeep,
    /// Whatever the type itself has to say.
    #[error("{0}")]
    Custom(String),
}

impl ValueError {
    pub(crate) fn new(kind: ValueErrorKind) -> ValueError {
        ValueError { inner: Box::new(Inner { kind, path: Vec::new() }) }
    }

    /// One level further out.
    pub(crate) fn within(mut self, segment: Segment) -> ValueError {
        self.inner.path.push(segment);
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ValueErrorKind {
        &self.inner.kind
    }

    /// Where, as Python would write it: `[2]["name"]`; empty for the value itself.
    #[must_use]
    pub fn path(&self) -> String {
        self.inner
            .path
            .iter()
            .rev()
            .map(|segment| match segment {
                Segment::Index(i) => format!("[{i}]"),
                Segment::Key(key) => format!("[{key}]"),
            })
            .collect()
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inner.path.is_empty() {
            self.inner.kind.fmt(f)
        } else {
            write!(f, "at value{}: {}", self.path(), self.inner.kind)
        }
    }
}

impl std::error::Error for ValueError {}

impl ser::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> ValueError {
        ValueError::new(ValueErrorKind::Custom(message.to_string()))
    }
}

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> ValueError {
        ValueError::new(ValueErrorKind::Custom(message.to_string()))
    }

    fn invalid_type(got: de::Unexpected<'_>, expected: &dyn de::Expected) -> ValueError {
        ValueError::new(ValueErrorKind::Type { expected: expected.to_string(), got: got.to_string() })
    }

    fn invalid_value(got: de::Unexpected<'_>, expected: &dyn de::Expected) -> ValueError {
        ValueError::new(ValueErrorKind::Range { expected: expected.to_string(), got: got.to_string() })
    }

    fn invalid_length(got: usize, expected: &dyn de::Expected) -> ValueError {
        ValueError::new(ValueErrorKind::Length { expected: expected.to_string(), got })
    }

    fn missing_field(field: &'static str) -> ValueError {
        ValueError::new(ValueErrorKind::MissingField(field))
    }
}
