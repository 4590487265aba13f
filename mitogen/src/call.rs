//! One function call: what is asked, and the future of its answer.

use crate::context::Context;
use crate::error::{Error, RemoteError};
use crate::hub::Reply;
use crate::info::{CallGuard, ContextInfo};
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_router::Closed;
use mitogen_wire::body::{CallFunction, CallResult, Dead};
use mitogen_wire::{Encoding, Handle, Message, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// A function call to be made: the function's name, its arguments, a deadline.
///
/// ```
/// use mitogen::Call;
/// use std::time::Duration;
///
/// let call = Call::new("json.dumps").arg([1, 2, 3]).kwarg("indent", 2).timeout(Duration::from_secs(5));
/// assert_eq!(call.name(), "json.dumps");
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    name: String,
    args: Vec<Value>,
    kwargs: Vec<(String, Value)>,
    timeout: Option<Duration>,
    /// The chain that it belongs to, or `None`.
    chain: Value,
    /// The first argument that could not be expressed; reported when the call is started.
    unsendable: Option<String>,
}

impl Call {
    /// A call of the function with this dotted name: `os.getpid`, `package.module.function`,
    /// `module.Class.classmethod`. Where a name could be read in two ways, a colon ends the
    /// module's part: `module:Class.classmethod`.
    pub fn new(name: impl Into<String>) -> Call {
        Call {
            name: name.into(),
            args: Vec::new(),
            kwargs: Vec::new(),
            timeout: None,
            chain: Value::None,
            unsendable: None,
        }
    }

    /// Adds one positional argument.
    #[must_use]
    pub fn arg(mut self, value: impl Serialize) -> Call {
        match mitogen_wire::to_value(&value) {
            Ok(value) => self.args.push(value),
            Err(error) => self.refuse(format!("argument {}: {error}", self.args.len() + 1)),
        }
        self
    }

    /// Adds one positional argument that is a Python value already.
    pub(crate) fn arg_value(mut self, value: Value) -> Call {
        self.args.push(value);
        self
    }

    /// Adds every element of a tuple or sequence as one positional argument; `()` adds none.
    #[must_use]
    pub fn args(mut self, values: impl Serialize) -> Call {
        match mitogen_wire::to_value(&values) {
            Ok(Value::Tuple(values) | Value::List(values)) => self.args.extend(values),
            Ok(Value::None) => {}
            Ok(_) => {
                self.refuse("the arguments must be a tuple or a sequence: one is written `(x,)`".to_owned())
            }
            Err(error) => self.refuse(error.to_string()),
        }
        self
    }

    /// Adds a keyword argument.
    #[must_use]
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Call {
        let name = name.into();
        match mitogen_wire::to_value(&value) {
            Ok(value) => self.kwargs.push((name, value)),
            Err(error) => self.refuse(format!("argument {name}: {error}")),
        }
        self
    }

    /// How long an answer is waited for, from the moment the call is started. Without it a call
    /// waits until its context answers or is lost.
    #[must_use]
    pub fn timeout(mut self, after: Duration) -> Call {
        self.timeout = Some(after);
        self
    }

    /// The function's name, as given.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn in_chain(mut self, chain: Value) -> Call {
        self.chain = chain;
        self
    }

    /// The message's body, made off the lock.
    pub(crate) fn encode(self, shared: &Shared) -> Result<(Encoding, Bytes), Error> {
        let Call { name, args, kwargs, chain, unsendable, .. } = self;
        if let Some(message) = unsendable {
            return Err(Error::Encode { what: name, message });
        }
        let Some(function) = Function::parse(&name) else {
            return Err(Error::BadName { name });
        };
        let body = CallFunction {
            chain,
            module: function.module.to_owned(),
            class: function.class.map(str::to_owned),
            function: function.name.to_owned(),
            args,
            kwargs,
        };
        let (encoding, payload) = match body.encode() {
            Ok(body) => body,
            Err(error) => return Err(Error::Encode { what: name, message: error.to_string() }),
        };
        let (length, limit) = (payload.len(), shared.settings.max_message_size);
        if length > limit {
            return Err(Error::TooLarge { what: name, length, limit });
        }
        Ok((encoding, payload))
    }

    fn refuse(&mut self, message: String) {
        self.unsendable.get_or_insert(message);
    }
}

/// A call that was started: a future of its result.
///
/// The call was sent before this value was returned, so several can be under way at once and be
/// awaited in any order. Dropping it forgets the answer; the function still runs.
#[must_use = "the result, or the error, comes when this is awaited"]
pub struct PendingCall<T> {
    state: State,
    result: PhantomData<fn() -> T>,
}

enum State {
    /// It could not be sent; the error is taken by the first poll.
    Unsent(Option<Error>),
    Waiting(Waiting),
}

/// An answer that is waited for.
struct Waiting {
    context: Context,
    name: String,
    /// Where the answer comes; `None` once it has come.
    reply: Option<Handle>,
    receiver: oneshot::Receiver<Reply>,
    /// When the call was started, and how long after that is too late.
    deadline: Option<(Instant, Duration)>,
    /// Made by the first poll that has to wait.
    alarm: Option<Pin<Box<Sleep>>>,
    _place: CallGuard,
}

impl<T> PendingCall<T> {
    /// Encodes the call, off the lock, and sends it.
    pub(crate) fn start(context: &Context, call: Call) -> PendingCall<T> {
        let state = match Waiting::start(context, call) {
            Ok(waiting) => State::Waiting(waiting),
            Err(error) => State::Unsent(Some(error)),
        };
        PendingCall { state, result: PhantomData }
    }

