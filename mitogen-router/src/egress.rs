//! Whom a neighbour has written to through us, to tell it when they are lost.

use mitogen_wire::ContextId;
use std::collections::BTreeSet;

/// How many are told apart. It bounds what a hostile neighbour can make us remember; one that has
/// written to more hears of every loss.
const LIMIT: usize = 1 << 16;

/// The contexts that one neighbour has written to.
pub(crate) enum Egress {
    Some(BTreeSet<ContextId>),
    /// Too many to list.
    All,
}

impl Egress {
    pub(crate) fn new() -> Egress {
        Egress::Some(BTreeSet::new())
    }

    pub(crate) fn insert(&mut self, id: ContextId) {
        if let Egress::Some(set) = self {
            if set.len() < LIMIT {
                set.insert(id);
            } else if !set.contains(&id) {
                *self = Egress::All;
            }
        }
    }

    /// Whether it was written to; forgets it.
    pub(crate) fn remove(&mut self, id: ContextId) -> bool {
        match self {
            Egress::Some(set) => set.remove(&id),
            Egress::All => true,
        }
    }

    /// The contexts, as far as they are told apart.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ContextId> + '_ {
        let listed = match self {
            Egress::Some(set) => Some(set),
            Egress::All => None,
        };
        listed.into_iter().flatten().copied()
    }
}
