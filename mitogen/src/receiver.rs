//! Messages outside of calls: receivers, what comes to them, and the senders that lead to them.

use crate::error::{ContextLabel, Error};
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_router::Access;
use mitogen_wire::body::{CallError, CallResult, Dead};
use mitogen_wire::{ContextId, Encoding, Handle, Message, ReplyTo, Value, pickle};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// How many bytes may wait in one receiver. What comes then closes it.
const LIMIT: usize = 64 << 20;
/// What a message costs besides its payload.
const OVERHEAD: usize = 128;

/// A handle of this program, with a queue of what comes to it.
///
/// Any context that is given its [`Sender`] can send to it; the messages of each arrive in their order.
/// Dropping it closes the handle: who sends then is told, if it asked for an answer.
///
/// ```no_run
/// # async fn example(router: mitogen::Router, context: mitogen::Context) -> Result<(), mitogen::Error> {
/// let mut receiver = router.receiver()?;
/// context.call::<()>("myapp.tail", ("/var/log/syslog", receiver.sender())).await?;
/// while let Ok(line) = receiver.recv::<String>().await {
///     println!("{line}");
/// }
/// # Ok(()) }
/// ```
pub struct Receiver {
    shared: Arc<Shared>,
    handle: Handle,
    messages: mpsc::UnboundedReceiver<Message>,
    level: Arc<Level>,
}

/// How full a queue is.
#[derive(Default)]
struct Level {
    queued: AtomicUsize,
    overflown: AtomicBool,
}

/// The end of a receiver's queue where messages are put in.
#[derive(Clone)]
pub(crate) struct Queue {
    messages: mpsc::UnboundedSender<Message>,
    level: Arc<Level>,
}

impl Queue {
    pub(crate) fn push(&self, message: Message) {
        if self.level.overflown.load(Ordering::Relaxed) {
            return;
        }
        let cost = message.payload.len() + OVERHEAD;
        if self.level.queued.fetch_add(cost, Ordering::Relaxed) + cost > LIMIT {
            self.level.overflown.store(true, Ordering::Relaxed);
        }
        // Fails when the receiver has gone meanwhile. The one that goes too far is delivered, so that
        // whoever sleeps at the other end wakes up.
        let _ = self.messages.send(message);
    }
}

impl Receiver {
    pub(crate) fn open(
        shared: &Arc<Shared>,
        handle: Option<Handle>,
        access: Access,
    ) -> Result<Receiver, Error> {
        let (sender, messages) = mpsc::unbounded_channel();
        let level = Arc::new(Level::default());
        let queue = Queue { messages: sender, level: Arc::clone(&level) };
        let handle = shared.open(handle, access, queue)?;
        Ok(Receiver { shared: Arc::clone(shared), handle, messages, level })
    }

    /// Its number within this program.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// What leads here. It can be an argument of a call: Python sees a `mitogen.core.Sender`.
    pub fn sender(&self) -> Sender {
        let address = Address { context: ContextId::CONTROLLER, handle: self.handle };
        Sender { shared: Arc::clone(&self.shared), address }
    }

    /// The next message. Cancel-safe: a dropped future takes none away.
    ///
    /// # Errors
    /// [`Error::Closed`] when the router is closed; [`Error::Overflow`] when more than 64 MiB had been
    /// waiting here: what came later is lost.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        match self.messages.recv().await {
            Some(message) => {
                let cost = message.payload.len() + OVERHEAD;
                let queued = self.level.queued.fetch_sub(cost, Ordering::Relaxed);
                if self.messages.is_empty() && self.level.overflown.load(Ordering::Relaxed) {
                    self.messages.close();
                    self.shared.forget(self.handle);
                    return Err(Error::Overflow { queued });
                }
                Ok(Incoming { shared: Arc::clone(&self.shared), message })
            }
            None => Err(Error::Closed),
        }
    }

    /// The next value. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::ChannelClosed`] when a sender says that it will send no more; the receiver still takes
    /// what others send. [`Error::Decode`], [`Error::Call`] when what came is an exception,
    /// [`Error::Overflow`], [`Error::Closed`].
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.next().await?.decode()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.forget(self.handle);
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A message that came to a [`Receiver`].
pub struct Incoming {
    shared: Arc<Shared>,
    message: Message,
}

