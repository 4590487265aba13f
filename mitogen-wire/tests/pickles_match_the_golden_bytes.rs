//! Every pickle of vectors/pickles.txt is read as the value that stands there; and what we write
//! for that value is read as the same.

mod framing;

use framing::{field, pickle, records};
use mitogen_wire::pickle::{Limits, read, read_many, write};
use mitogen_wire::{ContextId, Value};

fn text(text: &str) -> Value {
    Value::from(text)
}

fn str(text: &'static str) -> Value {
    Value::Str(text.into())
}

#[test]
fn pickles_match_the_golden_bytes() {
    let expected = [
        (
            "call os.getpid",
            Value::Tuple(vec![
                Value::None,
                text("os"),
                Value::None,
                text("getpid"),
                Value::Tuple(vec![]),
                Value::Kwargs(vec![]),
            ]),
        ),
        ("block of ids", Value::Tuple(vec![2.into(), 1002.into()])),
        ("resource answer", Value::Tuple(vec![text("respkg"), text("data.txt")])),
        ("resource content", str("hello\n")),
        ("context", Value::Context { id: ContextId(1), name: Some("self".into()) }),
        (
            "negative module",
            Value::Tuple(vec![text("x"), Value::None, Value::None, Value::None, Value::Tuple(vec![])]),
        ),
        ("call error", Value::CallError("builtins.ValueError: no".into())),
        (
            "module, from python 2",
            Value::Tuple(vec![
                str("pkg"),
                Value::List(vec![str("a"), str("b")]),
                str("pkg/init.py"),
                Value::Blob("zz".into()),
                Value::Tuple(vec![text("os")]),
            ]),
        ),
    ];
    let limits = Limits::default();
    for (name, value) in &expected {
        assert_eq!(read(&pickle(name), &limits).as_ref(), Ok(value), "{name}");
        let written = write(value).expect("it can be pickled");
        assert_eq!(read(&written, &limits).as_ref(), Ok(value), "{name}");
    }
    for record in records(include_str!("vectors/pickles.txt")) {
        let name = field(&record, "name");
        assert!(expected.iter().any(|(known, _)| *known == name), "{name} is not tested");
    }
}

#[test]
fn a_resource_is_two_pickles_in_one_payload() {
    let payload = [pickle("resource answer"), pickle("resource content")].concat();
    let values = read_many(&payload, &Limits::default()).expect("sound");
    assert_eq!(values, [Value::Tuple(vec![text("respkg"), text("data.txt")]), str("hello\n")]);
}
