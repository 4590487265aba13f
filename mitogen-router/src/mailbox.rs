//! Mailboxes: who receives what comes to a handle of this context.

use crate::RouterError;
use crate::admit::Admitted;
use crate::credit::CREDIT_HANDLES;
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
    /// The handles that have a respondent, so that a loss need not look at all others.
    awaiting: BTreeSet<(ContextId, Handle)>,
    /// Where the search for a free handle begins, and for a free handle for credit.
    next: Handle,
    next_credit: Handle,
}

impl Mailboxes {
    pub(crate) fn new() -> Mailboxes {
        Mailboxes {
            open: BTreeMap::new(),
            awaiting: BTreeSet::new(),
            next: Handle::FIRST_DYNAMIC,
            next_credit: CREDIT_HANDLES,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn open(&mut self, mailbox: Mailbox) -> Handle {
        // Handles only grow, so that a late answer finds nobody. After two thousand million of
        // them they start again, past those that are still open.
        let handle = self.first_free(self.next, DYNAMIC);
        self.next = following(handle, DYNAMIC);
        self.insert(handle, mailbox);
        handle
    }

    /// Opens a mailbox for the credit that one receiver gives.
    pub(crate) fn open_credit(&mut self, respondent: ContextId) -> Handle {
        let handle = self.first_free(self.next_credit, CREDIT);
        self.next_credit = following(handle, CREDIT);
        let lifetime = Lifetime::Persistent;
        self.insert(handle, Mailbox { lifetime, access: Access::Anyone, respondent: Some(respondent) });
        handle
    }

    pub(crate) fn open_at(&mut self, handle: Handle, mailbox: Mailbox) -> Result<(), RouterError> {
        if self.open.contains_key(&handle) {
            return Err(RouterError::HandleTaken { handle });
        }
        self.insert(handle, mailbox);
        Ok(())
    }

    pub(crate) fn close(&mut self, handle: Handle) -> bool {
        let Some(mailbox) = self.open.remove(&handle) else { return false };
        if let Some(respondent) = mailbox.respondent {
            self.awaiting.remove(&(respondent, handle));
        }
        true
    }

    pub(crate) fn close_all(&mut self) -> impl Iterator<Item = Handle> + use<> {
        self.awaiting.clear();
        std::mem::take(&mut self.open).into_keys()
    }

    /// Closes the mailboxes that wait for that context, and says which those were.
    pub(crate) fn close_waiting_for(&mut self, lost: ContextId) -> Vec<Handle> {
        let all = (lost, Handle(0))..=(lost, Handle(u32::MAX));
        let handles: Vec<_> = self.awaiting.range(all).map(|&(_, handle)| handle).collect();
        for &handle in &handles {
            self.close(handle);
        }
        handles
    }

    /// The contexts that mailboxes wait for.
    pub(crate) fn respondents(&self) -> BTreeSet<ContextId> {
        self.awaiting.iter().map(|&(respondent, _)| respondent).collect()
    }

    fn insert(&mut self, handle: Handle, mailbox: Mailbox) {
        if let Some(respondent) = mailbox.respondent {
            self.awaiting.insert((respondent, handle));
        }
        self.open.insert(handle, mailbox);
    }

    fn first_free(&self, mut handle: Handle, range: (u32, u32)) -> Handle {
        while self.open.contains_key(&handle) {
            handle = following(handle, range);
        }
        handle
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
            self.close(message.handle);
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

/// The handles that are given out: the first and the last of each kind.
const DYNAMIC: (u32, u32) = (Handle::FIRST_DYNAMIC.0, CREDIT_HANDLES.0 - 1);
const CREDIT: (u32, u32) = (CREDIT_HANDLES.0, u32::MAX);

fn following(handle: Handle, (first, last): (u32, u32)) -> Handle {
    Handle(if handle.0 < last { handle.0 + 1 } else { first })
}
