//! Writes pickles of protocol 2 that every CPython from 2.4 on reads (3.x with `encoding="bytes"`).
//!
//! Values are trees, so there is nothing to share and nothing is put into the memo: the bytes are those of
//! CPython's pickler without its PUTs, and stand for the same values.
//!
//! Two walks: the first finds the exact size and every reason to refuse, the second copies each payload
//! once into memory that is reserved once.

use super::{PickleError, opcode as op};
use crate::Value;
use bytes::{BufMut, Bytes};

/// The nesting that is written, equal to what [`Limits`](super::Limits) lets readers accept by default.
pub(super) const MAX_DEPTH: usize = 256;

/// The characters of a `CallError` that upstream Mitogen accepts; a longer one would cost the whole message,
/// so the writer cuts it there.
pub const MAX_CALL_ERROR_CHARS: usize = 9_999;

/// The characters of a context's name that upstream Mitogen accepts.
pub const MAX_CONTEXT_NAME_CHARS: usize = 99;

/// CPython 2 reads lengths as signed integers.
const MAX_LEN: usize = i32::MAX as usize;

const CALL_ERROR: &[u8] = b"cmitogen.core\n_unpickle_call_error\n";
const CONTEXT: &[u8] = b"cmitogen.core\n_unpickle_context\n";
const SENDER: &[u8] = b"cmitogen.core\n_unpickle_sender\n";
const BLOB: &[u8] = b"cmitogen.core\nBlob\n";
const SECRET: &[u8] = b"cmitogen.core\nSecret\n";
const KWARGS: &[u8] = b"cmitogen.core\nKwargs\n";

/// Writes `value` as a pickle that CPython 2.4 to 2.7 reads, and 3.x with `encoding="bytes"`.
///
/// Byte strings of all kinds become opcode U or T: `str` on Python 2, `bytes` on 3. A `CallError` text of more
/// than [`MAX_CALL_ERROR_CHARS`] is cut.
///
/// # Errors
/// The value is nested more than 256 levels deep, holds a byte string or text of 2 GiB, a dict key that
/// Python cannot hash, a context name of more than [`MAX_CONTEXT_NAME_CHARS`], or a sender with handle 0.
pub fn write(value: &Value) -> Result<Bytes, PickleError> {
    let mut out = Vec::new();
    write_into(value, &mut out)?;
    Ok(out.into())
}

/// As [`write()`], at the end of a buffer. Nothing is written in case of an error.
///
/// # Errors
/// As [`write()`].
pub fn write_into(value: &Value, out: &mut Vec<u8>) -> Result<(), PickleError> {
    let size = 3 + size_of_value(value, 0)?;
    out.reserve_exact(size);
    let start = out.len();
    out.extend_from_slice(&[op::PROTO, 2]);
    put_value(value, out);
    out.push(op::STOP);
    debug_assert_eq!(out.len() - start, size, "the first walk found the exact size");
    Ok(())
}

// The first walk.

// Containers and leaves are sized and written by functions of their own, so that the ones that recurse
// need little stack.

fn size_of_value(value: &Value, depth: usize) -> Result<usize, PickleError> {
    match value {
        Value::List(items) => Ok(1 + batch(items.len()) + size_of_items(items, depth)?),
        // An empty tuple is an opcode, not a level.
        Value::Tuple(items) if items.is_empty() => Ok(1),
        Value::Tuple(items) => Ok(size_of_items(items, depth)? + if items.len() <= 3 { 1 } else { 2 }),
        Value::Dict(pairs) => size_of_dict(pairs, depth),
        Value::Kwargs(pairs) => size_of_kwargs(pairs, depth),
        leaf => size_of_leaf(leaf),
    }
}

fn size_of_dict(pairs: &[(Value, Value)], depth: usize) -> Result<usize, PickleError> {
    deeper(depth)?;
    let mut size = 1 + batch(pairs.len());
    for (key, value) in pairs {
        // The size first: it bounds how deeply the other question digs.
        size += size_of_value(key, depth + 1)? + size_of_value(value, depth + 1)?;
        if !key.is_hashable() {
            return Err(PickleError::UnhashableKey { kind: key.kind() });
        }
    }
    Ok(size)
}

fn size_of_kwargs(pairs: &[(String, Value)], depth: usize) -> Result<usize, PickleError> {
    deeper(depth)?;
    let mut size = KWARGS.len() + 1 + batch(pairs.len()) + 2;
    for (key, value) in pairs {
        size += size_of_text(key)? + size_of_value(value, depth + 1)?;
    }
    Ok(size)
}

