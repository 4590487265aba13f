//! Ids for contexts that are to come: who is given them, and who hears of it.
//!
//! ```text
//!  controller:  the id ──> its owner            and before that, a link at a time:
//!               (in a plan, or as a block)      controller ──GRANT──> ... ──GRANT──> the owner's parent
//! ```
//!
//! Whoever knows the owner believes an announcement of the id only from the link that leads there.

use crate::RouterError;
use crate::admit::Admitted;
use crate::ids::{BLOCK_LEN, BLOCKS_PER_LINK};
use crate::output::Rejection;
use crate::router::Router;
use mitogen_wire::body::{AllocateId, Dead, Grant, IdBlock};
use mitogen_wire::{ContextId, Message};

/// How many contexts behind one link may be on their way into the world.
const BIRTHS_PER_LINK: usize = 1 << 16;

impl Router {
    /// An id for a context that another one, the owner, is told to start: only from there can it be
    /// announced.
    ///
    /// # Errors
    /// As [`Router::allocate_id`]; [`RouterError::TooManyBirths`] when contexts behind the owner's
    /// link were told to start very many others that have not come.
    pub fn allocate_id_for(&mut self, owner: ContextId) -> Result<ContextId, RouterError> {
        let ids = self.ids.as_mut().ok_or(RouterError::NotController)?;
        let link = self.table.known(owner).and_then(|link| self.links.get_mut(&link));
        let Some(link) = link.filter(|link| link.births < BIRTHS_PER_LINK) else {
            return Err(RouterError::TooManyBirths { owner, limit: BIRTHS_PER_LINK });
        };
        let block = ids.take(1)?;
        link.births += 1;
        self.grant(block, owner);
        Ok(block.first)
    }

    /// The context with this id, from [`Router::allocate_id_for`], will not come.
    pub fn release_id(&mut self, id: ContextId) {
        if let Some(owner) = self.end_birth(id) {
            let block = IdBlock { first: id, end: ContextId(id.0 + 1) };
            self.tell_of_grant(block, owner, ContextId::CONTROLLER);
        }
    }

    /// An id for a context that this controller starts itself, and tells of with
    /// [`Router::handle_link_up`]. Nobody can announce it.
    ///
    /// # Errors
    /// [`RouterError::IdsExhausted`]; [`RouterError::NotController`] in any other context, which
    /// asks the controller with [`AllocateId`](mitogen_wire::body::AllocateId).
    pub fn allocate_id(&mut self) -> Result<ContextId, RouterError> {
        Ok(self.ids.as_mut().ok_or(RouterError::NotController)?.take(1)?.first)
    }

    pub(crate) fn serve_ids(&mut self, link: ContextId, admitted: &Admitted) -> Result<(), Rejection> {
        AllocateId::decode(admitted.message())?;
        let owner = admitted.message().src;
        let blocks = self.links.get_mut(&link).map(|link| &mut link.blocks);
        let below_limit = blocks.is_some_and(|blocks| {
            *blocks = blocks.saturating_add(1);
            *blocks <= BLOCKS_PER_LINK
        });
        let ids = self.ids.as_mut().filter(|_| below_limit);
        let block = ids.and_then(|ids| ids.take(BLOCK_LEN).ok());
        match block.and_then(|block| Some((block, block.encode().ok()?))) {
            Some((block, body)) => {
                self.grant(block, owner);
                self.reply(admitted.message(), body);
                Ok(())
            }
            None => {
                self.bounce(admitted, Dead::Other("no context ids are left".to_owned()));
                Err(Rejection::TooManyIds)
            }
        }
    }

    /// Whether the id was given to somebody behind that link.
    pub(crate) fn may_announce(&self, link: ContextId, id: ContextId) -> bool {
        self.grants.owner(id).is_some_and(|owner| self.table.known(owner) == Some(link))
    }

    /// Ids are given to a context: it and all on the way to it know that before it can announce one.
    fn grant(&mut self, block: IdBlock, owner: ContextId) {
        self.grants.note(block, owner);
        self.tell_of_grant(block, owner, owner);
    }

    /// Tells the next one on the way to `whose` who the owner is now, unless it is `whose` itself.
    fn tell_of_grant(&mut self, block: IdBlock, whose: ContextId, owner: ContextId) {
        if let Some(link) = self.table.known(whose).filter(|&link| link != whose) {
            let grant = Grant { first: block.first, end: block.end, owner };
            self.send(link, Grant::HANDLE, grant.encode());
        }
    }

    /// A context that another one was told to start has come, or will not; says who was told.
    pub(crate) fn end_birth(&mut self, id: ContextId) -> Option<ContextId> {
        let owner = self.grants.forget_single(id)?;
        let link = self.table.known(owner).and_then(|link| self.links.get_mut(&link));
        if let Some(link) = link {
            link.births = link.births.saturating_sub(1);
        }
        Some(owner)
    }

    pub(crate) fn serve_grant(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        if Some(link) != self.table.parent() {
            return Err(Rejection::Forbidden);
        }
        let Grant { first, end, owner } = Grant::decode(message)?;
        if owner == ContextId::CONTROLLER {
            self.release_id(first);
        } else if self.table.known(owner).is_some_and(|way| way != link) {
            self.grant(IdBlock { first, end }, owner);
        }
        Ok(())
    }
}
