//! The end of contexts, and of the whole router: asked first, then forced, always waited for.

use crate::error::{Error, LostReason};
use crate::info::ContextInfo;
use crate::link::{Ending, REAP_LIMIT, Stop};
use crate::shared::Shared;
use std::sync::Arc;
use tokio::sync::watch;

/// The links whose process is not reaped yet, and the listeners whose socket is there; and whether they are to end.
pub(crate) struct Living(watch::Sender<usize>, watch::Sender<bool>);

impl Living {
    pub(crate) fn new() -> Living {
        Living(watch::Sender::new(0), watch::Sender::new(false))
    }

    pub(crate) fn add(&self) {
        self.0.send_modify(|living| *living += 1);
    }

    pub(crate) fn remove(&self) {
        self.0.send_modify(|living| *living -= 1);
    }

    /// The router takes nobody in any more.
    fn close_doors(&self) {
        self.1.send_replace(true);
    }

    /// Waits until nobody is to be taken in any more.
    pub(crate) fn doors_closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closed = self.1.subscribe();
        async move {
            // An error says that the router is gone.
            let _ = closed.wait_for(|&closed| closed).await;
        }
    }

    async fn wait_none(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.0.subscribe().wait_for(|&living| living == 0).await;
    }
}

impl Shared {
    pub(crate) async fn shut_down_all(&self) -> Result<(), Error> {
        self.living.close_doors();
        self.files().shut_down();
        let infos = self.apply(|hub| {
            hub.refuse_more();
            // They take their own children along.
            hub.infos().filter(|info| info.parent.is_none() && !info.is_detached()).cloned().collect()
        });
        let result = self.shut_down(infos).await;
        self.close();
        // Contexts that were lost before may still be on their way to the grave.
        let _ = tokio::time::timeout(REAP_LIMIT, self.wait_all_ended()).await;
        result
    }

    /// Asks contexts to end, lets them until the grace is over, ends those that did not, and waits
    /// until all are reaped.
    pub(crate) async fn shut_down(&self, infos: Vec<Arc<ContextInfo>>) -> Result<(), Error> {
        let grace = self.settings.shutdown_grace;
        self.apply(|hub| {
            for info in &infos {
                hub.shut_down(info.id);
            }
        });
        let asked = tokio::time::Instant::now();
        for info in &infos {
            if tokio::time::timeout_at(asked + grace, info.wait_ended()).await.is_err() {
                self.apply(|hub| hub.stop(info.id, Stop::Kill));
            }
        }
        let last = tokio::time::Instant::now() + REAP_LIMIT;
        for info in &infos {
            if tokio::time::timeout_at(last, info.wait_ended()).await.is_err() {
                return Err(Error::Timeout {
                    context: info.label(),
                    what: "shutdown".to_owned(),
                    after: asked.elapsed(),
                });
            }
        }
        Ok(())
    }

    /// Closes every link at once; the link tasks see to the processes. Calls under way fail.
    pub(crate) fn close(&self) {
        self.living.close_doors();
        self.files().shut_down();
        self.apply(crate::hub::Hub::close);
    }

    /// The link is gone. Idempotent.
    pub(crate) fn handle_link_down(&self, info: &ContextInfo, ending: Ending) {
        let asked = info.is_shutting_down();
        let reason = match ending {
            _ if info.is_detached() => LostReason::Detached,
            Ending::Closed(_) | Ending::Stopped(Stop::Kill) if asked => LostReason::ShutDown,
            Ending::Closed(status) => LostReason::Ended { status },
            Ending::Failed(reason) | Ending::Stopped(Stop::Broken(reason)) => reason,
            Ending::Stopped(Stop::Kill) => LostReason::ShutDown,
            Ending::Stopped(Stop::RouterClosed) => LostReason::RouterClosed,
        };
        info.lose(|| reason);
        self.apply(|hub| hub.handle_link_down(info.id));
        self.library.ask(self, crate::modules::Ask::LinkDown(info.id));
    }

    /// The link's process is reaped.
    pub(crate) fn handle_ended(&self, info: &ContextInfo) {
        info.end();
        self.living.remove();
    }

    /// Waits until no link and no process of this router is left.
    pub(crate) async fn wait_all_ended(&self) {
        self.living.wait_none().await;
    }
}
