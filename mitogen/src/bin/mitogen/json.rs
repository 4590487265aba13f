//! Python values to JSON and back.
//!
//! Written with the spacing of Python's `json.dumps` and all of Unicode as it is. What JSON has no form for:
//!
//! | value | becomes |
//! |---|---|
//! | tuple | array |
//! | bytes, Python 2 `str` | string if UTF-8, else `{"base64": "..."}` |
//! | integer of any size | number with all its digits |
//! | NaN, infinities | `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | dict key that is no string | number, `true`, `false`, `null` as text (as `json.dumps` does); else its JSON as text |
//! | dict of which two keys become one text (`1` and `"1"`) | array of `[key, value]` pairs |
//! | `Secret` | `"********"` |
//!
//! Read: an argument that is JSON is that value, integers with all their digits.

use mitogen::{BigInt, Value};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::BTreeSet, fmt};

/// How deep an argument may nest. Python's own limit for recursion is 1000, ours for pickles lower.
const DEPTH: usize = 128;

/// The most digits an integer may have: reading decimal digits costs their square, and Python draws the same line.
const DIGITS: usize = 4300;

// ---------------------------------------------------------------------------------------------------- writing

/// The JSON of a value.
pub(crate) fn to_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// What a person is shown: a string as it is, anything else as JSON.
pub(crate) fn to_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Str(bytes) | Value::Bytes(bytes) | Value::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => to_json(value),
        },
        _ => to_json(value),
    }
}

/// Appends a JSON string.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // DEL and the C1 controls need no escape in JSON, but must not reach a terminal.
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends bytes: a string if they are UTF-8, else `{"base64": "..."}`.
pub(crate) fn write_bytes(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_string(text, out),
        Err(_) => {
            out.push_str("{\"base64\": \"");
            base64(bytes, out);
            out.push_str("\"}");
        }
    }
}

/// Appends an object or an array: brackets, commas between the items.
fn write_items<T>(brackets: [char; 2], items: &[T], out: &mut String, mut item: impl FnMut(&T, &mut String)) {
    out.push(brackets[0]);
    for (index, each) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        item(each, out);
    }
    out.push(brackets[1]);
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Long(number) => out.push_str(&number.to_string()),
        Value::Float(number) => write_float(*number, out),
        Value::Str(bytes) | Value::Bytes(bytes) | Value::Blob(bytes) => write_bytes(bytes, out),
        Value::Text(text) | Value::CallError(text) => write_string(text, out),
        Value::List(items) | Value::Tuple(items) => write_items(['[', ']'], items, out, write_value),
        Value::Dict(pairs) => write_dict(pairs, out),
        Value::Secret(_) => out.push_str("\"********\""),
        Value::Kwargs(pairs) => write_items(['{', '}'], pairs, out, |(key, value), out| {
            write_string(key, out);
            out.push_str(": ");
            write_value(value, out);
        }),
        // Contexts, senders and whatever is new have no plain form.
        other => write_string(&format!("{other:?}"), out),
    }
}

fn write_dict(pairs: &[(Value, Value)], out: &mut String) {
    let keys: Vec<String> = pairs.iter().map(|(key, _)| key_text(key)).collect();
    if keys.iter().collect::<BTreeSet<_>>().len() < keys.len() {
        return write_items(['[', ']'], pairs, out, |(key, value), out| {
            out.push('[');
            write_value(key, out);
            out.push_str(", ");
            write_value(value, out);
            out.push(']');
        });
    }
    let entries: Vec<(String, &Value)> = keys.into_iter().zip(pairs.iter().map(|(_, value)| value)).collect();
    write_items(['{', '}'], &entries, out, |(key, value), out| {
        write_string(key, out);
        out.push_str(": ");
        write_value(value, out);
    });
}

/// A key of an object. For the keys that Python's `json.dumps` takes, the same text as there.
fn key_text(key: &Value) -> String {
    match key {
        Value::Float(number) if !number.is_finite() => non_finite(*number).to_owned(),
        key => to_text(key),
    }
}

fn write_float(number: f64, out: &mut String) {
    if !number.is_finite() {
        return write_string(non_finite(number), out);
    }
    // Shortest digits that read back, as Python's repr; the exponent alone is written differently there.
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            out.push_str(&format!("{digits}e{sign}{exponent:0>2}"));
        }
        None => out.push_str(&text),
    }
}

fn non_finite(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

fn base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            match digit <= chunk.len() {
                true => out.push(char::from(ALPHABET[(word >> (18 - 6 * digit)) as usize & 63])),
                false => out.push('='),
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------- reading

/// The value of an argument: JSON if it is JSON, else a string.
///
/// # Errors
/// It is JSON that no value can be made of: why, and what to do.
pub(crate) fn argument(text: &str) -> Result<Value, String> {
    // Validates the whole of it, without recursion; only the numbers and strings are read one by one below.
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return Ok(Value::Text(text.to_owned())) };
    read(raw, DEPTH).ok_or_else(|| {
        let mut start: String = text.chars().take(20).collect();
        if start.len() < text.len() {
            start.push('…');
        }
        format!(
            "`{start}` is JSON, but nested more than {DEPTH} deep or with a number that is too large; with --str it \
             is a string"
        )
    })
}

fn read(raw: &RawValue, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let text = raw.get().trim();
    Some(match text.as_bytes().first()? {
        b'n' => Value::None,
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'"' => Value::Text(serde_json::from_str(text).ok()?),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Value::List(items.into_iter().map(|item| read(item, depth)).collect::<Option<_>>()?)
        }
        b'{' => {
            let Pairs(pairs) = serde_json::from_str(text).ok()?;
            let pairs = pairs.into_iter().map(|(key, value)| Some((Value::Text(key), read(value, depth)?)));
            Value::Dict(pairs.collect::<Option<_>>()?)
        }
        _ if text.contains(['.', 'e', 'E']) => {
            Value::Float(text.parse().ok().filter(|n: &f64| n.is_finite())?)
        }
        _ if text.len() > DIGITS => return None,
        _ => BigInt::parse_value(text).ok()?,
    })
}

