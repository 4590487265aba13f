//! Which contexts are connected, and which ones others are about to start.

use crate::info::ContextInfo;
use mitogen_wire::ContextId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The contexts of one router.
#[derive(Default)]
pub(super) struct Contexts {
    connected: BTreeMap<ContextId, Arc<ContextInfo>>,
    /// Programs on a listener: neighbours, but no contexts of ours.
    clients: BTreeMap<ContextId, Client>,
    /// Until their routes are announced or the attempts end.
    expected: BTreeMap<ContextId, Expected>,
}

/// A context that another one is to start.
struct Expected {
    info: Arc<ContextInfo>,
    /// It is shut down as soon as it is born.
    unwanted: bool,
}

/// A program on a listener.
struct Client {
    info: Arc<ContextInfo>,
    /// Whether it is sent the contexts' log records.
    logs: bool,
}

/// A context whose route has just appeared.
pub(super) struct Known {
    pub(super) info: Arc<ContextInfo>,
    /// Nobody waits for it any more.
    pub(super) unwanted: bool,
}

impl Contexts {
    pub(super) fn get(&self, id: ContextId) -> Option<&Arc<ContextInfo>> {
        self.connected.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<ContextInfo>> {
        self.connected.values()
    }

    pub(super) fn insert(&mut self, info: Arc<ContextInfo>) {
        self.connected.insert(info.id, info);
    }

    /// A program has come to a listener.
    pub(super) fn insert_client(&mut self, info: Arc<ContextInfo>, logs: bool) {
        self.clients.insert(info.id, Client { info, logs });
    }

    /// A program on a listener.
    pub(super) fn client(&self, id: ContextId) -> Option<&Arc<ContextInfo>> {
        self.clients.get(&id).map(|client| &client.info)
    }

    /// It has gone; says whether it was there.
    pub(super) fn remove_client(&mut self, id: ContextId) -> bool {
        self.clients.remove(&id).is_some()
    }

    /// The programs that are sent the contexts' log records.
    pub(super) fn log_readers(&self) -> impl Iterator<Item = ContextId> + '_ {
        self.clients.iter().filter(|(_, client)| client.logs).map(|(&id, _)| id)
    }

    /// Notes a context that another one is to start, unless that one is to start `limit` already.
    pub(super) fn expect(&mut self, info: Arc<ContextInfo>, limit: usize) -> bool {
        let parent = info.parent.as_ref().map(|parent| parent.id);
        let same = |other: &&Expected| other.info.parent.as_ref().map(|parent| parent.id) == parent;
        if limit != usize::MAX && self.expected.values().filter(same).count() >= limit {
            return false;
        }
        self.expected.insert(info.id, Expected { info, unwanted: false });
        true
    }

    /// Nobody wants an expected context any more; returns who is to start it.
    pub(super) fn give_up(&mut self, id: ContextId) -> Option<ContextId> {
        let expected = self.expected.get_mut(&id)?;
        expected.unwanted = true;
        expected.info.parent.as_ref().map(|parent| parent.id)
    }

    /// It will not come, or has come; says whether it was still expected.
    pub(super) fn forget_expected(&mut self, id: ContextId) -> bool {
        self.expected.remove(&id).is_some()
    }

    /// A route to a context has appeared.
    pub(super) fn appear(&mut self, id: ContextId, via: ContextId, name: Option<String>) -> Known {
        let mut unwanted = false;
        let info = match (self.connected.get(&id), self.expected.remove(&id)) {
            (Some(info), _) => Arc::clone(info),
            (None, Some(expected)) => {
                unwanted = expected.unwanted;
                expected.info
            }
            // Started by a context on its own account; the neighbour is all that is known of its way.
            (None, None) => {
                let name = name.unwrap_or_else(|| id.to_string());
                let parent = self.connected.get(&via).or(self.client(via)).cloned();
                Arc::new(ContextInfo::new(id, Arc::from(name.as_str()), name, parent))
            }
        };
        self.connected.insert(id, Arc::clone(&info));
        Known { info, unwanted }
    }

    /// The route to a context is gone, and with it what that context was to start: their ids come too.
    pub(super) fn disappear(&mut self, id: ContextId) -> (Option<Arc<ContextInfo>>, Vec<ContextId>) {
        let orphan = |expected: &Expected| expected.info.parent.as_ref().is_some_and(|p| p.id == id);
        let orphans: Vec<_> = self.expected.iter().filter(|(_, e)| orphan(e)).map(|(&id, _)| id).collect();
        for id in &orphans {
            self.expected.remove(id);
        }
        (self.connected.remove(&id), orphans)
    }
}