    /// Sends a request that is answered as a call is.
    pub(crate) fn request(
        context: &Context,
        handle: Handle,
        name: String,
        body: Result<(Encoding, Bytes), Error>,
    ) -> PendingCall<T> {
        let state = match body {
            Ok(body) => Waiting::request(context, handle, name, body, None),
            Err(error) => Err(error),
        };
        let state = state.map_or_else(|error| State::Unsent(Some(error)), State::Waiting);
        PendingCall { state, result: PhantomData }
    }
}

impl<T: DeserializeOwned> Future for PendingCall<T> {
    type Output = Result<T, Error>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Unsent(error) => Poll::Ready(Err(error.take().expect("polled after it was ready"))),
            State::Waiting(waiting) => waiting.poll(task).map(|answer| waiting.decode(&answer?)),
        }
    }
}

impl<T> std::fmt::Debug for PendingCall<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.state {
            State::Unsent(_) => "(not sent)",
            State::Waiting(waiting) => &waiting.name,
        };
        f.debug_struct("PendingCall").field("name", &name).finish_non_exhaustive()
    }
}

impl Waiting {
    fn start(context: &Context, call: Call) -> Result<Waiting, Error> {
        let deadline = call.timeout.map(|after| (Instant::now(), after));
        let name = call.name.clone();
        let body = call.encode(&context.shared)?;
        Waiting::request(context, CallFunction::HANDLE, name, body, deadline)
    }

    fn request(
        context: &Context,
        handle: Handle,
        name: String,
        body: (Encoding, Bytes),
        deadline: Option<(Instant, Duration)>,
    ) -> Result<Waiting, Error> {
        let place = context.info.begin_call(body.1.len())?;
        let (reply, receiver) = context.shared.request(context.id(), handle, body);
        Ok(Waiting {
            context: context.clone(),
            name,
            reply: Some(reply),
            receiver,
            deadline,
            alarm: None,
            _place: place,
        })
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<Message, Error>> {
        if let Poll::Ready(reply) = Pin::new(&mut self.receiver).poll(task) {
            self.reply = None;
            return Poll::Ready(match reply {
                Ok(Reply::Message(message)) => Ok(message),
                Ok(Reply::Closed(closed)) => Err(closed_error(&self.context.info, closed)),
                Err(_) => Err(Error::Closed),
            });
        }
        let Some((start, after)) = self.deadline else {
            return Poll::Pending;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(start, after)));
        alarm.as_mut().poll(task).map(|()| {
            Err(Error::Timeout { context: self.context.info.label(), what: self.name.clone(), after })
        })
    }

    fn decode<T: DeserializeOwned>(&self, answer: &Message) -> Result<T, Error> {
        let unreadable = |message: String| Error::Decode { what: self.name.clone(), message };
        match CallResult::decode(answer).map_err(|error| unreadable(error.to_string()))? {
            CallResult::Returned(value) => {
                mitogen_wire::from_value(value).map_err(|error| unreadable(error.to_string()))
            }
            CallResult::Raised(error) => Err(Error::Call(RemoteError::from(error))),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(reply) = self.reply {
            self.context.shared.forget(reply);
        }
    }
}

/// Why an answer of this context will not come.
pub(crate) fn closed_error(info: &ContextInfo, closed: Closed) -> Error {
    match closed {
        Closed::RouterClosed => Error::Closed,
        Closed::Dead { reason: Dead::RespondentGone | Dead::NoRoute { .. } | Dead::BrokerExited, .. } => {
            info.lost_error()
        }
        Closed::Dead { reason, .. } => Error::Refused { context: info.label(), reason },
        _ => info.lost_error(),
    }
}

fn sleep_until(start: Instant, after: Duration) -> Sleep {
    // A deadline beyond the clock's reach is none that anybody will see.
    let never = || start + Duration::from_secs(30 * 365 * 86_400);
    tokio::time::sleep_until(start.checked_add(after).unwrap_or_else(never))
}

/// A function's name, in its parts.
#[derive(Debug, PartialEq, Eq)]
struct Function<'a> {
    module: &'a str,
    class: Option<&'a str>,
    name: &'a str,
}

impl<'a> Function<'a> {
    /// `module.function`, where module may turn out to be `module.Class` (the context finds out),
    /// or `module:function`, `module:Class.function`.
    fn parse(text: &'a str) -> Option<Function<'a>> {
        let function = match text.split_once(':') {
            None => {
                let (module, name) = text.rsplit_once('.')?;
                Function { module, class: None, name }
            }
            Some((module, rest)) => match rest.rsplit_once('.') {
                None => Function { module, class: None, name: rest },
                Some((class, name)) => Function { module, class: Some(class), name },
            },
        };
        let parts = function.module.split('.').chain(function.class).chain([function.name]);
        let good = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == ':');
        parts.into_iter().all(good).then_some(function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_falls_into_module_class_and_function() {
        let plain = Function::parse("os.path.join").expect("a good name");
        assert_eq!((plain.module, plain.class, plain.name), ("os.path", None, "join"));
        let method = Function::parse("collections:OrderedDict.fromkeys").expect("a good name");
        assert_eq!(
            (method.module, method.class, method.name),
            ("collections", Some("OrderedDict"), "fromkeys")
        );
        let module = Function::parse("os.path:join").expect("a good name");
        assert_eq!((module.module, module.class, module.name), ("os.path", None, "join"));
    }

    #[test]
    fn names_without_a_module_are_refused() {
        for name in ["", "len", ".len", "os.", "os..len", "os:", ":f", "a b.c", "a:b:c"] {
            assert_eq!(Function::parse(name), None, "{name:?}");
        }
    }
}
