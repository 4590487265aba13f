//! How a slow reader slows its senders down: both sides' accounts, by the rules of
//! [`mitogen_router::credit`].
//!
//! ```text
//!  Sender ──message, reply_to: credit handle──> Queue ──> Receiver::next
//!    └ Account <────────── credit:TOTAL ─────── Ledger <────┘ taken
//! ```

use crate::error::{ContextLabel, Error};
use crate::hub::Reply;
use crate::shared::Shared;
use mitogen_router::Closed;
use mitogen_router::credit::{Allowance, Consumption, Credit, Leave, PATIENCE_SECONDS, credit_handle};
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Handle, Message};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How many senders of one receiver are given credit. Those beyond are bounded by their links alone.
const SENDERS: usize = 4096;

/// What a sender, with all its clones, may still send.
#[derive(Default)]
pub(crate) struct Account {
    /// Where credit comes; opened with the first message.
    handle: OnceLock<Handle>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    allowance: Allowance,
    /// Why nothing can be sent any more.
    closed: Option<Closed>,
}

impl Account {
    /// Where credit comes, `open`ed if that was not done before. Under the hub's lock only.
    pub(crate) fn handle(&self, open: impl FnOnce() -> Handle) -> Handle {
        *self.handle.get_or_init(open)
    }

    /// Where credit comes, if anything was sent.
    pub(crate) fn opened(&self) -> Option<Handle> {
        self.handle.get().copied()
    }

    /// Takes what a message of so many bytes costs, if it may go now.
    pub(crate) fn try_charge(&self, bytes: usize) -> Result<bool, Closed> {
        let mut state = self.state();
        if let Some(closed) = &state.closed {
            return Err(closed.clone());
        }
        let goes = state.allowance.leave() == Leave::Send;
        if goes {
            state.allowance.sent(bytes);
        }
        Ok(goes)
    }

    /// As [`Account::try_charge`], waiting until it may go. Cancel-safe: nothing is taken before.
    pub(crate) async fn charge(&self, bytes: usize) -> Result<(), Closed> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.try_charge(bytes)? {
                return Ok(());
            }
            let leave = self.state().allowance.leave();
            match leave {
                Leave::Send => {}
                Leave::Wait { limited: false } => changed.await,
                Leave::Wait { limited: true } => {
                    let patience = Duration::from_secs(PATIENCE_SECONDS);
                    if tokio::time::timeout(patience, changed).await.is_err() {
                        self.state().allowance.give_up();
                        self.changed.notify_waiters();
                    }
                }
            }
        }
    }

    /// Takes what came to the credit handle.
    pub(crate) fn handle_reply(&self, reply: Reply) {
        {
            let mut state = self.state();
            match reply {
                Reply::Closed(closed) => state.closed = Some(closed),
                Reply::Message(message) => match (Dead::from_message(&message), Credit::decode(&message)) {
                    (Some(reason), _) => state.closed = Some(Closed::Dead { from: message.src, reason }),
                    (None, Some(credit)) => state.allowance.handle_credit(credit),
                    (None, None) => return,
                },
            }
        }
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why nothing more can be sent to a context's receiver.
pub(crate) fn closed_error(shared: &Shared, context: ContextId, closed: Closed) -> Error {
    match closed {
        Closed::RouterClosed => Error::Closed,
        Closed::Dead { reason, .. } if !matches!(reason, Dead::RespondentGone | Dead::NoRoute { .. }) => {
            Error::ChannelClosed { context: label(shared, context), reason }
        }
        _ => shared.lost_error(context),
    }
}

/// A context as errors show it.
pub(crate) fn label(shared: &Shared, id: ContextId) -> ContextLabel {
    let unknown = || ContextLabel { id, name: Arc::from(id.to_string()) };
    shared.info(id).map_or_else(unknown, |info| info.label())
}

/// What a receiver's user has taken from each sender.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Senders>);

#[derive(Default)]
struct Senders {
    /// Invariant: at most [`SENDERS`].
    known: BTreeMap<(ContextId, Handle), Consumption>,
    /// How many messages of others have come since they were last sifted.
    others: usize,
}

impl Ledger {
    /// A message has come; says what its sender is to be told at once.
    pub(crate) fn arrive(&self, shared: &Shared, message: &Message) -> Option<Credit> {
        let sender = (message.src, credit_handle(message)?);
        let mut senders = self.senders();
        if senders.known.contains_key(&sender) {
            return None;
        }
        if senders.known.len() >= SENDERS {
            // Now and then it is worth a look which of them are no more.
            if senders.others == 0 {
                let lives = |id: ContextId| id == ContextId::CONTROLLER || shared.info(id).is_some();
                senders.known.retain(|(id, _), _| lives(*id));
            }
            senders.others = (senders.others + 1) % SENDERS;
        }
        if senders.known.len() >= SENDERS {
            return None;
        }
        let (consumption, credit) = Consumption::begin();
        senders.known.insert(sender, consumption);
        Some(credit)
    }

    /// A message was taken by the user; says what its sender is to be told.
    pub(crate) fn take(&self, message: &Message) -> Option<Credit> {
        let sender = (message.src, credit_handle(message)?);
        self.senders().known.get_mut(&sender)?.take(message.payload.len())
    }

    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the sender of a message what was taken.
pub(crate) fn tell(shared: &Shared, message: &Message, credit: Option<Credit>) {
    if let (Some(handle), Some(credit)) = (credit_handle(message), credit) {
        // When it is gone it needs no credit.
        let _ = shared.send(message.src, handle, credit.encode());
    }
}
