//! The answer to `ALLOCATE_ID` (protocol.md section 5.1).

use super::{BodyError, pickled};
use crate::pickle::{self, PickleError};
use crate::{ContextId, Encoding, Message, Value};
use bytes::Bytes;

/// A block of context ids, half open, for the asker to give out. On the wire: the pickled tuple
/// `(first, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    /// The first id of the block.
    pub first: ContextId,
    /// The id behind its last one.
    pub end: ContextId,
}

impl IdBlock {
    /// Pickles the block.
    ///
    /// # Errors
    /// As [`pickle::write`], though no two integers are known to fail.
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        let pair = Value::Tuple(vec![self.first.0.into(), self.end.0.into()]);
        Ok((Encoding::Pickle, pickle::write(&pair)?))
    }

    /// Reads a block.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when it is no pair of context ids, or ends before it begins;
    /// [`BodyError::Pickle`], [`BodyError::NotPickled`], [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<IdBlock, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "block of context ids", problem };
        let value = pickled(message, "block of context ids")?;
        let Some([first, end]) = value.as_slice() else {
            return Err(malformed("it is no pair"));
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).map(ContextId);
        match (id(first), id(end)) {
            (Some(first), Some(end)) if first <= end => Ok(IdBlock { first, end }),
            (Some(_), Some(_)) => Err(malformed("it ends before it begins")),
            _ => Err(malformed("it holds something other than two context ids")),
        }
    }
}
