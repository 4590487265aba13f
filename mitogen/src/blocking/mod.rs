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

mod context;
mod listener;
mod messages;

pub use context::{CallChain, Context, PendingCall, Running};
pub use listener::{Listener, ListenerEvents};
pub use messages::{Channel, Events, Receiver, Select, Sender};

use crate::engine::Engine;
use crate::{
    Access, Address, ContextRef, Error, Handle, Incoming, ListenOptions, Method, Phase, Policy, RemoteError,
    Request, RouterBuilder, Service,
};
use mitogen_wire::ContextId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long the drop of the last router waits for its contexts to be gone.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// The blocking form of [`crate::Router`]. A cheap handle; dropping the last clone closes
/// everything and waits until the processes are gone.
///
/// Inside an async runtime it works too, but a thread of that runtime waits with every call. Use
/// [`crate::Router`] there.
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
        let inner = self.engine.block_on(self.owner.inner().connect(method.into()))?;
        Ok(Context::new(inner, &self.engine))
    }

    /// See [`crate::Router::connect_observed`].
    ///
    /// # Errors
    /// As there.
    pub fn connect_observed(
        &self,
        method: impl Into<Method>,
        observer: &mut (dyn FnMut(Phase, Duration) + Send),
    ) -> Result<Context, Error> {
        let inner = self.engine.block_on(self.owner.inner().connect_observed(method.into(), observer))?;
        Ok(Context::new(inner, &self.engine))
    }

    /// See [`crate::Router::contexts`].
    pub fn contexts(&self) -> Vec<Context> {
        let contexts = self.owner.inner().contexts().into_iter();
        contexts.map(|inner| Context::new(inner, &self.engine)).collect()
    }

    /// See [`crate::Router::context`].
    pub fn context(&self, id: ContextId) -> Option<Context> {
        Some(Context::new(self.owner.inner().context(id)?, &self.engine))
    }

    /// See [`crate::Router::resolve`].
    pub fn resolve(&self, context: &ContextRef) -> Option<Context> {
        self.context(context.id)
    }

    /// See [`crate::Router::events`].
    pub fn events(&self) -> Events {
        Events::new(self.owner.inner().events(), &self.engine)
    }

    /// See [`crate::Router::receiver`].
    ///
    /// # Errors
    /// As there.
    pub fn receiver(&self) -> Result<Receiver, Error> {
        Ok(Receiver::new(self.owner.inner().receiver()?, &self.engine))
    }

    /// See [`crate::Router::receiver_at`].
    ///
    /// # Errors
    /// As there.
    pub fn receiver_at(&self, handle: Handle, access: Access) -> Result<Receiver, Error> {
        Ok(Receiver::new(self.owner.inner().receiver_at(handle, access)?, &self.engine))
    }

    /// See [`crate::Router::sender`].
    pub fn sender(&self, address: Address) -> Sender {
        Sender::new(self.owner.inner().sender(address), &self.engine)
    }

    /// An empty select, for results as they come.
    pub fn select<'a, K: Clone + Send + 'a, T: DeserializeOwned + Send + 'a>(&self) -> Select<'a, K, T> {
        Select::new(&self.engine)
    }

    /// See [`crate::Router::serve`]. The handler may wait: it runs on a thread of its own.
    ///
    /// # Errors
    /// As there.
    pub fn serve<T: Serialize + Send + 'static>(
        &self,
        name: impl Into<String>,
        policy: Policy,
        handler: impl Fn(Request) -> Result<T, RemoteError> + Send + Sync + 'static,
    ) -> Result<Service, Error> {
        self.engine.enter(|| self.owner.inner().serve(name, policy, threaded(handler)))
    }

    /// See [`crate::Router::serve_at`]. The handler may wait: it runs on a thread of its own.
    ///
    /// # Errors
    /// As there.
    pub fn serve_at<T: Serialize + Send + 'static>(
        &self,
        handle: Option<Handle>,
        policy: Policy,
        handler: impl Fn(Incoming) -> Result<T, RemoteError> + Send + Sync + 'static,
    ) -> Result<Service, Error> {
        self.engine.enter(|| self.owner.inner().serve_at(handle, policy, threaded(handler)))
    }

    /// See [`crate::Router::listen`].
    ///
    /// # Errors
    /// As there.
    pub fn listen(&self, path: impl AsRef<Path>) -> Result<Listener, Error> {
        self.listen_with(path, ListenOptions::new())
    }

    /// See [`crate::Router::listen_with`].
    ///
    /// # Errors
    /// As there.
    pub fn listen_with(&self, path: impl AsRef<Path>, options: ListenOptions) -> Result<Listener, Error> {
        let inner = self.engine.enter(|| self.owner.inner().listen_with(path, options))?;
        Ok(Listener::new(inner, &self.engine))
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

/// A handler that waits, as one that does not.
fn threaded<R: Send + 'static, T: Send + 'static>(
    handler: impl Fn(R) -> Result<T, RemoteError> + Send + Sync + 'static,
) -> impl Fn(R) -> Pin<Box<dyn Future<Output = Result<T, RemoteError>> + Send>> + Send + Sync + 'static {
    let handler = Arc::new(handler);
    move |request| {
        let handler = Arc::clone(&handler);
        let handling = tokio::task::spawn_blocking(move || handler(request));
        Box::pin(async move {
            let gone = |_| RemoteError::new("mitogen.service.Error", "the service ended without an answer");
            handling.await.map_err(gone)?
        })
    }
}
