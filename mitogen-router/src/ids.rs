//! Numbers for new contexts, and whose they are (protocol.md section 5.1).

use crate::RouterError;
use mitogen_wire::ContextId;
use mitogen_wire::body::IdBlock;
use std::collections::{BTreeMap, BTreeSet};

/// How many ids a context gets at once when it asks for some.
pub const BLOCK_LEN: u32 = 1000;

/// How many blocks go out over one link as long as it lives. It keeps a neighbour that asks in a
/// loop from using up everybody's ids: they are never given twice.
pub(crate) const BLOCKS_PER_LINK: u32 = 1 << 16;

/// The controller's counter. No id is ever given twice.
pub(crate) struct Ids {
    /// Everything below has been given.
    next: u32,
}

impl Ids {
    pub(crate) fn new() -> Ids {
        Ids { next: ContextId::CONTROLLER.0 + 1 }
    }

    /// So many ids, which follow each other.
    pub(crate) fn take(&mut self, count: u32) -> Result<IdBlock, RouterError> {
        let end = self.next.checked_add(count).ok_or(RouterError::IdsExhausted)?;
        let first = std::mem::replace(&mut self.next, end);
        Ok(IdBlock { first: ContextId(first), end: ContextId(end) })
    }
}

/// Who may announce what: the ids that were given to others, and to whom. The controller notes what it
/// gives, and those on the way to an owner what they are told of it.
#[derive(Default)]
pub(crate) struct Grants {
    /// The first id of a block, and whose it is. Blocks do not overlap.
    given: BTreeMap<u32, Block>,
}

struct Block {
    /// The id behind the last one.
    end: u32,
    /// The context that starts, or has started, contexts with these ids.
    owner: ContextId,
}

impl Block {
    fn is_single(&self, first: u32) -> bool {
        self.end == first + 1
    }
}

impl Grants {
    pub(crate) fn note(&mut self, block: IdBlock, owner: ContextId) {
        self.given.insert(block.first.0, Block { end: block.end.0, owner });
    }

    /// Who may announce this id; `None` when nobody may.
    pub(crate) fn owner(&self, id: ContextId) -> Option<ContextId> {
        let (_, block) = self.given.range(..=id.0).next_back()?;
        (id.0 < block.end).then_some(block.owner)
    }

    /// Contexts are gone: what they were given is nobody's. Says how many ids they were given alone.
    pub(crate) fn forget_owners(&mut self, gone: &BTreeSet<ContextId>) -> usize {
        let mut singles = 0;
        self.given.retain(|&first, block| {
            let stays = !gone.contains(&block.owner);
            singles += usize::from(!stays && block.is_single(first));
            stays
        });
        singles
    }

    /// Nobody may announce that id any more, if it was given alone; says whose it was.
    pub(crate) fn forget_single(&mut self, id: ContextId) -> Option<ContextId> {
        let owner = self.given.get(&id.0).filter(|block| block.is_single(id.0))?.owner;
        self.given.remove(&id.0);
        Some(owner)
    }
}
