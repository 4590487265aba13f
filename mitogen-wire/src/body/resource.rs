//! Requests for the data files of packages, and their answers (protocol.md section 6.7).

use super::{BodyError, pickled, text};
use crate::pickle::{self, PickleError};
use crate::{Encoding, Handle, Message, Value};
use bytes::Bytes;

/// `GET_RESOURCE`: code in the sender wants a data file of a package. On the wire: the pickled pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetResource {
    /// The package's dotted name.
    pub package: String,
    /// The file's name within the package. Between our own peers it may hold slashes, and with one at its end
    /// (or if it is empty) it asks for a directory's list: a name a line, directories with a slash.
    pub resource: String,
}

/// `LOAD_RESOURCE`: the answer. On the wire: the same pair, then a pickle of the bytes or None.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadResource {
    /// What was asked for.
    pub request: GetResource,
    /// The file's content; `None` if there is no such file.
    pub content: Option<Bytes>,
}

impl GetResource {
    /// Where it goes, always to the nearest parent.
    pub const HANDLE: Handle = Handle(112);

    fn to_value(&self) -> Value {
        Value::Tuple(vec![Value::Text(self.package.clone()), Value::Text(self.resource.clone())])
    }

    /// Pickles the request.
    ///
    /// # Errors
    /// A name is too long for a pickle: see [`pickle::write`].
    pub fn encode(&self) -> Result<(Encoding, Bytes), PickleError> {
        Ok((Encoding::Pickle, pickle::write(&self.to_value())?))
    }

    /// Reads the request.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn decode(message: &Message) -> Result<GetResource, BodyError> {
        let malformed = BodyError::Malformed { body: "GET_RESOURCE", problem: "it is no pair of texts" };
        let Value::Tuple(fields) = pickled(message, "GET_RESOURCE")? else { return Err(malformed) };
        let Ok([package, resource]) = <[Value; 2]>::try_from(fields) else { return Err(malformed) };
        let (Some(package), Some(resource)) = (text(package), text(resource)) else { return Err(malformed) };
        Ok(GetResource { package, resource })
    }
}

impl LoadResource {
    /// Where it goes: always to the adjacent context, even if a deeper one asked.
    pub const HANDLE: Handle = Handle(113);

    /// Writes both pickles.
    ///
    /// # Errors
    /// Something is too long for a pickle: see [`pickle::write`].
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        let mut out = Vec::new();
        pickle::write_into(&self.request.to_value(), &mut out)?;
        pickle::write_into(&self.content.map_or(Value::None, Value::Str), &mut out)?;
        Ok((Encoding::Pickle, out.into()))
    }
}
