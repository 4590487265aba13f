//! Calls that stand and fall together.

use crate::call::{Call, PendingCall};
use crate::context::Context;
use crate::error::Error;
use mitogen_wire::Value;
use mitogen_wire::body::CallFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicU64, Ordering};

/// Calls of one context that follow each other without waiting. When one fails, those behind it are not
/// run: each gets the error of the first that failed, until [`CallChain::reset`].
///
/// ```no_run
/// # async fn example(context: mitogen::Context) -> Result<(), mitogen::Error> {
/// let chain = context.chain();
/// chain.send(mitogen::Call::new("os.mkdir").arg("/tmp/new"))?;
/// chain.send(mitogen::Call::new("os.chdir").arg("/tmp/new"))?;
/// // Fails if either of them did.
/// let here: String = chain.call("os.getcwd", ()).await?;
/// # Ok(()) }
/// ```
///
/// The context forgets the chain when this is dropped.
#[derive(Debug)]
pub struct CallChain {
    context: Context,
    id: Value,
}

impl CallChain {
    pub(crate) fn new(context: &Context) -> CallChain {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Chains of other programs may reach the same context.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = Value::Text(format!("{}-{number}", context.shared.remote_name));
        CallChain { context: context.clone(), id }
    }

    /// The context whose calls these are.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// As [`Context::call`], as a link of the chain.
    ///
    /// # Errors
    /// As there; the error of an earlier call, if one failed.
    pub async fn call<T: DeserializeOwned>(&self, function: &str, args: impl Serialize) -> Result<T, Error> {
        self.start(Call::new(function).args(args)).await
    }

    /// As [`Context::start`], as a link of the chain.
    pub fn start<T: DeserializeOwned>(&self, call: Call) -> PendingCall<T> {
        self.context.start(call.in_chain(self.id.clone()))
    }

    /// As [`Context::send`], as a link of the chain: its failure is the error of the next that is waited for.
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, call: Call) -> Result<(), Error> {
        self.context.send(call.in_chain(self.id.clone()))
    }

    /// Forgets a failure: what is started from now on is run again.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Closed`].
    pub fn reset(&self) -> Result<(), Error> {
        let body = CallFunction::forget_chain(self.id.clone())
            .encode()
            .map_err(|error| Error::Encode { what: "forget_chain".to_owned(), message: error.to_string() })?;
        self.context.shared.send(self.context.id(), CallFunction::HANDLE, body)
    }
}

impl Drop for CallChain {
    fn drop(&mut self) {
        // A context that is gone has forgotten it.
        let _ = self.reset();
    }
}
