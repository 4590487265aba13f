//! The handles that are the router's own: what neighbours say of routes, ids and themselves, and who
//! hears of it.
//!
//! ```text
//!            ADD_ROUTE                    DEL_ROUTE                                  GRANT
//!     parent <───┐                 parent <───┬───> other children that wrote there  ───┐ parent
//!                us                           us                                        us
//!     child  ────┘                 child  ────┘ (or the loss of its link)            <──┘ child, unless it is the owner
//! ```

use crate::admit::Admitted;
use crate::ids::{BLOCK_LEN, BLOCKS_PER_LINK};
use crate::output::{Closed, Output, Rejection};
use crate::router::Router;
use mitogen_wire::body::{AddRoute, AllocateId, Dead, DelRoute, Grant, IdBlock};
use mitogen_wire::pickle::{self, MAX_CONTEXT_NAME_CHARS};
use mitogen_wire::{ContextId, Encoding, Handle, Message, Value};
use std::collections::BTreeSet;

/// How many contexts one link may lead to.
const ROUTES_PER_LINK: usize = 1 << 16;

impl Router {
    pub(crate) fn serves(&self, handle: Handle) -> bool {
        match handle {
            AddRoute::HANDLE | DelRoute::HANDLE | Grant::HANDLE | Handle::DETACHING => true,
            AllocateId::HANDLE => self.ids.is_some(),
            _ => false,
        }
    }

    pub(crate) fn serve(&mut self, admitted: &Admitted) {
        let message = admitted.message();
        let Some(link) = admitted.arrival() else {
            // Nobody announces routes to oneself, and our user has `allocate_id`.
            return self.bounce(admitted, Dead::RefusedByPolicy);
        };
        let result = match message.handle {
            AllocateId::HANDLE => self.serve_ids(link, admitted),
            _ if link != message.src => {
                self.bounce(admitted, Dead::RefusedByPolicy);
                Err(Rejection::Forbidden)
            }
            AddRoute::HANDLE => self.serve_add_route(link, message),
            DelRoute::HANDLE => self.serve_del_route(link, message),
            Grant::HANDLE => self.serve_grant(link, message),
            _ => self.serve_detaching(link, message),
        };
        if let Err(why) = result {
            self.reject(link, message, why);
        }
    }

