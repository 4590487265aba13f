//! Mailboxes: who receives what comes to a handle of this context.

use crate::RouterError;
use crate::admit::Admitted;
use crate::table::Table;
use mitogen_wire::{ContextId, Handle};
use std::collections::{BTreeMap, BTreeSet};

/// How many messages a mailbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// One: the first that is let in, dead or living, closes it.
    Once,
    /// Any number, until it is closed; a dead message is delivered like others.
    Persistent,
}

/// Who may write to a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever can reach it.
    Anyone,
    /// Messages on the authority of this context or of an ancestor.
    FromParentsOrSelf,
    /// Contexts that are neighbours of this one, on their own behalf.
    Neighbours,
    /// Neighbours that this context started.
    ImmediateChildren,
}

/// What is said about a mailbox when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// How many messages it is for.
    pub lifetime: Lifetime,
    /// Who may write to it.
    pub access: Access,
    /// The one context whose messages are awaited. When that context is lost, so is the mailbox.
    pub respondent: Option<ContextId>,
}

impl Mailbox {
    /// For the answer of one context.
    pub const fn reply_from(respondent: ContextId) -> Mailbox {
        Mailbox { lifetime: Lifetime::Once, access: Access::Anyone, respondent: Some(respondent) }
    }

    /// For any number of messages from those who have access.
    pub const fn open_to(access: Access) -> Mailbox {
        Mailbox { lifetime: Lifetime::Persistent, access, respondent: None }
    }
}

/// What a mailbox makes of a message.
pub(crate) enum Verdict {
    /// Nobody has that handle.
    Unknown,
    /// The access rule says no.
    Forbidden,
    /// It is for another context's messages.
    Unexpected,
    /// A dead message that did not come by the way to the respondent.
    ForeignDead,
    /// It is let in.
    Accepted {
        /// The mailbox was for this one message.
        closes: bool,
    },
}

/// The open mailboxes of a context.
pub(crate) struct Mailboxes {
    open: BTreeMap<Handle, Mailbox>,
    /// Where the search for a free handle begins.
    next: Handle,
}

impl Mailboxes {
    pub(crate) fn new() -> Mailboxes {
        Mailboxes { open: BTreeMap::new(), next: Handle::FIRST_DYNAMIC }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn open(&mut self, mailbox: Mailbox) -> Handle {
        // Handles only grow, so that a late answer finds nobody. After four thousand million of
        // them they start again, past those that are still open.
        let mut handle = self.next;
        while self.open.contains_key(&handle) {
            handle = following(handle);
        }
        self.next = following(handle);
        self.open.insert(handle, mailbox);
        handle
    }

    pub(crate) fn open_at(&mut self, handle: Handle, mailbox: Mailbox) -> Result<(), RouterError> {
        if self.open.contains_key(&handle) {
            return Err(RouterError::HandleTaken { handle });
        }
        self.open.insert(handle, mailbox);
        Ok(())
    }

    pub(crate) fn close(&mut self, handle: Handle) -> bool {
        self.open.remove(&handle).is_some()
    }

    pub(crate) fn close_all(&mut self) -> impl Iterator<Item = Handle> + use<> {
        std::mem::take(&mut self.open).into_keys()
    }

    /// Closes the mailboxes that wait for any of `lost`, and says which those were.
    pub(crate) fn close_waiting_for(&mut self, lost: &BTreeSet<ContextId>) -> Vec<(Handle, ContextId)> {
        let waiting: Vec<_> = self
            .open
            .iter()
            .filter_map(|(&handle, mailbox)| Some((handle, mailbox.respondent?)))
            .filter(|(_, respondent)| lost.contains(respondent))
            .collect();
        for (handle, _) in &waiting {
            self.open.remove(handle);
        }
        waiting
    }

    /// Holds a message against the rules of its mailbox, and closes that if this was its last.
    pub(crate) fn judge(&mut self, table: &Table, admitted: &Admitted) -> Verdict {
        let message = admitted.message();
        let Some(mailbox) = self.open.get(&message.handle) else {
            return Verdict::Unknown;
        };
        if let Some(respondent) = mailbox.respondent {
            if message.is_dead() {
                // Any router on the way to the respondent may say that the way is closed; and the
                // parent may, because the way may have led through it when the request was sent.
                let trusted = [None, table.towards(respondent), table.parent()];
                if !trusted.contains(&admitted.arrival()) {
                    return Verdict::ForeignDead;
                }
            } else if message.src != respondent {
                return Verdict::Unexpected;
            }
        }
        if !mailbox.access.allows(table, admitted) {
            return Verdict::Forbidden;
        }
        let closes = mailbox.lifetime == Lifetime::Once;
        if closes {
            self.open.remove(&message.handle);
        }
        Verdict::Accepted { closes }
    }
}

impl Access {
    fn allows(self, table: &Table, admitted: &Admitted) -> bool {
        let message = admitted.message();
        let neighbour = admitted.arrival() == Some(message.src);
        match self {
            Access::Anyone => true,
            Access::FromParentsOrSelf => table.is_parent_or_self(message.auth),
            Access::Neighbours => neighbour,
            Access::ImmediateChildren => neighbour && table.parent() != admitted.arrival(),
        }
    }
}

fn following(handle: Handle) -> Handle {
    Handle(handle.0.checked_add(1).unwrap_or(Handle::FIRST_DYNAMIC.0))
}
