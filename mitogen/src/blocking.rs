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

use crate::stand_in::Method;
use crate::{Call, Command, Error, Output, RouterBuilder};
use mitogen_wire::ContextId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::time::Duration;

/// The blocking form of [`crate::Router`]. A cheap handle; dropping the last clone closes
/// everything. Not for use inside an async runtime: its methods panic there.
#[derive(Clone, Debug)]
pub struct Router {
    inner: crate::Router,
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
        Ok(Router { inner: builder.build()? })
    }

    /// See [`crate::Router::connect`].
    ///
    /// # Errors
    /// As there.
    pub fn connect(&self, _method: impl Into<Method>) -> Result<Context, Error> {
        Err(Error::Closed)
    }

    /// See [`crate::Router::contexts`].
    pub fn contexts(&self) -> Vec<Context> {
        Vec::new()
    }

    /// See [`crate::Router::shutdown`].
    ///
    /// # Errors
    /// As there.
    pub fn shutdown(&self) -> Result<(), Error> {
        Err(Error::Closed)
    }
}

/// The blocking form of [`crate::Context`].
#[derive(Clone, Debug)]
pub struct Context {
    inner: crate::Context,
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

    /// See [`crate::Context::call`].
    ///
    /// # Errors
    /// As there.
    pub fn call<T: DeserializeOwned>(&self, function: &str, args: impl Serialize) -> Result<T, Error> {
        self.start(Call::new(function).args(args)).wait()
    }

    /// See [`crate::Context::start`].
    pub fn start<T: DeserializeOwned>(&self, _call: Call) -> PendingCall<T> {
        PendingCall { result: PhantomData }
    }

    /// See [`crate::Context::exec`].
    ///
    /// # Errors
    /// As there.
    pub fn exec(&self, _command: Command) -> Result<Output, Error> {
        Err(Error::Closed)
    }

    /// See [`crate::Context::ping`].
    ///
    /// # Errors
    /// As there.
    pub fn ping(&self) -> Result<Duration, Error> {
        Err(Error::Closed)
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
        Err(Error::Closed)
    }
}

/// A call under way: the blocking form of [`crate::PendingCall`].
#[must_use = "the result, or the error, comes from `wait`"]
pub struct PendingCall<T> {
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> PendingCall<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// As [`crate::Context::call`].
    pub fn wait(self) -> Result<T, Error> {
        Err(Error::Closed)
    }
}
