//! The memo: lists and dicts are the same object wherever they are named, also when they grow later.

use mitogen_wire::Value;
use mitogen_wire::pickle::{self, Limits, PickleError};

fn read(data: &[u8]) -> Result<Value, PickleError> {
    pickle::read(data, &Limits::default())
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

#[test]
fn a_list_named_twice_stands_twice() {
    // [a, a] with a = [1]
    assert_eq!(read(b"\x80\x02]q\x00(]q\x01K\x01ah\x01e."), Ok(list([list([1.into()]), list([1.into()])])));
}

#[test]
fn a_list_that_grows_after_it_was_named_has_grown_everywhere() {
    // (a, a), where the second 2 is appended after both are on the stack.
    assert_eq!(
        read(b"\x80\x02]q\x01K\x01ah\x01K\x02a\x86."),
        Ok(Value::Tuple(vec![list([1.into(), 2.into()]), list([1.into(), 2.into()])]))
    );
}

#[test]
fn a_shared_dict_is_copied() {
    let dict = Value::Dict(vec![("k".into(), Value::None)]);
    assert!(read(b"\x80\x02(}q\x01X\x01\x00\x00\x00kNsh\x01e.").is_err());
    assert_eq!(read(b"\x80\x02](}q\x01X\x01\x00\x00\x00kNsh\x01e."), Ok(list([dict.clone(), dict])));
}

#[test]
fn a_container_that_contains_itself_is_an_error() {
    assert_eq!(read(b"\x80\x02]q\x00h\x00a."), Err(PickleError::Cycle { kind: "list" }));
    assert_eq!(read(b"\x80\x02}q\x00K\x01h\x00s."), Err(PickleError::Cycle { kind: "dict" }));
    // Through a tuple and a dict.
    assert!(matches!(read(b"\x80\x02]q\x00}K\x01h\x00\x85sa."), Err(PickleError::Cycle { .. })));
    // Unless nothing of it is in the value.
    assert_eq!(read(b"\x80\x02]q\x00h\x00aN."), Ok(Value::None));
}

#[test]
fn the_memo_may_be_numbered_from_anywhere() {
    for index in [0_u32, 1, 2, 200, 255, 256, 70_000, u32::MAX] {
        let index = index.to_le_bytes();
        let data = [b"\x80\x02]r", &index[..], b"j", &index, b"\x86."].concat();
        assert_eq!(read(&data), Ok(Value::Tuple(vec![list([]), list([])])));
    }
    // A number used again names the later value, wherever the earlier one was kept.
    let data = b"\x80\x02Nq\x05K\x00q\x00K\x01q\x01K\x02q\x02K\x03q\x03K\x04q\x04K\x05q\x05h\x05.";
    assert_eq!(read(data), Ok(5.into()));
    assert!(matches!(read(b"\x80\x02Nq\x00h\x01."), Err(PickleError::Malformed { .. })));
}

#[test]
fn what_a_pickler_gave_up_is_not_in_the_value() {
    // Python 2 found something that it cannot pickle in a tuple of four, and began anew.
    let data = b"\x80\x02(K\x01q\x01K\x02\x80\x02(K\x05K\x06K\x07K\x08t.";
    let expected = Value::Tuple(vec![5.into(), 6.into(), 7.into(), 8.into()]);
    assert_eq!(read(data), Ok(expected));
}

#[test]
fn what_follows_the_first_pickle_is_not_looked_at() {
    assert_eq!(read(b"\x80\x02N.garbage"), Ok(Value::None));
    assert!(pickle::read_many(b"\x80\x02N.garbage", &Limits::default()).is_err());
}

#[test]
fn consecutive_pickles_share_the_memo_and_what_is_in_it() {
    let data = b"\x80\x02]q\x00K\x01a.h\x00K\x02a.\x80\x02h\x00h\x00\x86.";
    let two = list([1.into(), 2.into()]);
    let limits = Limits::default();
    let mut reader = pickle::Reader::new(data, &limits);
    assert_eq!(reader.next_value(), Ok(Some(list([1.into()]))));
    assert_eq!(reader.position(), 9);
    assert_eq!(reader.next_value(), Ok(Some(two.clone())));
    assert_eq!(reader.next_value(), Ok(Some(Value::Tuple(vec![two.clone(), two]))));
    assert_eq!(reader.next_value(), Ok(None));
    // After an error nothing more is read.
    let mut reader = pickle::Reader::new(b"h\x00.N.", &limits);
    assert!(reader.next_value().is_err());
    assert_eq!(reader.next_value(), Ok(None));
}

#[test]
fn opcodes_cannot_reach_below_a_mark() {
    for data in [
        &b"]((K\x01a."[..],
        b"N(.",
        b"](e",
        b"K\x01K\x02(\x86.",
        b"(e.",
        b"]K\x01e.",
        b"](K\x01u.",
        b"}(K\x01u.",
        b"N(R.",
    ] {
        let result = read(data);
        assert!(
            matches!(result, Err(PickleError::Malformed { .. } | PickleError::Truncated { .. })),
            "{data:?}: {result:?}"
        );
    }
}
