//! The wait for a context that another one starts.

use crate::error::Error;
use crate::hub::Reply;
use crate::info::ContextInfo;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_router::Closed;
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Encoding, Handle};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a context gets to become able to end an attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// An attempt under way. Dropped before it is finished, it sees to it that nothing comes of it.
pub(crate) struct Attempt {
    shared: Arc<Shared>,
    id: ContextId,
    /// Where the answer comes; `None` once it has come.
    reply: Option<Handle>,
    receiver: oneshot::Receiver<Reply>,
}

impl Attempt {
    /// Asks `via`, by a message to this handle, to start a context.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        info: Arc<ContextInfo>,
        via: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) -> Result<Attempt, Error> {
        let id = info.id;
        shared.apply(|hub| hub.expect(info, usize::MAX))?;
        let (reply, receiver) = shared.request(via, handle, body);
        Ok(Attempt { shared: Arc::clone(shared), id, reply: Some(reply), receiver })
    }

    /// The answer; `None` when the router is gone. Once.
    pub(crate) async fn answered(&mut self) -> Option<Reply> {
        (&mut self.receiver).await.ok()
    }

    /// It came to an end: if the context was born it is known by now.
    pub(crate) fn finish(mut self) {
        self.reply = None;
        self.shared.apply(|hub| hub.finish_attempt(self.id));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(reply) = self.reply else { return };
        let told = self.shared.apply(|hub| hub.abandon(self.id, reply));
        // Without a runtime nobody hears of it; the context is shut down when it is born.
        if let (Some(told), Ok(runtime)) = (told, tokio::runtime::Handle::try_current()) {
            runtime.spawn(insist(Arc::clone(&self.shared), self.id, told));
        }
    }
}

/// Asks again for the end of an attempt as long as the context that makes it does not know how: its
/// parent half is on its way.
async fn insist(shared: Arc<Shared>, id: ContextId, mut told: oneshot::Receiver<Reply>) {
    while let Ok(Reply::Closed(Closed::Dead { reason: Dead::InvalidHandle, .. })) = told.await {
        tokio::time::sleep(PAUSE).await;
        match shared.apply(|hub| hub.cancel(id)) {
            Some(again) => told = again,
            None => return,
        }
    }
}