/// An object's members in their order; of equal keys the last one, as in Python.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(String, &RawValue)> = Vec::new();
                let mut seen = BTreeSet::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if !seen.insert(key.clone()) {
                        pairs.retain(|(old, _)| *old != key);
                    }
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn argument(text: &str) -> Value {
        super::argument(text).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn arguments_that_are_json_are_values() {
        assert_eq!(argument("1"), Value::Int(1));
        assert_eq!(argument("-5"), Value::Int(-5));
        assert_eq!(argument("1.0"), Value::Float(1.0));
        assert_eq!(argument("1e3"), Value::Float(1000.0));
        assert_eq!(argument("null"), Value::None);
        assert_eq!(argument(" true "), Value::Bool(true));
        assert_eq!(argument("\"1\""), text("1"));
        assert_eq!(
            argument(r#"{"a": [1, 2], "b": {}}"#),
            Value::Dict(vec![
                (text("a"), Value::List(vec![Value::Int(1), Value::Int(2)])),
                (text("b"), Value::Dict(vec![])),
            ])
        );
    }

    #[test]
    fn arguments_that_are_no_json_are_strings() {
        for plain in ["", "/etc/passwd", "01", "1.2.3", "True", "None", "NaN", "[1", "{'a': 1}", "+1", "a b"]
        {
            assert_eq!(argument(plain), text(plain));
        }
    }

    #[test]
    fn json_that_is_too_much_is_no_string() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(super::argument(&deep(DEPTH)).is_ok());
        for much in [deep(DEPTH + 1), deep(100_000), "1e999".to_owned(), "9".repeat(DIGITS + 1)] {
            assert!(super::argument(&much).unwrap_err().contains("--str"));
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(argument(r#"{"a": 1, "a": 2}"#), Value::Dict(vec![(text("a"), Value::Int(2))]));
    }

    #[test]
    fn integers_keep_all_their_digits() {
        for digits in [
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "123456789012345678901234567890123456789",
            "-340282366920938463463374607431768211456",
        ] {
            let value = argument(digits);
            assert!(matches!(value, Value::Long(_)), "{value:?}");
            assert_eq!(to_json(&value), digits);
        }
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        let value = Value::Dict(vec![
            (text("a"), Value::List(vec![Value::Int(1), Value::Tuple(vec![Value::None, Value::Bool(true)])])),
            (text("é\n\""), Value::Float(1.5)),
        ]);
        assert_eq!(to_json(&value), r#"{"a": [1, [null, true]], "é\n\"": 1.5}"#);
        let float = |number| to_json(&Value::Float(number));
        assert_eq!(float(1.0), "1.0");
        assert_eq!(float(1e16), "1e+16");
        assert_eq!(float(1.5e-7), "1.5e-07");
        assert_eq!(float(f64::NAN), "\"NaN\"");
        assert_eq!(float(f64::NEG_INFINITY), "\"-Infinity\"");
    }

    #[test]
    fn strings_stand_alone_as_they_are() {
        assert_eq!(to_text(&text("{\"a\": 1}")), "{\"a\": 1}");
        assert_eq!(to_text(&Value::Str("é".into())), "é");
        assert_eq!(to_text(&Value::List(vec![text("a")])), "[\"a\"]");
    }

    #[test]
    fn bytes_that_are_no_text_become_base64() {
        let bytes = |bytes: &'static [u8]| to_json(&Value::Bytes(bytes.into()));
        assert_eq!(bytes(b"abc"), "\"abc\"");
        assert_eq!(bytes(b"\xff"), "{\"base64\": \"/w==\"}");
        assert_eq!(bytes(b"\xff\xfe"), "{\"base64\": \"//4=\"}");
        assert_eq!(bytes(b"\xff\xfe\xfd"), "{\"base64\": \"//79\"}");
    }

    #[test]
    fn keys_that_are_no_strings_become_strings() {
        let dict = |keys: Vec<Value>| {
            to_json(&Value::Dict(keys.into_iter().map(|key| (key, Value::None)).collect()))
        };
        assert_eq!(
            dict(vec![Value::Int(1), Value::Float(0.5), Value::None, Value::Bool(true)]),
            r#"{"1": null, "0.5": null, "null": null, "true": null}"#
        );
        assert_eq!(dict(vec![Value::Tuple(vec![Value::Int(1), text("x")])]), r#"{"[1, \"x\"]": null}"#);
        // Nothing is lost when two keys look the same.
        assert_eq!(dict(vec![Value::Int(1), text("1")]), r#"[[1, null], ["1", null]]"#);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(to_json(&Value::Secret(mitogen::Secret::new("hunter2"))), "\"********\"");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            // Numbers that serde_json reads exactly; all others below.
            any::<i32>().prop_map(|n| (f64::from(n) / 8.0).into()),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_in_and_out(json in json()) {
            let value = argument(&json.to_string());
            let back: serde_json::Value = serde_json::from_str(&to_json(&value)).unwrap();
            prop_assert_eq!(back, json);
        }

        #[test]
        fn floats_survive_the_way_out_and_in(number in any::<f64>()) {
            prop_assume!(number.is_finite());
            prop_assert_eq!(argument(&to_json(&Value::Float(number))), Value::Float(number));
        }
    }
}
