//! Module requests and deliveries (protocol.md section 6).

use super::{BodyError, alive};
use crate::{Encoding, Handle, Message};
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
