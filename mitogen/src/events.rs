//! What happens to the tree, told to whoever wants to know.

use crate::error::{ContextLabel, LostReason};
use mitogen_wire::ContextId;
use tokio::sync::broadcast;

/// How many events wait for a listener that is slow.
const WAITING: usize = 1024;

/// Something that happened to the tree.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A context can be called.
    Connected {
        /// Which one.
        context: ContextLabel,
        /// Who started it: a context, or the controller.
        parent: ContextId,
    },
    /// A context is gone, whether or not that was asked for.
    Lost {
        /// Which one.
        context: ContextLabel,
        /// Why, as far as that is known.
        reason: LostReason,
    },
    /// Messages for a context now have a way.
    RouteAdded {
        /// The context.
        context: ContextId,
        /// The neighbour of the controller that leads to it; itself for a neighbour.
        via: ContextId,
    },
    /// Messages for a context have no way any more.
    RouteRemoved {
        /// The context.
        context: ContextId,
        /// The neighbour that led to it.
        via: ContextId,
    },
    /// This listener was too slow: so many events passed it by.
    Missed(u64),
}

/// A stream of [`Event`]s, from [`Router::events`](crate::Router::events).
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// The next event, in the order in which they happened; `None` when the router is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Where events come from.
pub(crate) struct Source(broadcast::Sender<Event>);

impl Source {
    pub(crate) fn new() -> Source {
        Source(broadcast::Sender::new(WAITING))
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }

    pub(crate) fn tell(&self, event: Event) {
        // Fails when nobody listens.
        let _ = self.0.send(event);
    }
}
