//! Many modules at once, between our own peers: the answer to a `GET_MODULE`.

use super::{BodyError, pickled, text};
use crate::pickle::{self, Limits, PickleError};
use crate::{Encoding, Handle, Message, Value};
use bytes::Bytes;

/// A part of the answer to one `GET_MODULE`, on a private handle: only our own agent listens there.
///
/// On the wire: the pickled tuple `(name, last, head, body)`. What a part carries counts as soon as it is there; a
/// name that is in none yet may still come, as long as the last part has not. Those between take nothing apart but
/// the heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBundle {
    /// The dotted name that was asked for.
    pub name: String,
    /// Whether nothing more comes for it.
    pub last: bool,
    /// The pickled entries, as one zlib stream.
    pub head: Bytes,
    /// The sources of the entries that have one, each behind the other, as one zlib stream.
    pub body: Bytes,
}

/// What a bundle says of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    /// The dotted name.
    pub name: String,
    /// For a package: the names of its members, without its own, and complete; those of packages end with a
    /// slash.
    pub children: Option<Vec<String>>,
    /// The file's name where it was found; `None` if there is no such module for this child.
    pub path: Option<String>,
    /// The length of its source, in bytes.
    pub size: usize,
    /// Why there is none, if there is more to say than that it was not found.
    pub reason: Option<String>,
}

impl LoadBundle {
    /// Where it goes: always to the adjacent context, even if a deeper one asked.
    pub const HANDLE: Handle = Handle(202);

    /// Pickles the part.
    ///
    /// # Errors
    /// It is too long for a pickle: see [`pickle::write`].
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        let fields = vec![
            Value::Text(self.name),
            Value::Bool(self.last),
            Value::Str(self.head),
            Value::Str(self.body),
        ];
        Ok((Encoding::Pickle, pickle::write(&Value::Tuple(fields))?))
    }

    /// Reads a part.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn decode(message: &Message) -> Result<LoadBundle, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "bundle of modules", problem };
        let fields = match pickled(message, "bundle of modules")? {
            Value::Tuple(fields) => <[Value; 4]>::try_from(fields).ok(),
            _ => None,
        };
        let Some([name, Value::Bool(last), Value::Str(head), Value::Str(body)]) = fields else {
            return Err(malformed("it is no tuple of a name, a flag and two byte strings"));
        };
        let name = text(name).ok_or(malformed("the module's name is not text"))?;
        Ok(LoadBundle { name, last, head, body })
    }
}

impl BundleEntry {
    /// Pickles entries: what a head is before it is compressed.
    ///
    /// # Errors
    /// A text is too long for a pickle: see [`pickle::write`].
    pub fn encode_all(entries: Vec<BundleEntry>) -> Result<Bytes, PickleError> {
        let optional = |text: Option<String>| text.map_or(Value::None, Value::Text);
        let entry = |entry: BundleEntry| {
            let children = entry
                .children
                .map_or(Value::None, |names| Value::List(names.into_iter().map(Value::Text).collect()));
            Value::Tuple(vec![
                Value::Text(entry.name),
                children,
                optional(entry.path),
                Value::Int(i64::try_from(entry.size).unwrap_or(i64::MAX)),
                optional(entry.reason),
            ])
        };
        pickle::write(&Value::List(entries.into_iter().map(entry).collect()))
    }

    /// Reads what [`BundleEntry::encode_all`] wrote.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn decode_all(head: &Bytes) -> Result<Vec<BundleEntry>, BodyError> {
        let malformed =
            BodyError::Malformed { body: "bundle of modules", problem: "its head is no list of entries" };
        let Value::List(entries) = pickle::read_shared(head, &Limits::default())? else {
            return Err(malformed);
        };
        entries.into_iter().map(|value| entry(value).ok_or_else(|| malformed.clone())).collect()
    }
}

fn entry(value: Value) -> Option<BundleEntry> {
    let Value::Tuple(fields) = value else { return None };
    let [name, children, path, Value::Int(size), reason] = <[Value; 5]>::try_from(fields).ok()? else {
        return None;
    };
    let optional = |value: Value| match value {
        Value::None => Some(None),
        value => Some(Some(text(value)?)),
    };
    let children = match children {
        Value::None => None,
        Value::List(names) => Some(names.into_iter().map(text).collect::<Option<Vec<_>>>()?),
        _ => return None,
    };
    Some(BundleEntry {
        name: text(name)?,
        children,
        path: optional(path)?,
        size: usize::try_from(size).ok()?,
        reason: optional(reason)?,
    })
}
