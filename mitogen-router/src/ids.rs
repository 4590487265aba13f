//! Numbers for new contexts, and whose they are (protocol.md section 5.1).

use crate::RouterError;
use mitogen_wire::ContextId;
use mitogen_wire::body::IdBlock;
use std::collections::BTreeMap;

/// How many ids a context gets at once when it asks for some.
pub const BLOCK_LEN: u32 = 1000;

/// How many blocks go out over one link as long as it lives. It keeps a neighbour that asks in a
/// loop from using up everybody's ids: they are never given twice.
pub(crate) const BLOCKS_PER_LINK: u32 = 1 << 16;

/// The controller's counter, and its book of who may announce what. No id is ever given twice.
pub(crate) struct Ids {
    /// Everything below has been given.
    next: u32,
    /// The first id of a block, and whose it is. Blocks do not overlap, and end at `next` or below.
    given: BTreeMap<u32, Block>,
}

struct Block {
    /// The id behind the last one.
    end: u32,
    /// The context that starts, or has started, contexts with these ids.
    owner: ContextId,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids { next: ContextId::CONTROLLER.0 + 1, given: BTreeMap::new() }
    }

    /// One id, for a context that the controller starts itself: nobody may announce it.
    pub(crate) fn take(&mut self) -> Result<ContextId, RouterError> {
        self.advance(1).map(ContextId)
    }

    /// One id, for a context that `owner` is told to start.
    pub(crate) fn take_for(&mut self, owner: ContextId) -> Result<ContextId, RouterError> {
        self.take_block(owner, 1).map(|block| block.first)
    }

    /// Ids for contexts that `owner` starts on its own account.
    pub(crate) fn take_block(&mut self, owner: ContextId, len: u32) -> Result<IdBlock, RouterError> {
        let first = self.advance(len)?;
        self.given.insert(first, Block { end: first + len, owner });
        Ok(IdBlock { first: ContextId(first), end: ContextId(first + len) })
    }

    /// Who may announce this id; `None` when nobody may.
    pub(crate) fn owner(&self, id: ContextId) -> Option<ContextId> {
        let (_, block) = self.given.range(..=id.0).next_back()?;
        (id.0 < block.end).then_some(block.owner)
    }

    /// A context is gone: what it was given is nobody's. Says how many ids it was given alone.
    pub(crate) fn forget_owner(&mut self, owner: ContextId) -> usize {
        let mut singles = 0;
        self.given.retain(|&first, block| {
            singles += usize::from(block.owner == owner && block.end == first + 1);
            block.owner != owner
        });
        singles
    }

    /// Nobody may announce that id any more, if it was given alone; says whose it was.
    pub(crate) fn forget_single(&mut self, id: ContextId) -> Option<ContextId> {
        let owner = self.given.get(&id.0).filter(|block| block.end == id.0 + 1)?.owner;
        self.given.remove(&id.0);
        Some(owner)
    }

    fn advance(&mut self, count: u32) -> Result<u32, RouterError> {
        let first = self.next;
        self.next = first.checked_add(count).ok_or(RouterError::IdsExhausted)?;
        Ok(first)
    }
}
