//! The same router and contexts for programs without an async runtime.
//!
//! ```no_run
//! use mitogen::{Local, blocking::Router};
//!
//! let router = Router::new()?;
//! let context = router.connect(Local::new())?;
//! let pid: u32 = context.call("os.getpid", ())?;
//! println!("{pid}");
//! router.shutdown()?;
//! # Ok::<(), mitogen::Error>(())
//! ```
//!
//! Each blocking router has a runtime of its own. A thread that waits for something (a call, a
//! connection) drives that runtime itself meanwhile, so that an answer wakes exactly the thread
//! that wants it; when nobody waits, a thread in the background drives it, so that log records
//! and output of the contexts keep flowing.

use crate::engine::Engine;
use crate::{Call, Command, Error, Method, Output, RouterBuilder};
use mitogen_wire::ContextId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long the drop of the last router waits for its contexts to be gone.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// The blocking form of [`crate::Router`]. A cheap handle; dropping the last clone closes
/// everything and waits until the processes are gone. Not for use inside an async runtime: its
/// methods panic there.
#[derive(Clone)]
pub struct Router {
    owner: Arc<Owner>,
    engine: Arc<Engine>,
}

/// Lives as long as some [`Router`] does; contexts hold the engine alone.
struct Owner {
    /// `None` only while it is being dropped.
    inner: Option<crate::Router>,
    engine: Arc<Engine>,
}

impl Owner {
    fn inner(&self) -> &crate::Router {
        self.inner.as_ref().expect("only a drop takes the router")
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        let shared = Arc::clone(inner.shared());
        // The writers of closed links may want the runtime.
        self.engine.enter(|| drop(inner));
        // Inside an async runtime waiting is not possible; the background thread sees to the end.
        if tokio::runtime::Handle::try_current().is_err() {
            self.engine.block_on(async {
                let _ = tokio::time::timeout(DROP_LIMIT, shared.wait_all_ended()).await;
            });
        }
    }
}

impl Router {
    /// See [`crate::Router::new`].
    ///
    /// # Errors
    /// [`Error::Local`] when the system gives no randomness, thread or descriptors.
    pub fn new() -> Result<Router, Error> {
        Router::from_builder(crate::Router::builder())
    }

    /// A router with other settings: `Router::from_builder(mitogen::Router::builder().signed(false))`.
    ///
    /// # Errors
    /// As [`Router::new`].
    pub fn from_builder(builder: RouterBuilder) -> Result<Router, Error> {
        let engine = Arc::new(Engine::new()?);
        let inner = Some(builder.build()?);
        Ok(Router { owner: Arc::new(Owner { inner, engine: Arc::clone(&engine) }), engine })
    }

    /// See [`crate::Router::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(&self, method: impl Into<Method>) -> Result<Context, Error> {
        let inner = self.engine.block_on(self.owner.inner().connect(method))?;
        Ok(Context { inner, engine: Arc::clone(&self.engine) })
    }

    /// See [`crate::Router::contexts`].
    pub fn contexts(&self) -> Vec<Context> {
        let context = |inner| Context { inner, engine: Arc::clone(&self.engine) };
        self.owner.inner().contexts().into_iter().map(context).collect()
    }

    /// See [`crate::Router::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.engine.block_on(self.owner.inner().shutdown())
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.inner().fmt(f)
    }
}

/// The blocking form of [`crate::Context`].
#[derive(Clone)]
pub struct Context {
    inner: crate::Context,
    engine: Arc<Engine>,
}

impl Context {
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
        let inner = self.engine.block_on(self.inner.connect(method))?;
        Ok(Context { inner, engine: Arc::clone(&self.engine) })
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
    pub fn call<T: DeserializeOwned>(&self, function: &str, args: impl Serialize) -> Result<T, Error> {
        self.start(Call::new(function).args(args)).wait()
    }

    /// See [`crate::Context::start`].
    pub fn start<T: DeserializeOwned>(&self, call: Call) -> PendingCall<T> {
        PendingCall { inner: self.engine.enter(|| self.inner.start(call)), engine: Arc::clone(&self.engine) }
    }

    /// See [`crate::Context::exec`].
    ///
    /// # Errors
    /// As there.
    pub fn exec(&self, command: Command) -> Result<Output, Error> {
        self.engine.block_on(self.inner.exec(command))
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

/// A call under way: the blocking form of [`crate::PendingCall`].
#[must_use = "the result, or the error, comes from `wait`"]
pub struct PendingCall<T> {
    inner: crate::PendingCall<T>,
    engine: Arc<Engine>,
}

impl<T: DeserializeOwned> PendingCall<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// As [`crate::Context::call`].
    pub fn wait(self) -> Result<T, Error> {
        self.engine.block_on(self.inner)
    }
}
