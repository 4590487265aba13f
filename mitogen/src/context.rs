//! A context, as its user holds it.

use crate::call::{Call, PendingCall};
use crate::chain::CallChain;
use crate::error::Error;
use crate::exec::{Command, Output, Running};
use crate::info::ContextInfo;
use crate::sender::{Address, Sender};
use crate::shared::Shared;
use crate::stats::LinkStats;
use mitogen_transport::{Method, Phase};
use mitogen_wire::{ContextId, Handle, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A context: a Python process that this program controls. A cheap handle; clones are the same
/// context.
///
/// Dropping handles does nothing to the context: it lives until [`Context::shutdown`], or until
/// its [`Router`](crate::Router) is shut down or dropped.
#[derive(Clone)]
pub struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) info: Arc<ContextInfo>,
}

impl Context {
    /// Its number in the tree, never used again for another.
    pub fn id(&self) -> ContextId {
        self.info.id
    }

    /// Its name: what the method was told, else the hop (`local`, `ssh:alice@web1`).
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// The hop that leads to it, written as in a target: `local`, `ssh:alice@web1:2222`.
    pub fn hop(&self) -> &str {
        &self.info.hop
    }

    /// The whole way to it from this program, as a target is written: `ssh:bastion/local`.
    pub fn target(&self) -> String {
        self.info.target()
    }

    /// The context that started it; `None` where that is this program.
    pub fn parent(&self) -> Option<Context> {
        let info = Arc::clone(self.info.parent.as_ref()?);
        Some(Context { shared: Arc::clone(&self.shared), info })
    }

    /// Has this context start another one, from where it is, by a method such as
    /// [`Local`](crate::Local) or [`Ssh`](crate::Ssh), and waits until that can be called. What the
    /// method names (interpreters, keys, configuration files) is looked up where this context runs.
    ///
    /// Dropping the future gives the attempt up: a context that is born of it nevertheless is shut down.
    ///
    /// # Errors
    /// [`Error::Connect`], as for [`Router::connect`](crate::Router::connect), with the context that made
    /// the attempt in [`via`](crate::ConnectError::via); [`Error::Lost`] when this context goes away
    /// meanwhile; [`Error::Refused`] when its agent cannot start others; [`Error::Closed`].
    pub async fn connect(&self, method: impl Into<Method>) -> Result<Context, Error> {
        crate::via::connect(self, method.into()).await
    }

    /// As [`Context::connect`], telling `observer` each phase that can be seen from here, with the time
    /// since the start.
    ///
    /// # Errors
    /// As [`Context::connect`].
    pub async fn connect_observed(
        &self,
        method: impl Into<Method>,
        observer: &mut (dyn FnMut(Phase, Duration) + Send),
    ) -> Result<Context, Error> {
        observer(Phase::Spawn, Duration::ZERO);
        self.connect(method).await
    }

    /// Sends a call whose result nobody wants. A failure is logged by the context.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::Encode`], [`Error::TooLarge`] as for [`Context::call`];
    /// [`Error::Lost`] when no way leads to the context, [`Error::Closed`].
    pub fn send(&self, call: Call) -> Result<(), Error> {
        let body = call.encode(&self.shared)?;
        self.shared.send(self.id(), mitogen_wire::body::CallFunction::HANDLE, body)
    }

    /// Asks a service that this context offers under a name: what upstream calls `call_service`. The
    /// arguments have names: a struct, a map, or `()` for none. The request leaves at once.
    ///
    /// # Errors
    /// As [`Context::call`]; [`Error::Call`] too when there is no such service, or it is not for us.
    pub fn call_service<T: DeserializeOwned>(
        &self,
        service: &str,
        method: &str,
        args: impl Serialize,
    ) -> PendingCall<T> {
        let name = format!("{service}.{method}");
        let unsendable = |message: String| Error::Encode { what: name.clone(), message };
        let request = mitogen_wire::to_value(&args)
            .map_err(|error| unsendable(error.to_string()))
            .and_then(|args| named(args).ok_or_else(|| unsendable("the arguments need names".to_owned())))
            .and_then(|args| {
                let (service, method) = (service.to_owned(), method.to_owned());
                let call = mitogen_wire::body::CallService { service, method, args };
                call.encode().map_err(|error| unsendable(error.to_string()))
            });
        PendingCall::request(self, Handle::CALL_SERVICE, name, request)
    }

    /// A chain of calls: a failure cancels those that follow.
    pub fn chain(&self) -> CallChain {
        CallChain::new(self)
    }

    /// What leads to a handle of this context.
    pub fn sender(&self, handle: Handle) -> Sender {
        Sender::new(&self.shared, Address { context: self.id(), handle })
    }

    /// Calls a function and waits for its result.
    ///
    /// `function` is a dotted name (see [`Call::new`]); `args` is a tuple or any other sequence,
    /// `()` for none. The result becomes any type that serde can make from it;
    /// [`Value`](crate::Value) takes whatever comes.
    ///
    /// ```no_run
    /// # async fn example(context: mitogen::Context) -> Result<(), mitogen::Error> {
    /// let pid: u32 = context.call("os.getpid", ()).await?;
    /// let names: Vec<String> = context.call("os.listdir", ("/etc",)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Call`] when the function, or the search for it, raised an exception;
    /// [`Error::Lost`], [`Error::Encode`], [`Error::TooLarge`], [`Error::Decode`],
    /// [`Error::BadName`], [`Error::Refused`], [`Error::Closed`].
    pub async fn call<T: DeserializeOwned>(&self, function: &str, args: impl Serialize) -> Result<T, Error> {
        self.start(Call::new(function).args(args)).await
    }

