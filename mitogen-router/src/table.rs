//! Which neighbour leads to which context.

use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet};

/// The routes of one context: `destination -> neighbour`.
///
/// A context that is not the controller sends what it has no route for to its parent.
pub(crate) struct Table {
    own: ContextId,
    /// Nearest first, the controller last; empty in the controller.
    parents: Vec<ContextId>,
    /// Invariant: holds every neighbour, leading to itself, and never `own`.
    routes: BTreeMap<ContextId, ContextId>,
}

impl Table {
    pub(crate) fn new(own: ContextId, parents: Vec<ContextId>) -> Table {
        debug_assert!(!parents.contains(&own), "a context is not its own ancestor");
        Table { own, parents, routes: BTreeMap::new() }
    }

    pub(crate) fn own(&self) -> ContextId {
        self.own
    }

    /// The link to the parent; the controller has none.
    pub(crate) fn parent(&self) -> Option<ContextId> {
        self.parents.first().copied()
    }

    pub(crate) fn is_parent_or_self(&self, id: ContextId) -> bool {
        id == self.own || self.parents.contains(&id)
    }

    pub(crate) fn is_ancestor(&self, id: ContextId) -> bool {
        self.parents.contains(&id)
    }

    /// The neighbour that is known to lead to `id`.
    pub(crate) fn known(&self, id: ContextId) -> Option<ContextId> {
        self.routes.get(&id).copied()
    }

    /// The neighbour that messages for `id` go to: the known one, else the parent.
    pub(crate) fn towards(&self, id: ContextId) -> Option<ContextId> {
        self.known(id).or(self.parent())
    }

    pub(crate) fn insert(&mut self, id: ContextId, via: ContextId) {
        debug_assert_ne!(id, self.own, "no route leads home");
        self.routes.insert(id, via);
    }

    pub(crate) fn remove(&mut self, id: ContextId) {
        self.routes.remove(&id);
    }

    /// The way up is gone: nobody has authority here any more but this context.
    pub(crate) fn orphan(&mut self) {
        self.parents.clear();
    }

    /// Forgets everything behind a neighbour, itself included, and says what that was.
    pub(crate) fn remove_behind(&mut self, via: ContextId) -> BTreeSet<ContextId> {
        let lost: BTreeSet<_> =
            self.routes.iter().filter(|&(_, &through)| through == via).map(|(&id, _)| id).collect();
        self.routes.retain(|_, through| *through != via);
        lost
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ContextId, ContextId)> + '_ {
        self.routes.iter().map(|(&id, &via)| (id, via))
    }
}
