//! Which services there are.

use super::{Handler, Policy, Request};
use crate::error::Error;
use crate::sender::Address;
use crate::shared::Shared;
use mitogen_wire::body::CallService;
use mitogen_wire::{ContextId, Handle};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A service, as requests find it.
pub(crate) struct Entry {
    pub(super) policy: Policy,
    pub(super) handler: Handler<Request>,
}

/// The services of one router, by their names.
#[derive(Default)]
pub(crate) struct Registry(Mutex<State>);

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Arc<Entry>>,
    /// Whether somebody receives requests.
    running: bool,
}

impl Registry {
    pub(super) fn add(shared: &Arc<Shared>, name: String, entry: Arc<Entry>) -> Result<Service, Error> {
        let mut state = shared.services.state();
        if state.entries.contains_key(&name) {
            return Err(Error::NameTaken { name });
        }
        state.entries.insert(name.clone(), entry);
        Ok(Service { shared: Arc::downgrade(shared), what: What::Named(name), keep: false })
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.state().entries.get(name).cloned()
    }

    /// Says, once, that somebody must begin to receive requests.
    pub(super) fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().running, true)
    }

    /// Nobody receives requests any more.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.running = false;
        // Handlers may hold handles of the router, which would hold them.
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        drop(entries);
    }

    fn remove(&self, name: &str) {
        let entry = self.state().entries.remove(name);
        drop(entry);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service or a handler that is being offered. Dropping it ends that; requests under way are finished.
#[must_use = "the service ends when this is dropped; `keep` lets it be"]
pub struct Service {
    shared: Weak<Shared>,
    what: What,
    keep: bool,
}

enum What {
    Named(String),
    At(Handle),
}

impl Service {
    pub(super) fn at(shared: &Arc<Shared>, handle: Handle) -> Service {
        Service { shared: Arc::downgrade(shared), what: What::At(handle), keep: false }
    }

    /// Where it listens. It can be an argument of a call: Python sees a `mitogen.core.Sender`.
    pub fn address(&self) -> Address {
        let handle = match self.what {
            What::Named(_) => CallService::HANDLE,
            What::At(handle) => handle,
        };
        Address { context: ContextId::CONTROLLER, handle }
    }

    /// Offers it for as long as the router lives.
    pub fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade().filter(|_| !self.keep) else { return };
        match &self.what {
            What::Named(name) => shared.services.remove(name),
            What::At(handle) => shared.forget(*handle),
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: &dyn fmt::Debug = match &self.what {
            What::Named(name) => name,
            What::At(handle) => handle,
        };
        f.debug_struct("Service").field("at", name).finish_non_exhaustive()
    }
}