#[inline(never)]
fn size_of_leaf(value: &Value) -> Result<usize, PickleError> {
    Ok(match value {
        Value::None | Value::Bool(_) => 1,
        Value::Int(n) => size_of_int(*n),
        Value::Long(n) => size_of_long(n.as_le_bytes())?,
        Value::Float(_) => 9,
        Value::Str(bytes) | Value::Bytes(bytes) => size_of_bytes(bytes)?,
        Value::Text(text) => size_of_text(text)?,
        Value::CallError(text) => CALL_ERROR.len() + size_of_text(cut(text))? + 2,
        Value::Context { id, name } => {
            let name = match name {
                None => 1,
                Some(name) if name.chars().nth(MAX_CONTEXT_NAME_CHARS).is_some() => {
                    let limit = MAX_CONTEXT_NAME_CHARS as u64;
                    return Err(PickleError::Limit { what: "characters of a context's name", limit });
                }
                Some(name) => size_of_text(name)?,
            };
            CONTEXT.len() + size_of_int(i64::from(id.0)) + name + 2
        }
        Value::Sender { context, handle } => {
            if handle.0 == 0 {
                return Err(PickleError::Constructor {
                    name: "mitogen.core.Sender",
                    problem: "handle 0 receives nothing",
                });
            }
            SENDER.len() + size_of_int(i64::from(context.0)) + size_of_int(i64::from(handle.0)) + 2
        }
        Value::Blob(bytes) => BLOB.len() + size_of_bytes(bytes)? + 2,
        Value::Secret(secret) => SECRET.len() + size_of_text(secret.expose())? + 2,
        Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Kwargs(_) => {
            unreachable!("containers are sized by functions of their own")
        }
    })
}

fn size_of_items(items: &[Value], depth: usize) -> Result<usize, PickleError> {
    deeper(depth)?;
    items.iter().try_fold(0, |size, item| Ok(size + size_of_value(item, depth + 1)?))
}

/// The opcodes that put `n` items into a list or dict: none, one, or MARK and one.
fn batch(n: usize) -> usize {
    n.min(2)
}

fn deeper(depth: usize) -> Result<(), PickleError> {
    if depth >= MAX_DEPTH {
        return Err(PickleError::Limit { what: "levels of nesting", limit: MAX_DEPTH as u64 });
    }
    Ok(())
}

fn size_of_int(n: i64) -> usize {
    match n {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ if i32::try_from(n).is_ok() => 5,
        _ => 2 + long_len(n),
    }
}

/// The bytes of the shortest two's complement form.
fn long_len(n: i64) -> usize {
    let used = 65 - if n < 0 { n.leading_ones() } else { n.leading_zeros() };
    used.div_ceil(8) as usize
}

fn size_of_long(bytes: &[u8]) -> Result<usize, PickleError> {
    Ok(if bytes.len() <= 0xff { 2 } else { 5 } + checked(bytes.len(), "bytes of one integer")?)
}

fn size_of_bytes(bytes: &[u8]) -> Result<usize, PickleError> {
    Ok(if bytes.len() <= 0xff { 2 } else { 5 } + checked(bytes.len(), "bytes of one byte string")?)
}

fn size_of_text(text: &str) -> Result<usize, PickleError> {
    Ok(5 + checked(text.len(), "bytes of one text")?)
}

fn checked(len: usize, what: &'static str) -> Result<usize, PickleError> {
    if len > MAX_LEN {
        return Err(PickleError::Limit { what, limit: MAX_LEN as u64 });
    }
    Ok(len)
}

/// As much of a `CallError`'s text as upstream accepts.
fn cut(text: &str) -> &str {
    if text.len() <= MAX_CALL_ERROR_CHARS {
        return text;
    }
    text.char_indices().nth(MAX_CALL_ERROR_CHARS).map_or(text, |(end, _)| &text[..end])
}

// The second walk, over what the first has let pass.

