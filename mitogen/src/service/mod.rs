//! What this program offers to contexts: services by name, and handlers at handles.
//!
//! ```text
//!  message ─> policy ─> turn of its caller (so many at a time) ─> handler ─> answer
//! ```

mod policy;
mod registry;
mod request;
mod turn;

pub use policy::{Caller, Policy};
pub(crate) use registry::Registry;
pub use registry::Service;
pub use request::Request;

use crate::error::{Error, RemoteError};
use crate::receiver::{Incoming, Receiver};
use crate::router::Router;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_router::Access;
use mitogen_router::credit::credit_handle;
use mitogen_wire::body::{CallError, CallResult, CallService};
use mitogen_wire::{Encoding, Handle, Message, ReplyTo, to_value};
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use turn::Turns;

/// The class of what callers get who ask in vain, as upstream calls it.
const ERROR: &str = "mitogen.service.Error";

type Body = (Encoding, Bytes);
type Handling = Pin<Box<dyn Future<Output = Result<Body, RemoteError>> + Send>>;

/// A handler of any kind, behind one type.
pub(crate) struct Handler<R>(Box<dyn Fn(R) -> Handling + Send + Sync>);

impl<R: Send + 'static> Handler<R> {
    fn new<F, T>(handler: impl Fn(R) -> F + Send + Sync + 'static) -> Handler<R>
    where
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
        T: Serialize,
    {
        Handler(Box::new(move |request| {
            let handling = handler(request);
            Box::pin(async move { encode(&handling.await?) })
        }))
    }
}

fn encode(value: &impl Serialize) -> Result<Body, RemoteError> {
    let unsendable = |error: &dyn std::fmt::Display| {
        RemoteError::new("mitogen.core.StreamError", format!("the result cannot be sent: {error}"))
    };
    let value = to_value(value).map_err(|error| unsendable(&error))?;
    CallResult::Returned(value).encode().map_err(|error| unsendable(&error))
}

impl Router {
    /// Offers a service: whatever context the policy lets in can ask it for something, by its name, the
    /// name of a method and named arguments. From Python:
    /// `econtext.master.call_service('inventory', 'owner', host='web1')`; in this library:
    /// [`Context::call_service`](crate::Context::call_service).
    ///
    /// Requests of one caller are begun in their order, at most 32 at a time; its further ones wait, and
    /// when more than 4096 or 16 MiB of them do, new ones are refused. Those of different callers do not
    /// wait for each other.
    ///
    /// ```
    /// use mitogen::{Local, Policy, RemoteError, Router};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let router = Router::new()?;
    /// let service = router.serve("inventory", Policy::anyone(), |request| async move {
    ///     match request.method() {
    ///         "owner" => {
    ///             let host: String = request.arg("host")?;
    ///             Ok(format!("the owner of {host}"))
    ///         }
    ///         other => Err(request.unknown_method(other)),
    ///     }
    /// })?;
    ///
    /// let context = router.connect(Local::new()).await?;
    /// // What a function in the context would write as
    /// // econtext.master.call_service('inventory', 'owner', host='web1'):
    /// let code = "__import__('sys').modules['mitogen.core'].router.context_by_id(0)\
    ///     .call_service('inventory', 'owner', host=u'web1')";
    /// let owner: String = context.call("builtins:eval", (code,)).await?;
    /// assert_eq!(owner, "the owner of web1");
    ///
    /// drop(service); // Now it is gone.
    /// # router.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NameTaken`] when there is such a service; [`Error::Closed`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve<F, T>(
        &self,
        name: impl Into<String>,
        policy: Policy,
        handler: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Result<Service, Error>
    where
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
        T: Serialize,
    {
        let name = name.into();
        let shared = self.shared();
        shared.apply(|hub| hub.check_open())?;
        let entry = registry::Entry { policy, handler: Handler::new(handler) };
        let service = Registry::add(shared, name, Arc::new(entry))?;
        if shared.services.begin() {
            match Receiver::open(shared, Some(CallService::HANDLE), Access::Anyone) {
                Ok(receiver) => drop(tokio::spawn(serve_all(receiver))),
                Err(error) => {
                    shared.services.end();
                    return Err(error);
                }
            }
        }
        Ok(service)
    }

