//! The sending ends of receivers: where they lead, and what may go there at once.

use crate::credit::{self, Account};
use crate::error::Error;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Encoding, Handle, Value, pickle};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Where a receiver is: a context and a handle in it. Python's `mitogen.core.Sender` arrives as one;
/// [`Router::sender`](crate::Router::sender) makes it usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The context that holds the receiver.
    pub context: ContextId,
    /// The receiver.
    pub handle: Handle,
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::Sender { context: self.context, handle: self.handle }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Sender { context, handle } => Ok(Address { context, handle }),
            other => Err(serde::de::Error::custom(format!("expected a Sender, found {}", other.kind()))),
        }
    }
}

/// The sending end of a receiver in some context. Cheap to clone; clones share one account.
///
/// A receiver of this project's tells how much of what was sent its user has taken. When 1 MiB was not,
/// [`Sender::send`] waits. Other receivers (upstream's) say nothing: after a first wait of five seconds
/// nothing is waited for there, and what bounds the sender is what its link may hold.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    address: Address,
    purse: Arc<Purse>,
}

/// The account of all clones of one sender; closed with the last.
struct Purse {
    shared: Arc<Shared>,
    account: Arc<Account>,
}

impl Drop for Purse {
    fn drop(&mut self) {
        if let Some(handle) = self.account.opened() {
            self.shared.forget(handle);
        }
    }
}

impl Sender {
    pub(crate) fn new(shared: &Arc<Shared>, address: Address) -> Sender {
        let purse = Purse { shared: Arc::clone(shared), account: Arc::default() };
        Sender { shared: Arc::clone(shared), address, purse: Arc::new(purse) }
    }

    /// Where it leads.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Sends a value, when the receiver has room for it. It has left when this is ready; whether it
    /// arrives is not said. The value is encoded at once, and nothing is sent before the future is
    /// polled. Cancel-safe: a future that is dropped before it is ready has sent nothing.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::TooLarge`]; [`Error::ChannelClosed`] when the receiver was closed,
    /// [`Error::Lost`] when its context is gone or no way leads there, [`Error::Closed`].
    pub fn send(&self, value: impl Serialize) -> Sending {
        let body = self.encode(&value);
        let sender = self.clone();
        Sending(Box::pin(async move {
            let body = body?;
            sender.account().charge(body.1.len()).await.map_err(|closed| sender.closed_error(closed))?;
            sender.transmit(body)
        }))
    }

    /// Sends a value if the receiver has room for it now.
    ///
    /// # Errors
    /// As [`Sender::send`], and [`Error::NoCredit`].
    pub fn try_send(&self, value: impl Serialize) -> Result<(), Error> {
        let body = self.encode(&value)?;
        match self.account().try_charge(body.1.len()) {
            Ok(true) => self.transmit(body),
            Ok(false) => Err(Error::NoCredit { context: credit::label(&self.shared, self.address.context) }),
            Err(closed) => Err(self.closed_error(closed)),
        }
    }

    /// Tells the receiver that nothing more will come from here.
    pub fn close(&self) {
        self.shared.send_dead(self.address.context, self.address.handle, &Dead::SenderClosed);
    }

    fn encode(&self, value: &impl Serialize) -> Result<(Encoding, Bytes), Error> {
        let what = || format!("a message to context {}", self.address.context);
        let body = encode(value, what)?;
        let (length, limit) = (body.1.len(), self.shared.settings.max_message_size);
        if length > limit {
            return Err(Error::TooLarge { what: what(), length, limit });
        }
        Ok(body)
    }

    fn transmit(&self, body: (Encoding, Bytes)) -> Result<(), Error> {
        let Address { context, handle } = self.address;
        self.shared.apply(|hub| hub.send_for_credit(context, handle, body, self.account()))
    }

    fn account(&self) -> &Arc<Account> {
        &self.purse.account
    }

    fn closed_error(&self, closed: mitogen_router::Closed) -> Error {
        credit::closed_error(&self.shared, self.address.context, closed)
    }
}

/// A value on its way into a [`Sender`]: a future, ready when it has left.
#[must_use = "nothing is sent unless this is awaited"]
pub struct Sending(Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>);

impl Future for Sending {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(task)
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

impl Serialize for Sender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.address.serialize(serializer)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("address", &self.address).finish()
    }
}

pub(crate) fn encode(value: &impl Serialize, what: impl Fn() -> String) -> Result<(Encoding, Bytes), Error> {
    let value = mitogen_wire::to_value(value)
        .map_err(|error| Error::Encode { what: what(), message: error.to_string() })?;
    let payload =
        pickle::write(&value).map_err(|error| Error::Encode { what: what(), message: error.to_string() })?;
    Ok((Encoding::Pickle, payload))
}
