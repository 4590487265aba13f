//! Who waits at which handle.

use crate::credit::Account;
use crate::receiver::Queue;
use mitogen_router::Closed;
use mitogen_wire::{ContextId, Handle, Message};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a waiting call is told.
#[derive(Debug)]
pub(crate) enum Reply {
    Message(Message),
    Closed(Closed),
}

pub(crate) enum Waiter {
    /// A call, or a connection, for its one answer.
    Answer(oneshot::Sender<Reply>),
    /// The answer to an attempt that nobody wants any more.
    Abandoned(ContextId),
    /// A receiver, for any number of messages.
    Queue(Queue),
    /// A sender, for what its receiver gives it leave to send.
    Credit(Arc<Account>),
    /// The file service: what has arrived of its bytes.
    Acks,
}

/// The waiters of one router.
#[derive(Default)]
pub(super) struct Waiters(HashMap<Handle, Waiter>);

impl Waiters {
    pub(super) fn insert(&mut self, handle: Handle, waiter: Waiter) {
        self.0.insert(handle, waiter);
    }

    pub(super) fn remove(&mut self, handle: Handle) -> Option<Waiter> {
        self.0.remove(&handle)
    }

    /// Who is to get a message: one who waits for many stays.
    pub(super) fn take(&mut self, handle: Handle) -> Option<Waiter> {
        match self.0.get(&handle)? {
            Waiter::Queue(queue) => Some(Waiter::Queue(queue.clone())),
            Waiter::Credit(account) => Some(Waiter::Credit(Arc::clone(account))),
            Waiter::Acks => Some(Waiter::Acks),
            Waiter::Answer(_) | Waiter::Abandoned(_) => self.0.remove(&handle),
        }
    }

    /// The answer that is waited for at this handle is not wanted any more, but its coming matters;
    /// says whether it is waited for.
    pub(super) fn abandon(&mut self, handle: Handle, id: ContextId) -> bool {
        match self.0.get_mut(&handle) {
            Some(waiter) => {
                *waiter = Waiter::Abandoned(id);
                true
            }
            None => false,
        }
    }
}
