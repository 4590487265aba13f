//! One function call: what is asked, and the future of its answer.

use crate::error::Error;
use crate::shared::Waiting;
use mitogen_wire::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

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
    /// The first argument that could not be expressed; reported when the call is started.
    unsendable: Option<String>,
}

impl Call {
    /// A call of the function with this dotted name: `os.getpid`, `package.module.function`,
    /// `module.Class.classmethod`. Where a name could be read in two ways, a colon ends the
    /// module's part: `module:Class.classmethod`.
    pub fn new(name: impl Into<String>) -> Call {
        Call { name: name.into(), args: Vec::new(), kwargs: Vec::new(), timeout: None, unsendable: None }
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
    waiting: Waiting,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Future for PendingCall<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.waiting).poll(task).map(|_answer| Err(Error::Closed))
    }
}

impl<T> PendingCall<T> {
    pub(crate) fn start(_context: &crate::Context, _call: Call) -> PendingCall<T> {
        PendingCall { waiting: Waiting::new(), result: PhantomData }
    }
}
