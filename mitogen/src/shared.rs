//! What all handles of one router share.

use crate::context::Context;
use crate::error::Error;
use crate::router::LogLevel;
use crate::stand_in::Method;
use mitogen_wire::{ContextId, Message};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) signed: bool,
    pub(crate) max_message_size: usize,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) shutdown_grace: Duration,
    pub(crate) connect_timeout: Duration,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
}

pub(crate) struct ContextInfo {
    pub(crate) id: ContextId,
    pub(crate) name: Arc<str>,
    pub(crate) hop: String,
}

pub(crate) struct Waiting(());

impl Future for Waiting {
    type Output = Result<Message, Error>;
    fn poll(self: Pin<&mut Self>, _task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(Error::Closed))
    }
}

impl Waiting {
    pub(crate) fn new() -> Waiting {
        Waiting(())
    }
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Shared>, Error> {
        Ok(Arc::new(Shared { settings }))
    }
    pub(crate) async fn connect(self: &Arc<Self>, _method: Method) -> Result<Context, Error> {
        Err(Error::Closed)
    }
    pub(crate) fn contexts(self: &Arc<Self>) -> Vec<Context> {
        Vec::new()
    }
    pub(crate) fn is_connected(&self, _id: ContextId) -> bool {
        false
    }
    pub(crate) async fn shut_down_context(&self, _info: &ContextInfo) -> Result<(), Error> {
        Err(Error::Closed)
    }
    pub(crate) async fn shut_down_all(&self) -> Result<(), Error> {
        Ok(())
    }
    pub(crate) fn close(&self) {}
}
