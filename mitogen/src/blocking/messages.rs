//! Messages outside of calls, results as they come, and events, for those who wait.

use super::PendingCall;
use crate::engine::Engine;
use crate::{Address, Error, Event, Handle, Incoming};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The blocking form of [`crate::Receiver`].
#[derive(Debug)]
pub struct Receiver {
    inner: crate::Receiver,
    engine: Arc<Engine>,
}

impl Receiver {
    pub(super) fn new(inner: crate::Receiver, engine: &Arc<Engine>) -> Receiver {
        Receiver { inner, engine: Arc::clone(engine) }
    }

    /// See [`crate::Receiver::handle`].
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// See [`crate::Receiver::sender`].
    pub fn sender(&self) -> Sender {
        Sender::new(self.inner.sender(), &self.engine)
    }

    /// See [`crate::Receiver::next`].
    ///
    /// # Errors
    /// As there.
    pub fn next(&mut self) -> Result<Incoming, Error> {
        self.engine.block_on(self.inner.next())
    }

    /// The next message, if one comes in time.
    ///
    /// # Errors
    /// As [`crate::Receiver::next`].
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Incoming>, Error> {
        let next = async { tokio::time::timeout(limit, self.inner.next()).await };
        self.engine.block_on(next).ok().transpose()
    }

    /// See [`crate::Receiver::recv`].
    ///
    /// # Errors
    /// As there.
    pub fn recv<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.next()?.decode()
    }
}

/// The blocking form of [`crate::Sender`].
#[derive(Clone, Debug)]
pub struct Sender {
    inner: crate::Sender,
    engine: Arc<Engine>,
}

impl Sender {
    pub(super) fn new(inner: crate::Sender, engine: &Arc<Engine>) -> Sender {
        Sender { inner, engine: Arc::clone(engine) }
    }

    /// See [`crate::Sender::address`].
    pub fn address(&self) -> Address {
        self.inner.address()
    }

    /// Sends a value; waits until the receiver has room for it.
    ///
    /// # Errors
    /// As [`crate::Sender::send`].
    pub fn send(&self, value: impl Serialize) -> Result<(), Error> {
        self.engine.block_on(self.inner.send(value))
    }

    /// See [`crate::Sender::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, value: impl Serialize) -> Result<(), Error> {
        self.engine.enter(|| self.inner.try_send(value))
    }

    /// See [`crate::Sender::close`].
    pub fn close(&self) {
        self.engine.enter(|| self.inner.close());
    }
}

impl Serialize for Sender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(serializer)
    }
}

/// A receiver here and a sender to somewhere: the blocking form of [`crate::Channel`].
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
    pub fn recv<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.receiver.recv()
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

/// The blocking form of [`crate::Select`]; an iterator of what comes.
///
/// ```no_run
/// # fn example(router: mitogen::blocking::Router) -> Result<(), mitogen::Error> {
/// let mut select = router.select();
/// for context in router.contexts() {
///     select.add(context.id(), context.start::<u32>(mitogen::Call::new("os.getpid")));
/// }
/// for (id, pid) in select {
///     println!("{id}: {}", pid?);
/// }
/// # Ok(()) }
/// ```
pub struct Select<'a, K, T> {
    inner: crate::Select<'a, K, T>,
    engine: Arc<Engine>,
}

impl<'a, K: Clone + Send + 'a, T: DeserializeOwned + Send + 'a> Select<'a, K, T> {
    pub(super) fn new(engine: &Arc<Engine>) -> Select<'a, K, T> {
        Select { inner: crate::Select::new(), engine: Arc::clone(engine) }
    }

    /// See [`crate::Select::add`].
    pub fn add(&mut self, key: K, call: PendingCall<T>) {
        self.inner.add(key, call.inner);
    }

    /// See [`crate::Select::add_receiver`].
    pub fn add_receiver(&mut self, key: K, receiver: Receiver) {
        self.inner.add_receiver(key, receiver.inner);
    }

    /// See [`crate::Select::add_select`].
    pub fn add_select(&mut self, select: Select<'a, K, T>) {
        self.inner.add_select(select.inner);
    }

    /// How many it waits for.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether it waits for nothing.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

impl<'a, K: Clone + Send + 'a, T: DeserializeOwned + Send + 'a> Iterator for Select<'a, K, T> {
    type Item = (K, Result<T, Error>);

    /// What comes next; `None` when nothing is left to wait for.
    fn next(&mut self) -> Option<Self::Item> {
        self.engine.block_on(self.inner.next())
    }
}

impl<K, T> fmt::Debug for Select<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// What happens to the tree: the blocking form of [`crate::Events`], an iterator.
#[derive(Debug)]
pub struct Events {
    inner: crate::Events,
    engine: Arc<Engine>,
}

impl Events {
    pub(super) fn new(inner: crate::Events, engine: &Arc<Engine>) -> Events {
        Events { inner, engine: Arc::clone(engine) }
    }

    /// The next event, if one comes in time; `Some(None)` when the router is gone.
    pub fn next_within(&mut self, limit: Duration) -> Option<Option<Event>> {
        let next = async { tokio::time::timeout(limit, self.inner.next()).await };
        self.engine.block_on(next).ok()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.engine.block_on(self.inner.next())
    }
}
