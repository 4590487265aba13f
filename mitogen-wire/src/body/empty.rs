//! Bodies that are empty: the handle says it all.

use super::{BodyError, alive};
use crate::{Encoding, Handle, Message};
use bytes::Bytes;

/// `SHUTDOWN`: the receiving context shall end, with all its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown;

/// `ALLOCATE_ID`: the sender needs a block of context ids; answered by
/// [`IdBlock`](super::IdBlock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocateId;

impl Shutdown {
    /// Where it goes.
    pub const HANDLE: Handle = Handle::SHUTDOWN;

    /// The empty payload.
    pub fn encode(self) -> (Encoding, Bytes) {
        (Encoding::Implied, Bytes::new())
    }

    /// Takes any living message: upstream does not look at the payload either.
    ///
    /// # Errors
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<Shutdown, BodyError> {
        alive(message).map(|_| Shutdown)
    }
}

impl AllocateId {
    /// Where it goes.
    pub const HANDLE: Handle = Handle::ALLOCATE_ID;

    /// The empty payload.
    pub fn encode(self) -> (Encoding, Bytes) {
        (Encoding::Implied, Bytes::new())
    }

    /// Takes any living message: upstream does not look at the payload either.
    ///
    /// # Errors
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<AllocateId, BodyError> {
        alive(message).map(|_| AllocateId)
    }
}
