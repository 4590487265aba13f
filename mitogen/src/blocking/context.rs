//! Contexts and their calls, for those who wait.

use super::Sender;
use crate::engine::Engine;
use crate::{Call, Command, Error, Handle, Method, Output, Phase, TransferOptions, Transferred};
use mitogen_wire::ContextId;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The blocking form of [`crate::Context`].
#[derive(Clone)]
pub struct Context {
    inner: crate::Context,
    engine: Arc<Engine>,
}

impl Context {
    pub(super) fn new(inner: crate::Context, engine: &Arc<Engine>) -> Context {
        Context { inner, engine: Arc::clone(engine) }
    }

    /// See [`crate::Context::id`].
    pub fn id(&self) -> ContextId {
        self.inner.id()
    }

    /// See [`crate::Context::name`].
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// See [`crate::Context::hop`].
    pub fn hop(&self) -> &str {
        self.inner.hop()
    }

    /// See [`crate::Context::target`].
    pub fn target(&self) -> String {
        self.inner.target()
    }

    /// See [`crate::Context::parent`].
    pub fn parent(&self) -> Option<Context> {
        Some(Context { inner: self.inner.parent()?, engine: Arc::clone(&self.engine) })
    }

    /// See [`crate::Context::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(&self, method: impl Into<Method>) -> Result<Context, Error> {
        let inner = self.engine.block_on(self.inner.connect(method.into()))?;
        Ok(Context { inner, engine: Arc::clone(&self.engine) })
    }

    /// See [`crate::Context::connect_observed`].
    ///
    /// # Errors
    /// As there.
    pub fn connect_observed(
        &self,
        method: impl Into<Method>,
        observer: &mut (dyn FnMut(Phase, Duration) + Send),
    ) -> Result<Context, Error> {
        let inner = self.engine.block_on(self.inner.connect_observed(method.into(), observer))?;
        Ok(Context { inner, engine: Arc::clone(&self.engine) })
    }

    /// See [`crate::Context::sender`].
    pub fn sender(&self, handle: Handle) -> Sender {
        Sender::new(self.inner.sender(handle), &self.engine)
    }

    /// See [`crate::Context::chain`].
    pub fn chain(&self) -> CallChain {
        CallChain { inner: self.inner.chain(), engine: Arc::clone(&self.engine) }
    }

    /// See [`crate::Context::call_service`].
    ///
    /// # Errors
    /// As there.
    pub fn call_service<T: DeserializeOwned + Send>(
        &self,
        service: &str,
        method: &str,
        args: impl Serialize,
    ) -> Result<T, Error> {
        let inner = self.engine.enter(|| self.inner.call_service(service, method, args));
        self.engine.block_on(inner)
    }

    /// See [`crate::Context::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, call: Call) -> Result<(), Error> {
        self.engine.enter(|| self.inner.send(call))
    }

    /// See [`crate::Context::call`].
    ///
    /// # Errors
    /// As there.
    pub fn call<T: DeserializeOwned + Send>(&self, function: &str, args: impl Serialize) -> Result<T, Error> {
        self.start(Call::new(function).args(args)).wait()
    }

    /// See [`crate::Context::start`].
    pub fn start<T: DeserializeOwned + Send>(&self, call: Call) -> PendingCall<T> {
        PendingCall { inner: self.engine.enter(|| self.inner.start(call)), engine: Arc::clone(&self.engine) }
    }

    /// See [`crate::Context::exec`].
    ///
    /// # Errors
    /// As there.
    pub fn exec(&self, command: Command) -> Result<Output, Error> {
        self.engine.block_on(self.inner.exec(command))
    }

    /// See [`crate::Context::spawn`].
    ///
    /// # Errors
    /// As there.
    pub fn spawn(&self, command: Command) -> Result<Running, Error> {
        let inner = self.engine.enter(|| self.inner.spawn(command))?;
        Ok(Running { inner: Some(inner), engine: Arc::clone(&self.engine) })
    }

    /// See [`crate::Context::upload_with`].
    ///
    /// # Errors
    /// As there.
    pub fn upload(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<Path>,
        options: &TransferOptions,
    ) -> Result<Transferred, Error> {
        self.engine.block_on(self.inner.upload_with(local.as_ref(), remote.as_ref(), options))
    }

    /// See [`crate::Context::download_with`].
    ///
    /// # Errors
    /// As there.
    pub fn download(
        &self,
        remote: impl AsRef<Path>,
        local: impl AsRef<Path>,
        options: &TransferOptions,
    ) -> Result<Transferred, Error> {
        self.engine.block_on(self.inner.download_with(remote.as_ref(), local.as_ref(), options))
    }

    /// See [`crate::Context::ping`].
    ///
    /// # Errors
    /// As there.
    pub fn ping(&self) -> Result<Duration, Error> {
        self.engine.block_on(self.inner.ping())
    }

    /// See [`crate::Context::stats`].
    pub fn stats(&self) -> Option<crate::LinkStats> {
        self.inner.stats()
    }

    /// See [`crate::Context::is_connected`].
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    /// See [`crate::Context::detach`].
    ///
    /// # Errors
    /// As there.
    pub fn detach(&self) -> Result<(), Error> {
        self.engine.block_on(self.inner.detach())
    }

    /// See [`crate::Context::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.engine.block_on(self.inner.shutdown())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Context) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Context {}

