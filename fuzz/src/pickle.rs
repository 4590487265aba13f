//! Pickles: any bytes read, and what was read written and read again.

use mitogen_wire::pickle::{self, Limits};

/// What is read can be written, unless the writer says why not; and what is written is read as
/// the same value.
pub fn pickle_read(data: &[u8]) {
    let limits = Limits::default();
    let Ok(value) = pickle::read(data, &limits) else { return };
    let Ok(written) = pickle::write(&value) else { return };
    let again = pickle::read(&written, &limits).expect("our own pickle is read");
    // By text: a NaN is not equal to itself.
    assert_eq!(format!("{value:?}"), format!("{again:?}"));
}
