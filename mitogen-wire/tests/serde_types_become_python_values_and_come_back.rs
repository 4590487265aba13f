//! The serde bridge, both ways, and what its errors say.

mod common;

use bytes::Bytes;
use mitogen_wire::{BigInt, Secret, Value, ValueError, from_value, to_value};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fmt::Debug;

fn text(text: &str) -> Value {
    text.into()
}

fn dict(pairs: &[(&str, Value)]) -> Value {
    pairs.iter().map(|(key, value)| (*key, value.clone())).collect()
}

fn both_ways<T: Serialize + DeserializeOwned + PartialEq + Debug>(rust: T, python: Value) {
    assert_eq!(to_value(&rust).unwrap(), python);
    assert_eq!(from_value::<T>(python).unwrap(), rust);
}

fn error<T: DeserializeOwned + Debug>(value: Value) -> String {
    from_value::<T>(value).unwrap_err().to_string()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    x: i32,
    label: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Metres(f64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Circle(u32),
    Line(i8, i8),
    Named { name: String },
}

/// As `serde_bytes` does it.
#[derive(Debug, PartialEq)]
struct Buffer(Vec<u8>);

impl Serialize for Buffer {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Buffer, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Buffer;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<Buffer, E> {
                Ok(Buffer(v))
            }
        }
        d.deserialize_byte_buf(Visitor)
    }
}

#[test]
fn plain_types() {
    both_ways((), Value::None);
    both_ways(true, Value::Bool(true));
    both_ways(-5_i8, Value::Int(-5));
    both_ways(u64::MAX, Value::from(u64::MAX));
    both_ways(i128::MIN, Value::from(i128::MIN));
    both_ways(u128::MAX, Value::from(u128::MAX));
    both_ways(1.5_f32, Value::Float(1.5));
    both_ways('é', text("é"));
    both_ways("text".to_owned(), text("text"));
    both_ways(Buffer(vec![1, 255]), Value::Bytes(Bytes::from(vec![1, 255])));
    both_ways(vec![1, 2], Value::List(vec![1.into(), 2.into()]));
    both_ways((1, "a".to_owned()), Value::Tuple(vec![1.into(), text("a")]));
    both_ways(Some(3), Value::Int(3));
    both_ways(None::<i32>, Value::None);
    both_ways(BTreeMap::from([(1, 2)]), Value::Dict(vec![(1.into(), 2.into())]));
    both_ways(
        BTreeMap::from([((1, 2), 3)]),
        Value::Dict(vec![(Value::Tuple(vec![1.into(), 2.into()]), 3.into())]),
    );
    both_ways(BTreeMap::from([("k".to_owned(), None::<i32>)]), dict(&[("k", Value::None)]));
}

#[test]
fn structs_and_enums() {
    both_ways(Point { x: 1, label: None }, dict(&[("x", 1.into()), ("label", Value::None)]));
    both_ways(Metres(2.5), Value::Float(2.5));
    both_ways(Marker, Value::None);
    both_ways(Shape::Empty, text("Empty"));
    both_ways(Shape::Circle(3), dict(&[("Circle", 3.into())]));
    both_ways(Shape::Line(1, -1), dict(&[("Line", Value::Tuple(vec![1.into(), (-1).into()]))]));
    both_ways(Shape::Named { name: "n".into() }, dict(&[("Named", dict(&[("name", text("n"))]))]));
}

#[test]
fn a_string_takes_text_and_the_str_of_python_2_but_never_bytes() {
    assert_eq!(from_value::<String>(Value::Str("é".into())).unwrap(), "é");
    assert_eq!(error::<String>(Value::Bytes("a".into())), "expected a string, got bytes");
    assert_eq!(error::<String>(Value::Blob("a".into())), "expected a string, got a Blob");
    assert_eq!(
        error::<String>(Value::Str(Bytes::from_static(b"\xff"))),
        "expected a string, got a byte string that is not UTF-8"
    );
    assert_eq!(error::<String>(Value::CallError("a".into())), "expected a string, got a CallError");
}

#[test]
fn a_byte_buffer_takes_every_kind_of_byte_string_but_no_text() {
    for value in [Value::Str("ab".into()), Value::Bytes("ab".into()), Value::Blob("ab".into())] {
        assert_eq!(from_value::<Buffer>(value.clone()).unwrap(), Buffer(b"ab".to_vec()));
        assert_eq!(from_value::<Vec<u8>>(value.clone()).unwrap(), b"ab");
        assert_eq!(from_value::<[u8; 2]>(value).unwrap(), *b"ab");
    }
    assert_eq!(error::<Buffer>(text("a")), "expected a byte string, got text");
    assert!(from_value::<Vec<u8>>(text("a")).is_err());
}

#[test]
fn lists_and_tuples_are_sequences_alike() {
    for items in [Value::List, Value::Tuple] {
        let value = items(vec![1.into(), 2.into()]);
        assert_eq!(from_value::<Vec<u8>>(value.clone()).unwrap(), [1, 2]);
        assert_eq!(from_value::<(i64, f64)>(value.clone()).unwrap(), (1, 2.0));
        assert_eq!(from_value::<[u16; 2]>(value.clone()).unwrap(), [1, 2]);
        assert_eq!(error::<(i64,)>(value.clone()), "2 items, expected 1");
        assert_eq!(error::<(i64, i64, i64)>(value), "2 items, expected a tuple of size 3");
    }
    assert_eq!(
        from_value::<Point>(Value::Tuple(vec![1.into(), Value::None])).unwrap(),
        Point { x: 1, label: None }
    );
}