    /// Has every message that comes to a handle answered: what upstream calls `add_handler`. With `None`
    /// the handle is one that nobody else has; [`Service::address`] says which. The handler is given what
    /// came, and its result is sent to those who wait for one. Limits are those of [`Router::serve`].
    ///
    /// # Errors
    /// [`Error::HandleTaken`], [`Error::Closed`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_at<F, T>(
        &self,
        handle: Option<Handle>,
        policy: Policy,
        handler: impl Fn(Incoming) -> F + Send + Sync + 'static,
    ) -> Result<Service, Error>
    where
        F: Future<Output = Result<T, RemoteError>> + Send + 'static,
        T: Serialize,
    {
        let shared = self.shared();
        let receiver = Receiver::open(shared, handle, Access::Anyone)?;
        let handle = receiver.handle();
        tokio::spawn(serve_handle(receiver, policy, Arc::new(Handler::new(handler))));
        Ok(Service::at(shared, handle))
    }
}

/// Gives every request to its service, until the router is closed.
async fn serve_all(mut receiver: Receiver) {
    let mut turns = Turns::default();
    while let Ok(incoming) = receiver.next().await {
        let (shared, message) = incoming.into_parts();
        let answer = Answer::new(&shared, &message);
        match find(&shared, &message) {
            Ok((entry, call)) => {
                let request = Request::new(&shared, &message, call, answer.clone());
                turns.begin(&message, answer, (entry.handler.0)(request));
            }
            Err(why) => answer.give(Err(why)),
        }
    }
    receiver.shared().services.end();
}

fn find(shared: &Arc<Shared>, message: &Message) -> Result<(Arc<registry::Entry>, CallService), RemoteError> {
    let call =
        CallService::decode(message).map_err(|_| RemoteError::new(ERROR, "Invalid message format."))?;
    let CallService { service, method, .. } = &call;
    // Whoever may not use a service is told the same as if it were not there, but for its name.
    let entry = shared.services.get(service).ok_or_else(|| {
        RemoteError::new(ERROR, format!("Service {service:?} is not activated in this context."))
    })?;
    if !entry.policy.allows(&Caller::of(shared, message)) {
        return Err(RemoteError::new(
            ERROR,
            format!("Caller is not authorized to invoke {method:?} of service {service:?}"),
        ));
    }
    Ok((entry, call))
}

async fn serve_handle(mut receiver: Receiver, policy: Policy, handler: Arc<Handler<Incoming>>) {
    let mut turns = Turns::default();
    while let Ok(incoming) = receiver.next().await {
        let (shared, message) = incoming.into_parts();
        let answer = Answer::new(&shared, &message);
        if policy.allows(&Caller::of(&shared, &message)) {
            let handling = (handler.0)(Incoming::new(&shared, message.clone()));
            turns.begin(&message, answer, handling);
        } else {
            answer.refuse();
        }
    }
}

/// The one answer to a request. When all that know of it are dropped without giving it, the asker is told
/// that none will come.
#[derive(Clone)]
pub(crate) struct Answer(Arc<Owed>);

struct Owed {
    shared: Arc<Shared>,
    message: Message,
    given: std::sync::atomic::AtomicBool,
}

impl Answer {
    fn new(shared: &Arc<Shared>, message: &Message) -> Answer {
        // Of the message only its sender and its mailbox matter.
        let message = Message { payload: Bytes::new(), ..message.clone() };
        // Who sends, and waits for credit alone, is owed nothing.
        let given = credit_handle(&message).is_some();
        Answer(Arc::new(Owed { shared: Arc::clone(shared), message, given: given.into() }))
    }

    /// Gives the answer; later ones are dropped.
    pub(crate) fn give(&self, result: Result<Body, RemoteError>) {
        self.0.give(result);
    }

    /// Nobody gets an answer.
    pub(crate) fn waive(&self) {
        let _ = self.0.is_given();
    }

    fn refuse(&self) {
        if !self.0.is_given() {
            let Message { src, reply_to, .. } = self.0.message;
            if let ReplyTo::Handle(handle) = reply_to {
                self.0.shared.send_dead(src, handle, &mitogen_wire::body::Dead::RefusedByPolicy);
            }
        }
    }
}

impl Owed {
    /// Whether it was given before; it is now.
    fn is_given(&self) -> bool {
        self.given.swap(true, std::sync::atomic::Ordering::Relaxed)
    }

    fn give(&self, result: Result<Body, RemoteError>) {
        if self.is_given() {
            return;
        }
        let body = match result {
            Ok(body) => Ok(body),
            Err(error) => {
                CallError::new(&error.type_name, &error.message, error.traceback.as_deref()).encode()
            }
        };
        if let Ok(body) = body {
            self.shared.reply(&self.message, body);
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.give(Err(RemoteError::new(ERROR, "the service ended without an answer")));
    }
}
