//! The handles that are the router's own: what neighbours say of routes, ids and themselves, and who
//! hears of it.
//!
//! ```text
//!            ADD_ROUTE                    DEL_ROUTE
//!     parent <───┐                 parent <───┬───> other children that wrote there
//!                us                           us
//!     child  ────┘                 child  ────┘ (or the loss of its link)
//! ```

use crate::admit::Admitted;
use crate::output::{Closed, Output, Rejection};
use crate::router::Router;
use mitogen_wire::body::{AddRoute, AllocateId, Dead, DelRoute, Grant};
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