#[test]
fn structs_come_from_dicts_with_either_kind_of_text_and_from_kwargs() {
    let expected = Point { x: 1, label: Some("l".into()) };
    let python_2 = Value::Dict(vec![
        (Value::Str("x".into()), 1.into()),
        (Value::Str("label".into()), Value::Str("l".into())),
    ]);
    assert_eq!(from_value::<Point>(python_2).unwrap(), expected);
    let kwargs =
        Value::Kwargs(vec![("x".into(), 1.into()), ("label".into(), text("l")), ("more".into(), 2.into())]);
    assert_eq!(from_value::<Point>(kwargs).unwrap(), expected);
}

#[test]
fn errors_say_where_and_what() {
    assert_eq!(error::<u8>(300.into()), "integer `300` does not fit: expected u8");
    assert_eq!(error::<u8>(true.into()), "expected u8, got boolean `true`");
    assert_eq!(error::<i64>(1.5.into()), "expected i64, got floating point `1.5`");
    assert_eq!(error::<Point>(dict(&[])), "field `x` is missing");
    assert_eq!(error::<()>(1.into()), "expected None, got an int");
    assert_eq!(error::<Vec<i32>>(Value::None), "expected a sequence, got None");
    let value = Value::List(vec![Value::None, dict(&[("x", text("one"))])]);
    let error = from_value::<Vec<Option<Point>>>(value).unwrap_err();
    assert_eq!(error.to_string(), "at value[1][\"x\"]: expected i32, got string \"one\"");
    assert_eq!(error.path(), "[1][\"x\"]");
    let value = Value::Dict(vec![(Value::Int(7), 1.into()), (Value::Tuple(vec![]), 1.into())]);
    assert!(from_value::<BTreeMap<i64, i64>>(value).unwrap_err().path().contains("<a tuple>"));
    let huge = Value::Long("1".repeat(60).parse::<BigInt>().unwrap());
    assert!(from_value::<i128>(huge).unwrap_err().to_string().contains("more than 128 bits"));
}

#[test]
fn a_secret_is_given_to_who_asks_for_it_and_shown_to_nobody_else() {
    let secret = Value::Secret(Secret::new("geheim"));
    assert_eq!(format!("{:?}", Value::List(vec![secret.clone()])), "List([Secret(Secret(..))])");
    assert_eq!(from_value::<String>(secret.clone()).unwrap(), "geheim");
    assert_eq!(from_value::<Secret>(secret.clone()).unwrap().expose(), "geheim");
    assert_eq!(to_value(&Secret::new("geheim")).unwrap(), secret);
    assert_eq!(to_value(&secret).unwrap(), secret);
    // What takes anything does not get it; nor does a format for people.
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "it is never made")]
    enum Anything {
        Text(String),
    }
    assert!(from_value::<Anything>(secret.clone()).is_err());
    assert!(!format!("{secret:?}").contains("geheim"));
}

#[test]
fn a_struct_may_hold_values_of_any_kind() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Reply {
        status: i32,
        stdout: Value,
        extra: Option<Value>,
        by_name: BTreeMap<String, Value>,
    }
    let reply = Reply {
        status: 0,
        stdout: Value::Str(Bytes::from_static(b"\xff")),
        extra: Some(Value::Tuple(vec![Value::Blob("b".into())])),
        by_name: BTreeMap::from([("k".into(), Value::Kwargs(vec![("a".into(), Value::None)]))]),
    };
    assert_eq!(from_value::<Reply>(to_value(&reply).unwrap()).unwrap(), reply);
}

#[test]
fn a_nested_type_that_never_ends_is_an_error() {
    #[derive(Serialize)]
    struct Chain(Vec<Chain>);
    let chain = (0..300).fold(Chain(vec![]), |inner, _| Chain(vec![inner]));
    let error: ValueError = to_value(&chain).unwrap_err();
    assert_eq!(error.kind().to_string(), "nested too deeply");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_value_comes_through_as_it_is(value in common::value()) {
        prop_assert_eq!(&to_value(&value).unwrap(), &value);
        prop_assert_eq!(&from_value::<Value>(value.clone()).unwrap(), &value);
        // A key is seen in another way than what stands elsewhere.
        let keyed = Value::Dict(vec![(value.clone(), value)]);
        prop_assert_eq!(&from_value::<Value>(keyed.clone()).unwrap(), &keyed);
    }

    #[test]
    fn any_type_may_be_asked_for(value in common::value()) {
        let _ = from_value::<Shape>(value.clone());
        let _ = from_value::<Point>(value.clone());
        let _ = from_value::<Vec<String>>(value.clone());
        let _ = from_value::<BTreeMap<String, Option<i8>>>(value.clone());
        let _ = from_value::<(Buffer, u128)>(value);
    }
}

#[test]
fn formats_for_people_see_plain_values_and_no_secrets() {
    let value = dict(&[
        ("secret", Value::Secret(Secret::new("geheim"))),
        ("str", Value::Str("é".into())),
        ("kwargs", Value::Kwargs(vec![("a".into(), Value::Tuple(vec![1.into()]))])),
        ("big", BigInt::parse_value(&"1".repeat(60)).unwrap()),
    ]);
    let json = serde_json::to_value(&value).unwrap();
    let expected =
        serde_json::json!({"secret": "<secret>", "str": "é", "kwargs": {"a": [1]}, "big": "1".repeat(60)});
    assert_eq!(json, expected);
    let back: Value = serde_json::from_value(serde_json::json!({"a": [1, null, 1.5, "t"]})).unwrap();
    assert_eq!(back, dict(&[("a", Value::List(vec![1.into(), Value::None, 1.5.into(), text("t")]))]));
}
