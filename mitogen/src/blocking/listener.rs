//! A listener, for programs that wait.

use crate::engine::Engine;
use crate::{Client, ListenerEvent};
use mitogen_wire::ContextId;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The blocking form of [`crate::Listener`]. Clients are served in the background.
pub struct Listener {
    inner: crate::Listener,
    engine: Arc<Engine>,
}

impl Listener {
    pub(super) fn new(inner: crate::Listener, engine: &Arc<Engine>) -> Listener {
        Listener { inner, engine: Arc::clone(engine) }
    }

    /// See [`crate::Listener::path`].
    pub fn path(&self) -> &Path {
        self.inner.path()
    }

    /// See [`crate::Listener::events`].
    pub fn events(&self) -> ListenerEvents {
        ListenerEvents { inner: self.inner.events(), engine: Arc::clone(&self.engine) }
    }

    /// See [`crate::Listener::clients`].
    pub fn clients(&self) -> Vec<Client> {
        self.inner.clients()
    }

    /// See [`crate::Listener::disconnect`].
    pub fn disconnect(&self, id: ContextId) -> bool {
        self.inner.disconnect(id)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// The blocking form of [`crate::ListenerEvents`], an iterator.
#[derive(Debug)]
pub struct ListenerEvents {
    inner: crate::ListenerEvents,
    engine: Arc<Engine>,
}

impl ListenerEvents {
    /// The next event, if one comes in time; `Some(None)` when the listener is gone.
    pub fn next_within(&mut self, limit: Duration) -> Option<Option<ListenerEvent>> {
        let next = async { tokio::time::timeout(limit, self.inner.next()).await };
        self.engine.block_on(next).ok()
    }
}

impl Iterator for ListenerEvents {
    type Item = ListenerEvent;

    fn next(&mut self) -> Option<ListenerEvent> {
        self.engine.block_on(self.inner.next())
    }
}
