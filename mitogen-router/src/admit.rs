//! Source verification: who a message may claim to be from (protocol.md section 5.2).
//!
//! There is no signature of a context on a message; trust comes from the link that it arrived by.
//! Only what passed here, or began here, can be delivered or forwarded: both acts demand an
//! [`Admitted`], and nobody else can make one.

use crate::output::Rejection;
use crate::table::Table;
use mitogen_wire::{ContextId, Message};

/// A message whose origin is established.
pub(crate) struct Admitted {
    message: Message,
    /// The link that it came by; `None` when it began here.
    arrival: Option<ContextId>,
}

impl Admitted {
    /// Checks a message that came by `link`. On a stamped link (a client's, on a listener) what the
    /// neighbour itself says has the authority of the stamp. What is behind it has its own, whatever
    /// the neighbour may do: it can be on a machine that nobody trusts.
    pub(crate) fn check(
        table: &Table,
        link: ContextId,
        stamp: Option<ContextId>,
        mut message: Message,
    ) -> Result<Admitted, (Message, Rejection)> {
        if table.towards(message.auth) != Some(link) {
            let auth = message.auth;
            return Err((message, Rejection::BadAuth { auth }));
        }
        if message.src != message.auth && table.towards(message.src) != Some(link) {
            return Err((message, Rejection::BadSource));
        }
        if let Some(stamp) = stamp
            && message.auth == link
        {
            message.auth = stamp;
        }
        Ok(Admitted { message, arrival: Some(link) })
    }

    /// A message of this context's own making.
    pub(crate) fn own(table: &Table, message: Message) -> Admitted {
        debug_assert_eq!(message.src, table.own(), "own messages bear the own id");
        Admitted { message, arrival: None }
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn arrival(&self) -> Option<ContextId> {
        self.arrival
    }

    pub(crate) fn cut_payload(&mut self, length: usize) {
        self.message.payload.truncate(length);
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }
}
