//! What is known of one context. It outlives the context itself, for late errors.

use crate::error::{ContextLabel, Error, LostReason};
use mitogen_importer::Dialect;
use mitogen_wire::ContextId;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// How many calls of one context may be waited for. Each takes some memory here and there.
pub(crate) const CALLS: usize = 1 << 16;

/// One context's place in the tree, and its end.
pub(crate) struct ContextInfo {
    pub(crate) id: ContextId,
    pub(crate) name: Arc<str>,
    /// The hop that leads to it from its parent.
    pub(crate) hop: String,
    /// The context that started it; `None` where that is this program.
    pub(crate) parent: Option<Arc<ContextInfo>>,
    /// How it wants modules: like its parent, unless it is told otherwise.
    pub(crate) dialect: Dialect,
    /// How many calls it has not answered yet.
    calls: AtomicUsize,
    /// Set once, before anything that waits for this context is told.
    lost: OnceLock<LostReason>,
    /// Whether its end was asked for.
    shutting_down: AtomicBool,
    /// Whether it has announced, or was told, to live on without this program.
    detached: AtomicBool,
    /// Whether it was sent what it needs to start others.
    equipped: AtomicBool,
    /// Becomes true when it is gone: its link closed and its process reaped, here or by its parent.
    ended: watch::Sender<bool>,
}

impl ContextInfo {
    pub(crate) fn new(
        id: ContextId,
        name: Arc<str>,
        hop: String,
        parent: Option<Arc<ContextInfo>>,
    ) -> ContextInfo {
        ContextInfo {
            id,
            name,
            hop,
            dialect: parent.as_ref().map(|parent| parent.dialect).unwrap_or_default(),
            parent,
            calls: AtomicUsize::new(0),
            lost: OnceLock::new(),
            shutting_down: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            equipped: AtomicBool::new(false),
            ended: watch::Sender::new(false),
        }
    }

    /// The same, which wants its modules so.
    pub(crate) fn speaking(mut self, dialect: Dialect) -> ContextInfo {
        self.dialect = dialect;
        self
    }

    /// Its ancestors, the nearest first; this program is not among them.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &Arc<ContextInfo>> {
        std::iter::successors(self.parent.as_ref(), |info| info.parent.as_ref())
    }

    /// The ids of itself, its ancestors and the controller, as a child of it is told.
    pub(crate) fn lineage(&self) -> Vec<ContextId> {
        let ancestors = self.ancestors().map(|info| info.id);
        [self.id].into_iter().chain(ancestors).chain([ContextId::CONTROLLER]).collect()
    }

    /// The whole way to it, as a target is written.
    pub(crate) fn target(&self) -> String {
        let mut hops: Vec<&str> = self.ancestors().map(|info| info.hop.as_str()).collect();
        hops.reverse();
        hops.push(&self.hop);
        hops.join("/")
    }

    pub(crate) fn label(&self) -> ContextLabel {
        ContextLabel { id: self.id, name: Arc::clone(&self.name) }
    }

    /// A call begins, unless too many are waited for already; says whether it does.
    pub(crate) fn begin_call(&self) -> bool {
        let begins = self.calls.fetch_add(1, Ordering::Relaxed) < CALLS;
        if !begins {
            self.end_call();
        }
        begins
    }

    pub(crate) fn end_call(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its end is asked for; says whether that is news.
    pub(crate) fn begin_shutdown(&self) -> bool {
        !self.shutting_down.swap(true, Ordering::Relaxed)
    }

    /// Whether the end of this context, or of one that leads to it, was asked for.
    pub(crate) fn is_shutting_down(&self) -> bool {
        let asked = |info: &ContextInfo| info.shutting_down.load(Ordering::Relaxed);
        asked(self) || self.ancestors().any(|info| asked(info))
    }

    /// Whether it lives on when its link is closed.
    pub(crate) fn set_detached(&self, detached: bool) {
        self.detached.store(detached, Ordering::Relaxed);
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Relaxed)
    }

    /// It is sent what it needs to start others; says whether that is news.
    pub(crate) fn equip(&self) -> bool {
        !self.equipped.swap(true, Ordering::Relaxed)
    }

    /// It is lost; the first reason given stays.
    pub(crate) fn lose(&self, reason: impl FnOnce() -> LostReason) {
        self.lost.get_or_init(reason);
    }

    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Waits until it is gone.
    pub(crate) async fn wait_ended(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.ended.subscribe().wait_for(|&ended| ended).await;
    }

    /// What ended it, as [`ContextInfo::lost_error`] tells it.
    pub(crate) fn lost_reason(&self) -> LostReason {
        self.blame().1
    }

    /// The error of whatever was waiting for this context when it went. When it went with one that
    /// leads to it, that one's hop is named.
    pub(crate) fn lost_error(&self) -> Error {
        let (hop, reason) = self.blame();
        Error::Lost { context: self.label(), hop: hop.to_owned(), reason }
    }

    /// The hop that went first, and why this context is gone.
    fn blame(&self) -> (&str, LostReason) {
        let reason = self.lost.get().cloned().unwrap_or(LostReason::Disconnected);
        let culprit = self.ancestors().filter_map(|info| Some((info, info.lost.get()?))).last();
        match (reason, culprit) {
            (LostReason::Disconnected, Some((info, why))) => {
                let reason = match why {
                    LostReason::ShutDown | LostReason::RouterClosed | LostReason::Detached => why.clone(),
                    _ => LostReason::Behind { context: info.label(), reason: Arc::new(why.clone()) },
                };
                (&info.hop, reason)
            }
            (reason, _) => (&self.hop, reason),
        }
    }
}