impl Incoming {
    /// Who sent it. That was checked against the link that it came by.
    pub fn from(&self) -> ContextId {
        self.message.src
    }

    pub(crate) fn into_message(self) -> Message {
        self.message
    }

    /// Whether its sender waits for an answer.
    pub fn wants_reply(&self) -> bool {
        matches!(self.message.reply_to, ReplyTo::Handle(_))
    }

    /// Its value.
    ///
    /// # Errors
    /// [`Error::ChannelClosed`], [`Error::Decode`], [`Error::Call`], as [`Receiver::recv`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let what = || format!("a message from context {}", self.message.src);
        if let Some(reason) = Dead::from_message(&self.message) {
            return Err(Error::ChannelClosed { context: self.label(), reason });
        }
        let value = match self.message.encoding {
            Encoding::Raw => Value::Bytes(self.message.payload.clone()),
            _ => match CallResult::decode(&self.message) {
                Ok(CallResult::Returned(value)) => value,
                Ok(CallResult::Raised(error)) => return Err(Error::Call(error.into())),
                Err(error) => return Err(Error::Decode { what: what(), message: error.to_string() }),
            },
        };
        mitogen_wire::from_value(value)
            .map_err(|error| Error::Decode { what: what(), message: error.to_string() })
    }

    /// Answers it; nothing happens when no answer is wanted.
    ///
    /// # Errors
    /// [`Error::Encode`] when the value cannot be sent.
    pub fn reply(&self, value: impl Serialize) -> Result<(), Error> {
        let body = encode(&value, || format!("an answer to context {}", self.message.src))?;
        self.shared.reply(&self.message, body);
        Ok(())
    }

    /// Answers it with an exception of this class (`builtins.ValueError`), for instance.
    pub fn fail(&self, type_name: &str, message: &str) {
        if let Ok(body) = CallError::new(type_name, message, None).encode() {
            self.shared.reply(&self.message, body);
        }
    }

    fn label(&self) -> ContextLabel {
        let id = self.message.src;
        self.shared
            .info(id)
            .map_or_else(|| ContextLabel { id, name: Arc::from(id.to_string()) }, |info| info.label())
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("from", &self.message.src).finish_non_exhaustive()
    }
}

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

/// The sending end of a receiver in some context. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
    address: Address,
}

impl Sender {
    pub(crate) fn new(shared: &Arc<Shared>, address: Address) -> Sender {
        Sender { shared: Arc::clone(shared), address }
    }

    /// Where it leads.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Sends a value. It has left when this returns; whether it arrives is not said.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::TooLarge`], [`Error::Lost`] when no way leads there, [`Error::Closed`].
    pub fn send(&self, value: impl Serialize) -> Result<(), Error> {
        let what = || format!("a message to context {}", self.address.context);
        let body = encode(&value, what)?;
        let (length, limit) = (body.1.len(), self.shared.settings.max_message_size);
        if length > limit {
            return Err(Error::TooLarge { what: what(), length, limit });
        }
        self.shared.send(self.address.context, self.address.handle, body)
    }

    /// Tells the receiver that nothing more will come from here.
    pub fn close(&self) {
        self.shared.send_dead(self.address.context, self.address.handle, &Dead::SenderClosed);
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

/// A receiver here and a sender to somewhere: a conversation.
#[derive(Debug)]
pub struct Channel {
    /// What comes.
    pub receiver: Receiver,
    /// What goes.
    pub sender: Sender,
}

impl Channel {
    /// Joins both ends.
    pub fn new(receiver: Receiver, sender: Sender) -> Channel {
        Channel { receiver, sender }
    }

    /// As [`Receiver::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.receiver.recv().await
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, value: impl Serialize) -> Result<(), Error> {
        self.sender.send(value)
    }
}

impl Drop for Channel {
    /// Tells the other end.
    fn drop(&mut self) {
        self.sender.close();
    }
}

fn encode(value: &impl Serialize, what: impl Fn() -> String) -> Result<(Encoding, Bytes), Error> {
    let value = mitogen_wire::to_value(value)
        .map_err(|error| Error::Encode { what: what(), message: error.to_string() })?;
    let payload =
        pickle::write(&value).map_err(|error| Error::Encode { what: what(), message: error.to_string() })?;
    Ok((Encoding::Pickle, payload))
}
