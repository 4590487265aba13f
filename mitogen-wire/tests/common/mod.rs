//! What several tests need: arbitrary values.
#![allow(dead_code, reason = "each test binary uses its own part")]

use bytes::Bytes;
use mitogen_wire::{BigInt, ContextId, Handle, Secret, Value};
use proptest::collection::vec;
use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 250..300)].prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "\\PC{0,12}", 4 => vec(any::<char>(), 0..12).prop_map(String::from_iter), 1 => "[a-z]{300}"]
}

fn integer() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-300_i64..70_000).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<i128>().prop_map(Value::from),
        any::<u128>().prop_map(Value::from),
        vec(any::<u8>(), 0..300).prop_map(|bytes| BigInt::value_of_le_bytes(&bytes)),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::from),
        integer(),
        any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(Value::from),
        bytes().prop_map(Value::Str),
        bytes().prop_map(Value::Bytes),
        text().prop_map(Value::Text),
        text().prop_map(Value::CallError),
        (any::<u32>(), proptest::option::of("\\PC{0,99}"))
            .prop_map(|(id, name)| Value::Context { id: ContextId(id), name }),
        (any::<u32>(), 1..=u32::MAX).prop_map(|(context, handle)| Value::Sender {
            context: ContextId(context),
            handle: Handle(handle)
        }),
        bytes().prop_map(Value::Blob),
        text().prop_map(|text| Value::Secret(Secret::new(text))),
    ]
}

/// Keys that Python can hash; all different, also where Python 2 sees `u"a" == "a"` and all see `1 == 1.0`.
fn keys(len: usize) -> impl Strategy<Value = Vec<Value>> {
    let key = prop_oneof![
        4 => text().prop_map(Value::Text),
        1 => any::<i64>().prop_map(Value::from),
        1 => (any::<u8>(), "[a-z]{3}").prop_map(|(n, text)| Value::Tuple(vec![n.into(), text.into()])),
        1 => vec(128_u8..=255, 1..5).prop_map(|bytes| Value::Str(bytes.into())),
        1 => Just(Value::None),
    ];
    vec(key, len).prop_map(|mut keys| {
        let mut seen: Vec<Value> = Vec::new();
        keys.retain(|key| {
            let new = !seen.contains(key);
            seen.push(key.clone());
            new
        });
        keys
    })
}

/// Any value that can be sent.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec(inner.clone(), 0..6).prop_map(Value::Tuple),
            (vec(inner.clone(), 6), keys(6))
                .prop_map(|(values, keys)| Value::Dict(keys.into_iter().zip(values).collect())),
            proptest::collection::btree_map("[a-z_]{1,8}", inner, 0..5)
                .prop_map(|pairs| Value::Kwargs(pairs.into_iter().collect())),
        ]
    })
}

/// What our pickles make of a value: byte strings of all kinds come back as opcode U or T says.
pub(crate) fn as_written(value: &Value) -> Value {
    map(value, &|value| match value {
        Value::Bytes(bytes) => Value::Str(bytes),
        other => other,
    })
}

/// A value with `f` applied to everything in it, from the inside out.
pub(crate) fn map(value: &Value, f: &impl Fn(Value) -> Value) -> Value {
    let all = |items: &[Value]| items.iter().map(|item| map(item, f)).collect();
    f(match value {
        Value::List(items) => Value::List(all(items)),
        Value::Tuple(items) => Value::Tuple(all(items)),
        Value::Dict(pairs) => Value::Dict(pairs.iter().map(|(k, v)| (map(k, f), map(v, f))).collect()),
        Value::Kwargs(pairs) => Value::Kwargs(pairs.iter().map(|(k, v)| (k.clone(), map(v, f))).collect()),
        leaf => leaf.clone(),
    })
}
