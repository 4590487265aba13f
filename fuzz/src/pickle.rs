//! Pickles: any bytes read, and what was read written and read again.

use mitogen_wire::Value;
use mitogen_wire::pickle::{self, Limits, MAX_CALL_ERROR_CHARS};

/// What is read can be written, unless the writer says why not; and what is written is read as
/// the same value, as far as protocol 2 and upstream's limits can express it.
pub fn pickle_read(data: &[u8]) {
    let limits = Limits::default();
    let Ok(value) = pickle::read(data, &limits) else { return };
    let Ok(written) = pickle::write(&value) else { return };
    let again = pickle::read(&written, &limits).expect("our own pickle is read");
    // By text: a NaN is not equal to itself.
    assert_eq!(format!("{:?}", as_written(value)), format!("{again:?}"));
}

/// What a value is after it was written: byte strings lose their kind, and a long error its end.
pub(crate) fn as_written(value: Value) -> Value {
    let each = |items: Vec<Value>| items.into_iter().map(as_written).collect();
    match value {
        Value::Bytes(bytes) => Value::Str(bytes),
        Value::CallError(text) => Value::CallError(text.chars().take(MAX_CALL_ERROR_CHARS).collect()),
        Value::List(items) => Value::List(each(items)),
        Value::Tuple(items) => Value::Tuple(each(items)),
        Value::Dict(pairs) => {
            Value::Dict(pairs.into_iter().map(|(k, v)| (as_written(k), as_written(v))).collect())
        }
        Value::Kwargs(pairs) => Value::Kwargs(pairs.into_iter().map(|(k, v)| (k, as_written(v))).collect()),
        other => other,
    }
}