    fn serve_ids(&mut self, link: ContextId, admitted: &Admitted) -> Result<(), Rejection> {
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

    fn serve_add_route(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        let AddRoute { id, name } = AddRoute::decode(message)?;
        if Some(link) == self.table.parent()
            || self.table.known(id).is_some()
            || self.table.is_parent_or_self(id)
            || !self.may_announce(link, id)
        {
            return Err(Rejection::ForeignRoute { context: id });
        }
        let routes = self.links.get(&link).map_or(0, |link| link.routes);
        if routes >= ROUTES_PER_LINK {
            return Err(Rejection::TooManyRoutes { context: id, limit: ROUTES_PER_LINK });
        }
        self.end_birth(id);
        // Names go on: into logs, and into other contexts' pickles, which refuse longer ones.
        let name = name.map(|name| name.chars().take(MAX_CONTEXT_NAME_CHARS).collect());
        self.add_route(id, link, name);
        Ok(())
    }

    /// Whether the id was given to somebody behind that link.
    fn may_announce(&self, link: ContextId, id: ContextId) -> bool {
        self.grants.owner(id).is_some_and(|owner| self.table.known(owner) == Some(link))
    }

    /// Ids are given to a context: it and all on the way to it know that before it can announce one.
    pub(crate) fn grant(&mut self, block: IdBlock, owner: ContextId) {
        self.grants.note(block, owner);
        self.tell_of_grant(block, owner, owner);
    }

    /// Tells the next one on the way to `whose` who the owner is now, unless it is `whose` itself.
    pub(crate) fn tell_of_grant(&mut self, block: IdBlock, whose: ContextId, owner: ContextId) {
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

    fn serve_grant(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
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

    fn serve_del_route(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        let DelRoute { id } = DelRoute::decode(message)?;
        let parent = self.table.parent();
        // A neighbour's own end is its link's end, not something that it says. The parent speaks
        // of contexts that have no entry here: everything unknown is behind it.
        let its_own = self.table.known(id) == Some(link) && id != link;
        let above = Some(link) == parent && self.table.known(id).is_none() && id != self.table.own();
        if !its_own && !above {
            return Err(Rejection::UnknownRoute { context: id });
        }
        self.table.remove(id);
        self.lose(link, &BTreeSet::from([id]));
        Ok(())
    }

    fn serve_detaching(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        if Some(link) == self.table.parent() || message.is_dead() {
            return Err(Rejection::Forbidden);
        }
        if !message.payload.is_empty() {
            return self.serve_detaching_below(link, message);
        }
        let first =
            self.links.get_mut(&link).is_some_and(|link| !std::mem::replace(&mut link.detached, true));
        if !first {
            return Err(Rejection::DetachedTwice);
        }
        self.tell_of_detaching(link);
        if let Ok(nothing) = pickle::write(&Value::None) {
            self.reply(message, (Encoding::Pickle, nothing));
        }
        Ok(())
    }

    /// A neighbour passes on that a context behind it will live on.
    fn serve_detaching_below(&mut self, link: ContextId, message: &Message) -> Result<(), Rejection> {
        let DelRoute { id } = DelRoute::decode(message)?;
        if self.table.known(id) != Some(link) || id == link {
            return Err(Rejection::UnknownRoute { context: id });
        }
        self.tell_of_detaching(id);
        Ok(())
    }

    /// All above want to know that what will be lost was not.
    fn tell_of_detaching(&mut self, id: ContextId) {
        if let Some(parent) = self.table.parent() {
            self.send(parent, Handle::DETACHING, DelRoute { id }.encode());
        }
        self.outputs.push_back(Output::Detaching { context: id });
    }

    pub(crate) fn add_route(&mut self, id: ContextId, via: ContextId, name: Option<String>) {
        self.table.insert(id, via);
        if let Some(link) = self.links.get_mut(&via) {
            link.routes += 1;
        }
        if let Some(parent) = self.table.parent()
            && via != parent
        {
            self.send(parent, AddRoute::HANDLE, AddRoute { id, name: name.clone() }.encode());
        }
        self.outputs.push_back(Output::RouteAdded { context: id, via, name });
    }

    /// Contexts behind `via` are gone, and no longer in the table: says so upward, to every child
    /// that wrote to them, and to whoever waits for them here; never back to where it came from.
    pub(crate) fn lose(&mut self, via: ContextId, lost: &BTreeSet<ContextId>) {
        let parent = self.table.parent();
        let births = self.grants.forget_owners(lost);
        if let Some(link) = self.links.get_mut(&via) {
            link.routes = link.routes.saturating_sub(lost.len());
            link.births = link.births.saturating_sub(births);
        }
        for &id in lost {
            let mut hear: Vec<ContextId> = Vec::new();
            for (&link, state) in &mut self.links {
                let wrote = state.egress.remove(id);
                if link != via && (Some(link) == parent || wrote) {
                    hear.push(link);
                }
            }
            for link in hear {
                self.send(link, DelRoute::HANDLE, DelRoute { id }.encode());
            }
            self.outputs.push_back(Output::RouteLost { context: id, via });
            for handle in self.mailboxes.close_waiting_for(id) {
                let reason = Closed::RespondentGone { context: id, via };
                self.outputs.push_back(Output::Closed { handle, reason });
            }
        }
    }

    /// The way up is gone, and with it all that is not below: who waits for it, here or in a child,
    /// is told, and this context is the root of what remains.
    pub(crate) fn lose_parent(&mut self, parent: ContextId) {
        self.table.orphan();
        let mut lost = self.mailboxes.respondents();
        for link in self.links.values() {
            lost.extend(link.egress.iter());
        }
        lost.retain(|&id| id != self.table.own() && self.table.known(id).is_none());
        lost.insert(parent);
        self.lose(parent, &lost);
    }
}
