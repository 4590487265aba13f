//! What the writer writes, the reader reads as the same value; so does serde-pickle, an independent reader.

mod common;

use bytes::Bytes;
use mitogen_wire::pickle::{self, Limits, PickleError};
use mitogen_wire::{BigInt, ContextId, Value};
use proptest::prelude::*;

fn read(data: &[u8]) -> Result<Value, PickleError> {
    pickle::read(data, &Limits::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_value(value in common::value()) {
        let written = pickle::write(&value).unwrap();
        prop_assert_eq!(read(&written), Ok(common::as_written(&value)));
        prop_assert_eq!(pickle::read_shared(&written, &Limits::default()), Ok(common::as_written(&value)));
    }

    #[test]
    fn one_after_another(values in proptest::collection::vec(common::value(), 0..4)) {
        let mut data = Vec::new();
        for value in &values {
            pickle::write_into(value, &mut data).unwrap();
        }
        let expected = values.iter().map(common::as_written).collect::<Vec<_>>();
        prop_assert_eq!(pickle::read_many(&data, &Limits::default()), Ok(expected));
    }

    #[test]
    fn serde_pickle_reads_plain_values_alike(value in common::value()) {
        if let Some(expected) = plain(&value) {
            let written = pickle::write(&value).unwrap();
            let theirs = serde_pickle::value_from_slice(&written, serde_pickle::DeOptions::new()).unwrap();
            prop_assert_eq!(theirs, expected);
        }
    }

    #[test]
    fn we_read_what_serde_pickle_writes(value in common::value()) {
        if let Some(theirs) = plain(&value) {
            // Its option "proto 2" is protocol 2; its own writer never names bytes, as Python 2 cannot.
            let mut written = Vec::new();
            serde_pickle::value_to_writer(&mut written, &theirs, serde_pickle::SerOptions::new().proto_v2()).unwrap();
            let ours = read(&written).unwrap();
            prop_assert_eq!(plain(&ours), Some(theirs));
        }
    }
}

/// serde-pickle's form of a value without our special types; its dicts are sorted maps.
fn plain(value: &Value) -> Option<serde_pickle::Value> {
    use serde_pickle::{HashableValue, Value as Theirs};
    Some(match value {
        Value::None => Theirs::None,
        Value::Bool(b) => Theirs::Bool(*b),
        Value::Int(n) => Theirs::I64(*n),
        Value::Float(x) => Theirs::F64(*x),
        Value::Text(text) => Theirs::String(text.clone()),
        Value::List(items) => Theirs::List(items.iter().map(plain).collect::<Option<_>>()?),
        Value::Tuple(items) => Theirs::Tuple(items.iter().map(plain).collect::<Option<_>>()?),
        Value::Dict(pairs) => Theirs::Dict(
            pairs
                .iter()
                .map(|(key, value)| {
                    let Value::Text(key) = key else { return None };
                    Some((HashableValue::String(key.clone()), plain(value)?))
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

#[test]
fn not_a_number() {
    let written = pickle::write(&Value::Float(f64::NAN)).unwrap();
    assert!(matches!(read(&written), Ok(Value::Float(x)) if x.is_nan()));
}

#[test]
fn the_deepest_value_fits_a_small_stack() {
    let nest = |levels| (0..levels).fold(Value::None, |inner, _| Value::List(vec![inner]));
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        let deepest = nest(256);
        let written = pickle::write(&deepest).unwrap();
        let back = read(&written).unwrap();
        assert_eq!(back, deepest);
        assert_eq!(mitogen_wire::to_value(&back).unwrap(), deepest);
        assert_eq!(mitogen_wire::from_value::<Value>(back.clone()).unwrap(), deepest);
        assert!(format!("{back:?}").len() > 256);
        assert!(matches!(
            pickle::write(&nest(257)),
            Err(PickleError::Limit { what: "levels of nesting", .. })
        ));
        assert!(mitogen_wire::to_value(&nest(257)).is_err());
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_dict_key_that_python_cannot_hash_is_refused() {
    for key in [Value::List(vec![]), Value::Dict(vec![]), Value::Tuple(vec![Value::List(vec![])])] {
        let error = pickle::write(&Value::Dict(vec![(key, Value::None)])).unwrap_err();
        assert!(matches!(error, PickleError::UnhashableKey { .. }), "{error}");
    }
    for data in [&b"}]Ns."[..], b"}}Ns.", b"}]\x85Ns."] {
        assert!(matches!(read(data), Err(PickleError::UnhashableKey { .. })), "{data:?}");
    }
}

#[test]
fn a_long_call_error_is_cut_where_upstream_would_refuse_it() {
    let long = "é".repeat(20_000);
    let written = pickle::write(&Value::CallError(long)).unwrap();
    let Ok(Value::CallError(text)) = read(&written) else { panic!() };
    assert_eq!(text.chars().count(), pickle::MAX_CALL_ERROR_CHARS);
}

#[test]
fn a_long_context_name_is_refused() {
    let named = |n| Value::Context { id: ContextId(1), name: Some("é".repeat(n)) };
    assert!(pickle::write(&named(99)).is_ok());
    assert!(matches!(pickle::write(&named(100)), Err(PickleError::Limit { .. })));
}

#[test]
fn a_large_byte_string_is_not_copied_when_sharing_is_allowed() {
    let written = pickle::write(&Value::Bytes(Bytes::from(vec![7; 1 << 20]))).unwrap();
    let Ok(Value::Str(bytes)) = pickle::read_shared(&written, &Limits::default()) else { panic!() };
    // PROTO, its number, BINSTRING and four bytes of length stand before it.
    assert_eq!(bytes.as_ptr(), written[7..].as_ptr());
}

#[test]
fn integers_take_the_shortest_opcode() {
    for (n, expected) in [
        (0, &b"K\x00"[..]),
        (255, b"K\xff"),
        (256, b"M\x00\x01"),
        (65536, b"J\x00\x00\x01\x00"),
        (-1, b"J\xff\xff\xff\xff"),
        (1 << 31, b"\x8a\x05\x00\x00\x00\x80\x00"),
        (i64::MIN, b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"),
    ] {
        let written = pickle::write(&Value::Int(n)).unwrap();
        assert_eq!(&written[2..written.len() - 1], expected);
        assert_eq!(read(&written), Ok(Value::Int(n)));
    }
    let huge = BigInt::parse_value(&format!("1{}", "0".repeat(700))).unwrap();
    let written = pickle::write(&huge).unwrap();
    assert_eq!(written[2], 0x8b);
    assert_eq!(read(&written), Ok(huge));
}
