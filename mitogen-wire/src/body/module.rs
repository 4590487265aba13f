//! Module requests and deliveries (protocol.md section 6).

use super::{BodyError, alive, pickled, text};
use crate::pickle::{self, PickleError};
use crate::{Encoding, Handle, Message, Value};
use bytes::Bytes;

/// `GET_MODULE`: the sender's importer needs a module. On the wire: its dotted name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetModule {
    /// The dotted name.
    pub name: String,
}

/// `LOAD_MODULE`: a module is delivered, or will never be. On the wire: the pickled tuple
/// `(name, pkg_present, path, compressed, related)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadModule {
    /// The dotted name.
    pub name: String,
    /// The module, or `None` when there is no such module for this child.
    pub module: Option<LoadedModule>,
}

/// What a child needs to know of a module to import it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModule {
    /// For a package: its direct submodules' names, without the package's own and *complete*
    /// (a child never asks for others). `None` for a plain module.
    pub package: Option<Vec<String>>,
    /// The file's name where it was found, for tracebacks.
    pub path: String,
    /// The source text, as one zlib stream.
    pub compressed: Bytes,
    /// Dotted names of modules that this one needs, in sorted order, for those who pass it on.
    pub related: Vec<String>,
}

impl GetModule {
    /// Where it goes, always to the nearest parent.
    pub const HANDLE: Handle = Handle::GET_MODULE;

    /// Writes the name.
    pub fn encode(&self) -> (Encoding, Bytes) {
        (Encoding::Implied, Bytes::copy_from_slice(self.name.as_bytes()))
    }

    /// Reads the name.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when it is empty or not UTF-8 (an answer must name it exactly);
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<GetModule, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "GET_MODULE", problem };
        let name = std::str::from_utf8(alive(message)?).map_err(|_| malformed("the name is not UTF-8"))?;
        if name.is_empty() {
            return Err(malformed("the name is empty"));
        }
        Ok(GetModule { name: name.to_owned() })
    }
}

impl LoadModule {
    /// Where it goes: always to the adjacent context, even if a deeper one asked.
    pub const HANDLE: Handle = Handle::LOAD_MODULE;

    /// The answer that there is no such module for this child.
    pub fn negative(name: impl Into<String>) -> LoadModule {
        LoadModule { name: name.into(), module: None }
    }

    /// Pickles the delivery.
    ///
    /// # Errors
    /// A text or the source is too long for a pickle: see [`pickle::write`].
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        let texts = |names: Vec<String>| names.into_iter().map(Value::Text).collect::<Vec<_>>();
        let name = Value::Text(self.name);
        let fields = match self.module {
            // An empty tuple and not a list: byte for byte upstream's negative answer.
            None => vec![name, Value::None, Value::None, Value::None, Value::Tuple(Vec::new())],
            Some(module) => vec![
                name,
                module.package.map_or(Value::None, |names| Value::List(texts(names))),
                Value::Text(module.path),
                Value::Blob(module.compressed),
                Value::List(texts(module.related)),
            ],
        };
        Ok((Encoding::Pickle, pickle::write(&Value::Tuple(fields))?))
    }

    /// Reads a delivery. It is negative when its path is `None`, whatever else it holds.
    ///
    /// # Errors
    /// [`BodyError::Pickle`], [`BodyError::NotPickled`], [`BodyError::Malformed`],
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<LoadModule, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "LOAD_MODULE", problem };
        let fields = match pickled(message, "LOAD_MODULE")? {
            Value::Tuple(fields) => <[Value; 5]>::try_from(fields).ok(),
            _ => None,
        };
        let Some([name, package, path, compressed, related]) = fields else {
            return Err(malformed("it is no tuple of five"));
        };
        let name = text(name).ok_or(malformed("the module's name is not text"))?;
        if path.is_none() {
            return Ok(LoadModule::negative(name));
        }
        let module = LoadedModule {
            package: match package {
                Value::None => None,
                names => Some(texts(names).ok_or(malformed("the submodules are no list of names"))?),
            },
            path: text(path).ok_or(malformed("the path is not text"))?,
            compressed: match compressed {
                Value::Blob(bytes) | Value::Bytes(bytes) | Value::Str(bytes) => bytes,
                _ => return Err(malformed("the source is no byte string")),
            },
            related: texts(related).ok_or(malformed("the related modules are no list of names"))?,
        };
        Ok(LoadModule { name, module: Some(module) })
    }
}

fn texts(names: Value) -> Option<Vec<String>> {
    match names {
        Value::List(names) | Value::Tuple(names) => names.into_iter().map(text).collect(),
        _ => None,
    }
}
