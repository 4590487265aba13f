//! Ctrl-C and termination: the first ends the work in good order, the second ends the process.

use crate::outcome::exit;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Tells whether the work is to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Begins to watch. From the second signal on the process ends at once, with status 130: the links close with
    /// it, and the contexts end with their links.
    pub(crate) fn watch() -> Self {
        let (send, receive) = watch::channel(false);
        tokio::spawn(async move {
            any().await;
            // Ready before the first is announced: a quick second one must not be lost.
            let second = any();
            let _ = send.send(true);
            second.await;
            std::process::exit(exit::INTERRUPTED.into());
        });
        Self(receive)
    }

    /// Waits for the first one.
    pub(crate) async fn came(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|came| *came).await.is_err() {
            // The watcher ends with the runtime only.
            std::future::pending::<()>().await;
        }
    }

    /// Whether it came.
    pub(crate) fn has_come(&self) -> bool {
        *self.0.borrow()
    }
}

/// Waits for the next SIGINT or SIGTERM. The handlers are set before this returns its future.
pub(crate) fn any() -> impl Future<Output = ()> {
    // SIGHUP keeps its default, or what nohup made of it. So does a signal whose handler cannot be set.
    let mut signals: Vec<_> = [SignalKind::interrupt(), SignalKind::terminate()]
        .into_iter()
        .filter_map(|kind| signal(kind).ok())
        .collect();
    std::future::poll_fn(move |task| {
        match signals.iter_mut().any(|signal| signal.poll_recv(task).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
}
