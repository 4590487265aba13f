//! The answer to `ALLOCATE_ID` (protocol.md section 5.1).

use crate::ContextId;

/// A block of context ids, half open, for the asker to give out. On the wire: the pickled tuple
/// `(first, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdBlock {
    /// The first id of the block.
    pub first: ContextId,
    /// The id behind its last one.
    pub end: ContextId,
}
