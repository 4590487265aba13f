//! Results as they come, from calls, receivers and other selects.

use crate::call::PendingCall;
use crate::error::Error;
use crate::receiver::Receiver;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Waits for whatever comes first, of any number of calls, receivers and selects.
///
/// Each has a key, by which its results are told from others. A call is gone with its result; a receiver
/// stays until it is closed.
///
/// ```no_run
/// # async fn example(contexts: Vec<mitogen::Context>) -> Result<(), mitogen::Error> {
/// let mut select = mitogen::Select::new();
/// for context in &contexts {
///     select.add(context.name(), context.start::<u32>(mitogen::Call::new("os.getpid")));
/// }
/// while let Some((name, pid)) = select.next().await {
///     println!("{name}: {}", pid?);
/// }
/// # Ok(()) }
/// ```
pub struct Select<'a, K, T> {
    pending: FuturesUnordered<Pending<'a, K, T>>,
}

type Pending<'a, K, T> = Pin<Box<dyn Future<Output = Came<'a, K, T>> + Send + 'a>>;

/// What one of them brought, and the one itself if more may come of it.
struct Came<'a, K, T> {
    got: Option<(K, Result<T, Error>)>,
    rest: Option<Rest<'a, K, T>>,
}

enum Rest<'a, K, T> {
    Receiver(K, Receiver),
    Select(Select<'a, K, T>),
}

impl<'a, K: Clone + Send + 'a, T: DeserializeOwned + Send + 'a> Select<'a, K, T> {
    /// Of nothing, yet.
    pub fn new() -> Select<'a, K, T> {
        Select { pending: FuturesUnordered::new() }
    }

    /// Adds a call that was started.
    pub fn add(&mut self, key: K, call: PendingCall<T>) {
        self.pending.push(Box::pin(async move { Came { got: Some((key, call.await)), rest: None } }));
    }

    /// Adds a receiver, which belongs to the select from now on.
    pub fn add_receiver(&mut self, key: K, mut receiver: Receiver) {
        self.pending.push(Box::pin(async move {
            let got = receiver.recv().await;
            let over = matches!(got, Err(Error::Closed | Error::Overflow { .. }));
            let rest = (!over).then(|| Rest::Receiver(key.clone(), receiver));
            Came { got: Some((key, got)), rest }
        }));
    }

    /// Adds all that another select waits for.
    pub fn add_select(&mut self, mut select: Select<'a, K, T>) {
        self.pending.push(Box::pin(async move {
            let got = select.next().await;
            let rest = got.is_some().then_some(Rest::Select(select));
            Came { got, rest }
        }));
    }

    /// How many it waits for.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether it waits for nothing.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What comes next, and from whom; `None` when nothing is left to wait for. Cancel-safe: when the
    /// future is dropped nothing is lost.
    pub async fn next(&mut self) -> Option<(K, Result<T, Error>)> {
        loop {
            let Came { got, rest } = self.pending.next().await?;
            match rest {
                Some(Rest::Receiver(key, receiver)) => self.add_receiver(key, receiver),
                Some(Rest::Select(select)) => self.add_select(select),
                None => {}
            }
            if got.is_some() {
                return got;
            }
        }
    }
}

impl<'a, K: Clone + Send + 'a, T: DeserializeOwned + Send + 'a> Default for Select<'a, K, T> {
    fn default() -> Self {
        Select::new()
    }
}

impl<K, T> fmt::Debug for Select<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("pending", &self.pending.len()).finish()
    }
}
