//! Messages outside of calls: receivers, and what comes to them.

use crate::credit::{self, Ledger};
use crate::error::Error;
use crate::sender::{Address, Sender, encode};
use crate::shared::Shared;
use mitogen_router::credit::credit_handle;
use mitogen_router::{Access, Mailbox};
use mitogen_wire::body::{CallError, CallResult, Dead};
use mitogen_wire::{ContextId, Encoding, Handle, Message, ReplyTo, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
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
/// A sender of this project's that is faster than the reader waits when 1 MiB of its messages was not
/// taken. Dropping the receiver closes the handle: who sends then is told.
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
    ledger: Ledger,
}

/// The end of a receiver's queue where messages are put in.
#[derive(Clone)]
pub(crate) struct Queue {
    messages: mpsc::UnboundedSender<Message>,
    level: Arc<Level>,
}

impl Queue {
    pub(crate) fn push(&self, shared: &Shared, message: Message) {
        if self.level.overflown.load(Ordering::Relaxed) {
            return;
        }
        let cost = message.payload.len() + OVERHEAD;
        if self.level.queued.fetch_add(cost, Ordering::Relaxed) + cost > LIMIT {
            self.level.overflown.store(true, Ordering::Relaxed);
        }
        let credit = self.level.ledger.arrive(shared, &message);
        credit::tell(shared, &message, credit);
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
        Receiver::open_as(shared, handle, Mailbox::open_to(access))
    }

    /// For what one context sends, and nobody else. It ends with that context.
    pub(crate) fn open_for(shared: &Arc<Shared>, respondent: ContextId) -> Result<Receiver, Error> {
        let mailbox = Mailbox::open_to(Access::Anyone);
        Receiver::open_as(shared, None, Mailbox { respondent: Some(respondent), ..mailbox })
    }

    fn open_as(shared: &Arc<Shared>, handle: Option<Handle>, mailbox: Mailbox) -> Result<Receiver, Error> {
        let (sender, messages) = mpsc::unbounded_channel();
        let level = Arc::new(Level::default());
        let queue = Queue { messages: sender, level: Arc::clone(&level) };
        let handle = shared.open(handle, mailbox, queue)?;
        Ok(Receiver { shared: Arc::clone(shared), handle, messages, level })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its number within this program.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// What leads here. It can be an argument of a call: Python sees a `mitogen.core.Sender`.
    pub fn sender(&self) -> Sender {
        Sender::new(&self.shared, Address { context: ContextId::CONTROLLER, handle: self.handle })
    }

    /// Whether a message has come that was not taken.
    pub(crate) fn waits(&self) -> bool {
        !self.messages.is_empty()
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
                credit::tell(&self.shared, &message, self.level.ledger.take(&message));
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
    pub(crate) fn new(shared: &Arc<Shared>, message: Message) -> Incoming {
        Incoming { shared: Arc::clone(shared), message }
    }

    pub(crate) fn into_parts(self) -> (Arc<Shared>, Message) {
        (self.shared, self.message)
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    /// Who sent it. That was checked against the link that it came by.
    pub fn from(&self) -> ContextId {
        self.message.src
    }

    /// Whether its sender waits for an answer.
    pub fn wants_reply(&self) -> bool {
        matches!(self.message.reply_to, ReplyTo::Handle(_)) && credit_handle(&self.message).is_none()
    }

    /// Its value.
    ///
    /// # Errors
    /// [`Error::ChannelClosed`], [`Error::Decode`], [`Error::Call`], as [`Receiver::recv`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let what = || format!("a message from context {}", self.message.src);
        if let Some(reason) = Dead::from_message(&self.message) {
            return Err(Error::ChannelClosed {
                context: credit::label(&self.shared, self.message.src),
                reason,
            });
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
        self.answer(body);
        Ok(())
    }

    /// Answers it with an exception of this class (`builtins.ValueError`), for instance.
    pub fn fail(&self, type_name: &str, message: &str) {
        if let Ok(body) = CallError::new(type_name, message, None).encode() {
            self.answer(body);
        }
    }

    fn answer(&self, body: (Encoding, bytes::Bytes)) {
        if self.wants_reply() {
            self.shared.reply(&self.message, body);
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("from", &self.message.src).finish_non_exhaustive()
    }
}
