//! Targets behind one hop that are sent the same file: over what they share it goes once.

use mitogen::{Context, ContextId, Error, Router, TransferOptions, Transferred};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// What is shorter is not worth waiting for others.
const WORTH: u64 = 1 << 20;
/// For how long nobody else must have come.
const QUIET: Duration = Duration::from_millis(200);

/// The hop, what is sent, and where it goes.
type Key = (ContextId, PathBuf, PathBuf);

/// Who waits for company.
#[derive(Debug, Default)]
pub(super) struct Together {
    groups: Mutex<BTreeMap<Key, Vec<Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    context: Context,
    done: oneshot::Sender<Result<Transferred, Error>>,
}

/// A target, and the hop that others may share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) router: &'a Router,
    /// The first context on the way, unless that is the target.
    pub(super) hop: Option<&'a Context>,
    pub(super) context: &'a Context,
}

impl Together {
    /// Sends a file, of this size if that is known, with all others that want it by the same hop at this time.
    pub(super) async fn upload(
        &self,
        way: Way<'_>,
        local: &Path,
        remote: &Path,
        size: Option<u64>,
        options: impl FnOnce() -> TransferOptions,
    ) -> Result<Transferred, Error> {
        let Some(hop) = way.hop.filter(|_| size.is_some_and(|size| size >= WORTH)) else {
            return way.context.upload_with(local, remote, &options()).await;
        };
        let key = (hop.id(), local.to_owned(), remote.to_owned());
        let (done, answer) = oneshot::channel();
        if self.join(&key, Waiting { context: way.context.clone(), done }) == 1 {
            let mut seen = 0;
            while seen != self.size(&key) {
                seen = self.size(&key);
                tokio::time::sleep(QUIET).await;
            }
            let (contexts, waiting): (Vec<_>, Vec<_>) =
                self.leave(&key).into_iter().map(|one| (one.context, one.done)).unzip();
            let results = way.router.upload_to(&contexts, local, remote, &options()).await;
            for (done, result) in waiting.into_iter().zip(results) {
                let _ = done.send(result);
            }
        }
        // Who led them may have run out of time; the others have no more of it.
        answer.await.unwrap_or(Err(Error::Closed))
    }

    fn join(&self, key: &Key, waiting: Waiting) -> usize {
        let mut groups = self.groups();
        let group = groups.entry(key.clone()).or_default();
        group.push(waiting);
        group.len()
    }

    fn size(&self, key: &Key) -> usize {
        self.groups().get(key).map_or(0, Vec::len)
    }

    fn leave(&self, key: &Key) -> Vec<Waiting> {
        self.groups().remove(key).unwrap_or_default()
    }

    fn groups(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Vec<Waiting>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
