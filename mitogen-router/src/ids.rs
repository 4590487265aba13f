//! Numbers for new contexts (protocol.md section 5.1).

use crate::RouterError;
use mitogen_wire::ContextId;
use mitogen_wire::body::IdBlock;

/// How many ids a context gets at once when it asks for some.
pub const BLOCK_LEN: u32 = 1000;

/// The controller's counter. No id is ever given twice.
pub(crate) struct Ids {
    /// Everything below has been given.
    next: u32,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids { next: ContextId::CONTROLLER.0 + 1 }
    }

    /// One id, for a context that the controller starts.
    pub(crate) fn take(&mut self) -> Result<ContextId, RouterError> {
        Ok(self.take_many(1)?.first)
    }

    /// A block of ids, for a context that starts others.
    pub(crate) fn take_block(&mut self) -> Result<IdBlock, RouterError> {
        self.take_many(BLOCK_LEN)
    }

    /// Whether this id has been given to somebody.
    pub(crate) fn given(&self, id: ContextId) -> bool {
        id.0 < self.next
    }

    fn take_many(&mut self, count: u32) -> Result<IdBlock, RouterError> {
        let end = self.next.checked_add(count).ok_or(RouterError::IdsExhausted)?;
        let block = IdBlock { first: ContextId(self.next), end: ContextId(end) };
        self.next = end;
        Ok(block)
    }
}
