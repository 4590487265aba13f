//! What is known of one context. It outlives the context itself, for late errors.

use crate::error::{ContextLabel, Error, LostReason};
use mitogen_importer::Dialect;
use mitogen_wire::ContextId;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// How many calls of one context may be waited for. Each takes some memory here and there.
const CALLS: usize = 1 << 16;
/// How many bytes the messages of those calls may have together, unless one alone has more. It is above
/// what may wait for a link: a context that does not read at all is told apart from one that is busy.
const CALL_BYTES: usize = 512 << 20;
/// What a call takes besides its message, in bytes.
const CALL_OVERHEAD: usize = 64;

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
    /// How many bytes their messages have.
    call_bytes: AtomicUsize,
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

/// The place of a call among those of a context that are waited for.
pub(crate) struct CallGuard {
    info: Arc<ContextInfo>,
    weight: usize,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.info.calls.fetch_sub(1, Ordering::Relaxed);
        self.info.call_bytes.fetch_sub(self.weight, Ordering::Relaxed);
    }
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
            call_bytes: AtomicUsize::new(0),
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

    /// A call begins whose message has so many bytes. Its place is taken until the guard is dropped.
    ///
    /// # Errors
    /// [`Error::TooManyCalls`], [`Error::CallsTooLarge`]. The calls of a lost context wait for nothing.
    pub(crate) fn begin_call(self: &Arc<Self>, length: usize) -> Result<CallGuard, Error> {
        let weight = length + CALL_OVERHEAD;
        let guard = CallGuard { info: Arc::clone(self), weight };
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let weight_before = self.call_bytes.fetch_add(weight, Ordering::Relaxed);
        if self.lost.get().is_some() {
            return Ok(guard);
        }
        if before >= CALLS {
            return Err(Error::TooManyCalls { context: self.label(), limit: CALLS });
        }
        if weight_before > 0 && weight_before + weight > CALL_BYTES {
            return Err(Error::CallsTooLarge { context: self.label(), limit: CALL_BYTES });
        }
        Ok(guard)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_are_waited_for_are_bounded_by_their_bytes_too() {
        let info = Arc::new(ContextInfo::new(ContextId(1), "c".into(), "local".to_owned(), None));
        let huge = info.begin_call(CALL_BYTES * 2).expect("one alone may have any length");
        assert!(matches!(info.begin_call(0), Err(Error::CallsTooLarge { .. })));
        drop(huge);
        let half = info.begin_call(CALL_BYTES / 2).expect("there is room");
        assert!(matches!(info.begin_call(CALL_BYTES / 2), Err(Error::CallsTooLarge { .. })));
        let rest =
            info.begin_call(CALL_BYTES / 2 - 2 * CALL_OVERHEAD).expect("what was refused took no room");
        info.lose(|| LostReason::Disconnected);
        info.begin_call(1).expect("it is told of the loss");
        drop((half, rest));
        assert_eq!(info.call_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(info.calls.load(Ordering::Relaxed), 0);
    }
}
