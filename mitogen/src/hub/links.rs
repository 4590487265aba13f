//! The links to neighbours: what is written to them, and how their tasks are ended.

use crate::link::{Stop, Wire};
use crate::stats::LinkStats;
use mitogen_transport::QueueWatch;
use mitogen_wire::{ContextId, MAC_LEN, Message};
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
    stats: LinkStats,
    /// The bytes of a frame that are not its payload.
    overhead: u64,
}

/// The bytes of a wide head.
const HEAD: usize = 26;

impl Links {
    pub(super) fn insert(&mut self, id: ContextId, wire: Wire, stop: oneshot::Sender<Stop>, signed: bool) {
        let overhead = (HEAD + if signed { MAC_LEN } else { 0 }) as u64;
        let stats = LinkStats::default();
        self.0.insert(id, Link { wire, stop: Some(stop), offended: false, stats, overhead });
    }

    /// Lets go of the writer: the far end sees the end of the stream.
    pub(super) fn remove(&mut self, id: ContextId) {
        self.0.remove(&id);
    }

    pub(super) fn transmit(&mut self, id: ContextId, message: &Message) {
        let Some(link) = self.0.get_mut(&id) else { return };
        link.stats.messages_sent += 1;
        link.stats.bytes_sent += link.overhead + message.payload.len() as u64;
        if let Err(reason) = link.wire.send(message) {
            self.stop(id, Stop::Broken(reason));
        }
    }

    /// Sees the queue of a link.
    pub(super) fn queue(&self, id: ContextId) -> Option<QueueWatch> {
        self.0.get(&id).map(|link| link.wire.watch())
    }

    /// A message came by a link.
    pub(super) fn note_received(&mut self, id: ContextId, message: &Message) {
        if let Some(link) = self.0.get_mut(&id) {
            link.stats.messages_received += 1;
            link.stats.bytes_received += link.overhead + message.payload.len() as u64;
        }
    }

    pub(super) fn stats(&self, id: ContextId) -> Option<LinkStats> {
        self.0.get(&id).map(|link| link.stats)
    }

    pub(super) fn stats_mut(&mut self, id: ContextId) -> Option<&mut LinkStats> {
        self.0.get_mut(&id).map(|link| &mut link.stats)
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
