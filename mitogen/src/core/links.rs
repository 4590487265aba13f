//! The links to neighbours: what is written to them, and how their tasks are ended.

use crate::link::{Stop, Wire};
use mitogen_transport::QueueWatch;
use mitogen_wire::{ContextId, Message};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// The links of one router, by the context at their far end.
#[derive(Default)]
pub(super) struct Links(BTreeMap<ContextId, Link>);

struct Link {
    wire: Wire,
    /// Ends the link's task; used once.
    stop: Option<oneshot::Sender<Stop>>,
    /// A neighbour's first offence is a warning; what follows is only for debugging.
    offended: bool,
}

impl Links {
    pub(super) fn insert(&mut self, id: ContextId, wire: Wire, stop: oneshot::Sender<Stop>) {
        self.0.insert(id, Link { wire, stop: Some(stop), offended: false });
    }

    /// Lets go of the writer: the far end sees the end of the stream.
    pub(super) fn remove(&mut self, id: ContextId) {
        self.0.remove(&id);
    }

    pub(super) fn transmit(&mut self, id: ContextId, message: &Message) {
        let Some(link) = self.0.get_mut(&id) else { return };
        if let Err(reason) = link.wire.send(message) {
            self.stop(id, Stop::Broken(reason));
        }
    }

    /// Sees the queue of a link.
    pub(super) fn queue(&self, id: ContextId) -> Option<QueueWatch> {
        self.0.get(&id).map(|link| link.wire.watch())
    }

    pub(super) fn stop(&mut self, id: ContextId, stop: Stop) {
        if let Some(sender) = self.0.get_mut(&id).and_then(|link| link.stop.take()) {
            // Fails when the task has ended by itself: then there is nothing to stop.
            let _ = sender.send(stop);
        }
    }

    pub(super) fn stop_all(&mut self, why: impl Fn() -> Stop) {
        for link in self.0.values_mut() {
            if let Some(sender) = link.stop.take() {
                let _ = sender.send(why());
            }
        }
    }

    /// A neighbour did what it may not do; says whether that was its first offence.
    pub(super) fn offend(&mut self, id: ContextId) -> bool {
        let offended = self.0.get_mut(&id).map(|link| &mut link.offended);
        offended.is_some_and(|offended| !std::mem::replace(offended, true))
    }
}