/// As an argument of a call it is a `mitogen.core.Context`.
impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(serializer)
    }
}

/// Calls that stand and fall together: the blocking form of [`crate::CallChain`].
#[derive(Debug)]
pub struct CallChain {
    inner: crate::CallChain,
    engine: Arc<Engine>,
}

impl CallChain {
    /// See [`crate::CallChain::call`].
    ///
    /// # Errors
    /// As there.
    pub fn call<T: DeserializeOwned + Send>(&self, function: &str, args: impl Serialize) -> Result<T, Error> {
        self.start(Call::new(function).args(args)).wait()
    }

    /// See [`crate::CallChain::start`].
    pub fn start<T: DeserializeOwned + Send>(&self, call: Call) -> PendingCall<T> {
        PendingCall { inner: self.engine.enter(|| self.inner.start(call)), engine: Arc::clone(&self.engine) }
    }

    /// See [`crate::CallChain::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, call: Call) -> Result<(), Error> {
        self.engine.enter(|| self.inner.send(call))
    }

    /// See [`crate::CallChain::reset`].
    ///
    /// # Errors
    /// As there.
    pub fn reset(&self) -> Result<(), Error> {
        self.engine.enter(|| self.inner.reset())
    }
}

/// A call under way: the blocking form of [`crate::PendingCall`].
#[must_use = "the result, or the error, comes from `wait`"]
pub struct PendingCall<T> {
    pub(super) inner: crate::PendingCall<T>,
    engine: Arc<Engine>,
}

impl<T> fmt::Debug for PendingCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: DeserializeOwned + Send> PendingCall<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// As [`crate::Context::call`].
    pub fn wait(self) -> Result<T, Error> {
        self.engine.block_on(self.inner)
    }
}

/// The blocking form of [`crate::Running`].
#[derive(Debug)]
pub struct Running {
    /// `None` only while it is being dropped.
    inner: Option<crate::Running>,
    engine: Arc<Engine>,
}

impl Running {
    /// See [`crate::Running::next`].
    ///
    /// # Errors
    /// As there.
    #[allow(clippy::should_implement_trait)] // The name of the other form.
    pub fn next(&mut self) -> Result<Option<crate::Printed>, Error> {
        match &mut self.inner {
            Some(inner) => self.engine.block_on(inner.next()),
            None => Ok(None),
        }
    }

    /// See [`crate::Running::status`].
    pub fn status(&self) -> Option<i32> {
        self.inner.as_ref()?.status()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let inner = self.inner.take();
        self.engine.enter(|| drop(inner));
    }
}
