//! Rust values into [`Value`]s, where there is no doubt what is meant.

use super::{BigInt, Secret, Value};
use bytes::Bytes;

macro_rules! from_small_int {
    ($($t:ty),*) => { $(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                Value::Int(i64::from(n))
            }
        }
    )* };
}

macro_rules! from_wide_int {
    ($($t:ty),*) => { $(
        impl From<$t> for Value {
            fn from(n: $t) -> Value {
                i64::try_from(n).map_or_else(|_| Value::from(n as i128), Value::Int)
            }
        }
    )* };
}

from_small_int!(i8, i16, i32, i64, u8, u16, u32);
from_wide_int!(u64, usize, isize);

impl From<i128> for Value {
    fn from(n: i128) -> Value {
        BigInt::value_of_le_bytes(&n.to_le_bytes())
    }
}

impl From<u128> for Value {
    fn from(n: u128) -> Value {
        // One byte more, for the sign that an unsigned integer does not have.
        let mut bytes = [0; 17];
        bytes[..16].copy_from_slice(&n.to_le_bytes());
        BigInt::value_of_le_bytes(&bytes)
    }
}

impl From<()> for Value {
    fn from((): ()) -> Value {
        Value::None
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Value {
        Value::Float(x)
    }
}

impl From<f32> for Value {
    fn from(x: f32) -> Value {
        Value::Float(f64::from(x))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<BigInt> for Value {
    fn from(n: BigInt) -> Value {
        Value::Long(n)
    }
}

impl From<Secret> for Value {
    fn from(secret: Secret) -> Value {
        Value::Secret(secret)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::List(items)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}

impl<K: Into<Value>, V: Into<Value>> FromIterator<(K, V)> for Value {
    /// A dict of the pairs.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Value {
        Value::Dict(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
