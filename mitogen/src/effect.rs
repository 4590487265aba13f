//! What is done after the lock is released: waking, logging, answering.

use crate::credit::Account;
use crate::events::Event;
use crate::hub::Reply;
use crate::modules::Ask;
use crate::receiver::Queue;
use crate::shared::Shared;
use crate::{plans, protocol_log, remote_log};
use mitogen_router::Rejection;
use mitogen_wire::{ContextId, Handle, Message};
use std::sync::Arc;
use tokio::sync::oneshot;

/// One thing to do without the lock, in the order in which they were noted.
pub(crate) enum Effect {
    Answer(oneshot::Sender<Reply>, Reply),
    Log(Arc<str>, Message),
    Rejected {
        name: Arc<str>,
        first: bool,
        src: ContextId,
        handle: Handle,
        why: Rejection,
    },
    Queue(Queue, Message),
    Credit(Arc<Account>, Reply),
    Plan(Message),
    /// What a receiver of a file says has arrived.
    Ack(Message),
    /// No file goes to this context any more.
    Gone(ContextId),
    Ask(Ask),
    Tell(Event),
    Sent(protocol_log::Sent),
}

impl Effect {
    pub(crate) fn run(self, shared: &Shared) {
        match self {
            // Fails when the caller has gone away: its answer is not wanted.
            Effect::Answer(waiter, reply) => drop(waiter.send(reply)),
            Effect::Queue(queue, message) => queue.push(shared, message),
            Effect::Credit(account, reply) => account.handle_reply(reply),
            Effect::Log(name, message) => remote_log::emit(&name, &message),
            Effect::Rejected { name, first, src, handle, why } => {
                remote_log::emit_rejection(&name, first, src, handle, &why);
            }
            Effect::Plan(message) => plans::answer(shared, &message),
            Effect::Ack(message) => shared.files().handle_ack(&message),
            Effect::Gone(context) => shared.files().handle_gone(context),
            Effect::Ask(ask) => shared.library.ask(shared, ask),
            Effect::Tell(event) => {
                protocol_log::event(&event);
                shared.events.tell(event);
            }
            Effect::Sent(sent) => sent.log(),
        }
    }
}