    /// Sends a call at once and returns the future of its result.
    ///
    /// A context runs its calls one after the other, in the order of these starts. Errors in the
    /// call itself (a bad name, arguments that cannot be sent) come out of the future too.
    pub fn start<T: DeserializeOwned>(&self, call: Call) -> PendingCall<T> {
        PendingCall::start(self, call)
    }

    /// Runs a command and gathers its output. A status other than 0 is no error.
    ///
    /// # Errors
    /// As [`Context::call`]; a program that does not exist is an [`Error::Call`].
    pub async fn exec(&self, command: Command) -> Result<Output, Error> {
        crate::exec::run(self, command).await
    }

    /// Starts a command whose output is to be taken as it comes, in bounded memory, however much it is. A
    /// command that reads takes [`Command::stdin`], as with [`Context::exec`].
    ///
    /// ```no_run
    /// # async fn example(context: mitogen::Context) -> Result<(), mitogen::Error> {
    /// use mitogen::{Command, Printed};
    /// let mut running = context.spawn(Command::new("journalctl").arg("-f"))?;
    /// while let Some(printed) = running.next().await? {
    ///     if let Printed::Stdout(bytes) = printed {
    ///         println!("{}", String::from_utf8_lossy(&bytes));
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`]. All else comes out of [`Running::next`].
    pub fn spawn(&self, command: Command) -> Result<Running, Error> {
        Running::start(self, command)
    }

    /// Measures one call of a trivial function, there and back.
    ///
    /// # Errors
    /// As [`Context::call`].
    pub async fn ping(&self) -> Result<Duration, Error> {
        let start = tokio::time::Instant::now();
        let _pid: u32 = self.call("os.getpid", ()).await?;
        Ok(start.elapsed())
    }

    /// The counters of the link to it; `None` for a context behind another one, and after its end.
    pub fn stats(&self) -> Option<LinkStats> {
        self.shared.stats(self.info.id)
    }

    /// Whether it is still connected. That can change at any moment: an answer of `true` promises
    /// nothing.
    pub fn is_connected(&self) -> bool {
        self.shared.info(self.info.id).is_some()
    }

    /// Has the context leave the tree, with all that is behind it, and waits until it has: it lives on,
    /// and keeps its descendants, when this program ends. Nothing here leads to it any more; calls under
    /// way end with [`Error::Lost`] for [`LostReason::Detached`](crate::LostReason::Detached).
    ///
    /// A detached context runs what its functions have left running in threads of their own, or what
    /// they do after they have detached it themselves (`econtext.detach()`); only a signal ends it from outside. The tool that led to it (ssh) is not kept.
    ///
    /// This is a call like others: it waits for those that were started before. Detaching what has
    /// detached succeeds.
    ///
    /// # Errors
    /// [`Error::Lost`] for any other reason; otherwise as [`Context::call`].
    pub async fn detach(&self) -> Result<(), Error> {
        let function = match self.shared.upstream {
            None => "mitogen.api.detach".to_owned(),
            Some(_) => format!("{}.detach", crate::upstream::package::PROCESS),
        };
        let call = self.start::<()>(Call::new(function));
        // A neighbour says it itself; of one behind others only the loss is heard.
        let behind = self.info.parent.is_some();
        self.info.set_detached(self.info.is_detached() || behind);
        let lost = async {
            self.info.wait_ended().await;
            Err(self.info.lost_error())
        };
        let result = tokio::select! {
            result = call => result,
            lost = lost => lost,
        };
        match result {
            Err(Error::Lost { reason: crate::LostReason::Detached, .. }) | Ok(()) => Ok(()),
            Err(error) => {
                self.info.set_detached(false);
                Err(error)
            }
        }
    }

    /// Asks the context to end, and waits until it has: it closes its descendants, sends what its
    /// user code printed, and exits. If a child of this program is not gone within the router's grace
    /// ([`RouterBuilder::shutdown_grace`](crate::RouterBuilder::shutdown_grace)), its process gets
    /// a SIGTERM and then a SIGKILL; either way it has been reaped when this returns. A context behind
    /// another is gone when that one says so.
    ///
    /// Calls under way end with [`Error::Lost`]. Shutting down a context that is already gone
    /// succeeds.
    ///
    /// # Errors
    /// [`Error::Timeout`] when even a killed process did not go away.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.shared.shut_down(vec![Arc::clone(&self.info)]).await
    }
}

/// Arguments by their names.
fn named(args: Value) -> Option<Vec<(String, Value)>> {
    match args {
        Value::Kwargs(args) => Some(args),
        Value::Dict(pairs) => {
            pairs.into_iter().map(|(key, value)| Some((key.as_str()?.to_owned(), value))).collect()
        }
        Value::None => Some(Vec::new()),
        Value::Tuple(args) | Value::List(args) if args.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.info.id.0)
            .field("name", &&*self.info.name)
            .field("hop", &&*self.info.hop)
            .finish()
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.info.id == other.info.id
    }
}

impl Eq for Context {}

/// As an argument of a call it is a `mitogen.core.Context`.
impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Peers refuse longer names.
        let name = self.info.name.chars().take(99).collect();
        Value::Context { id: self.info.id, name: Some(name) }.serialize(serializer)
    }
}

/// A context that was named in a message: Python's `mitogen.core.Context` arrives as one.
/// [`Router::resolve`](crate::Router::resolve) makes it usable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContextRef {
    /// Which context.
    pub id: ContextId,
    /// What it is called where the message comes from.
    pub name: Option<String>,
}

impl Serialize for ContextRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::Context { id: self.id, name: self.name.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ContextRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ContextRef, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Context { id, name } => Ok(ContextRef { id, name }),
            other => Err(serde::de::Error::custom(format!("expected a Context, found {}", other.kind()))),
        }
    }
}