fn put_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::List(items) => {
            out.push(op::EMPTY_LIST);
            open(items.len(), out);
            put_items(items, out);
            close(items.len(), op::APPEND, op::APPENDS, out);
        }
        Value::Tuple(items) => {
            if items.len() > 3 {
                out.push(op::MARK);
            }
            put_items(items, out);
            out.push(match items.len() {
                0 => op::EMPTY_TUPLE,
                1 => op::TUPLE1,
                2 => op::TUPLE2,
                3 => op::TUPLE3,
                _ => op::TUPLE,
            });
        }
        Value::Dict(pairs) => {
            out.push(op::EMPTY_DICT);
            open(pairs.len(), out);
            for (key, value) in pairs {
                put_value(key, out);
                put_value(value, out);
            }
            close(pairs.len(), op::SETITEM, op::SETITEMS, out);
        }
        Value::Kwargs(pairs) => {
            out.extend_from_slice(KWARGS);
            out.push(op::EMPTY_DICT);
            open(pairs.len(), out);
            for (key, value) in pairs {
                put_text(key, out);
                put_value(value, out);
            }
            close(pairs.len(), op::SETITEM, op::SETITEMS, out);
            out.extend_from_slice(&[op::TUPLE1, op::REDUCE]);
        }
        leaf => put_leaf(leaf, out),
    }
}

fn put_items(items: &[Value], out: &mut Vec<u8>) {
    for item in items {
        put_value(item, out);
    }
}

#[inline(never)]
fn put_leaf(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::None => out.push(op::NONE),
        Value::Bool(true) => out.push(op::NEWTRUE),
        Value::Bool(false) => out.push(op::NEWFALSE),
        Value::Int(n) => put_int(*n, out),
        Value::Long(n) => put_long(n.as_le_bytes(), out),
        Value::Float(x) => {
            out.push(op::BINFLOAT);
            out.put_f64(*x);
        }
        Value::Str(bytes) | Value::Bytes(bytes) => put_bytes(bytes, out),
        Value::Text(text) => put_text(text, out),
        Value::CallError(text) => put_call(CALL_ERROR, op::TUPLE1, out, |out| put_text(cut(text), out)),
        Value::Context { id, name } => put_call(CONTEXT, op::TUPLE2, out, |out| {
            put_int(i64::from(id.0), out);
            match name {
                None => out.push(op::NONE),
                Some(name) => put_text(name, out),
            }
        }),
        Value::Sender { context, handle } => put_call(SENDER, op::TUPLE2, out, |out| {
            put_int(i64::from(context.0), out);
            put_int(i64::from(handle.0), out);
        }),
        Value::Blob(bytes) => put_call(BLOB, op::TUPLE1, out, |out| put_bytes(bytes, out)),
        Value::Secret(secret) => put_call(SECRET, op::TUPLE1, out, |out| put_text(secret.expose(), out)),
        Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Kwargs(_) => {
            unreachable!("containers are written by functions of their own")
        }
    }
}

fn put_call(global: &[u8], tuple: u8, out: &mut Vec<u8>, args: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(global);
    args(out);
    out.extend_from_slice(&[tuple, op::REDUCE]);
}

fn open(n: usize, out: &mut Vec<u8>) {
    if n > 1 {
        out.push(op::MARK);
    }
}

fn close(n: usize, one: u8, many: u8, out: &mut Vec<u8>) {
    match n {
        0 => {}
        1 => out.push(one),
        _ => out.push(many),
    }
}

fn put_int(n: i64, out: &mut Vec<u8>) {
    if let Ok(n) = u8::try_from(n) {
        out.extend_from_slice(&[op::BININT1, n]);
    } else if let Ok(n) = u16::try_from(n) {
        out.push(op::BININT2);
        out.put_u16_le(n);
    } else if let Ok(n) = i32::try_from(n) {
        out.push(op::BININT);
        out.put_i32_le(n);
    } else {
        put_long(&n.to_le_bytes()[..long_len(n)], out);
    }
}

fn put_long(bytes: &[u8], out: &mut Vec<u8>) {
    put_sized(bytes, op::LONG1, op::LONG4, out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_sized(bytes, op::SHORT_BINSTRING, op::BINSTRING, out);
}

fn put_sized(bytes: &[u8], short: u8, long: u8, out: &mut Vec<u8>) {
    if let Ok(len) = u8::try_from(bytes.len()) {
        out.extend_from_slice(&[short, len]);
    } else {
        out.push(long);
        out.put_u32_le(bytes.len() as u32);
    }
    out.extend_from_slice(bytes);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.push(op::BINUNICODE);
    out.put_u32_le(text.len() as u32);
    out.extend_from_slice(text.as_bytes());
}
