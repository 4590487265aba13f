//! How many requests of one caller run at once, and how many may wait.

use super::{Answer, ERROR, Handling};
use crate::error::RemoteError;
use mitogen_wire::{ContextId, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// How many requests of one caller run at a time.
const RUNNING: usize = 32;
/// How many of one caller are there, the running ones included.
const REQUESTS: usize = 4096;
/// How many bytes they may hold.
const BYTES: usize = 16 << 20;

/// The callers of one handle.
#[derive(Default)]
pub(super) struct Turns(BTreeMap<ContextId, Arc<Caller>>);

/// One caller's requests.
struct Caller {
    turns: Arc<Semaphore>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// One request's place; given back when it is dropped.
struct Place {
    caller: Arc<Caller>,
    bytes: usize,
}

impl Turns {
    /// Has a request handled when it is its turn.
    pub(super) fn begin(&mut self, message: &Message, answer: Answer, handling: Handling) {
        let Some(place) = self.place(message.src, message.payload.len()) else {
            let text = "too many requests of this context are waiting already";
            return answer.give(Err(RemoteError::new(ERROR, text)));
        };
        tokio::spawn(async move {
            // It is never closed.
            let turn = Arc::clone(&place.caller.turns).acquire_owned().await;
            answer.give(handling.await);
            drop((turn, place));
        });
    }

    fn place(&mut self, id: ContextId, bytes: usize) -> Option<Place> {
        if !self.0.contains_key(&id) {
            // Those that wait for nothing are forgotten when somebody new comes.
            self.0.retain(|_, caller| Arc::strong_count(caller) > 1);
        }
        let caller = self.0.entry(id).or_insert_with(|| {
            Arc::new(Caller {
                turns: Arc::new(Semaphore::new(RUNNING)),
                requests: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
            })
        });
        let place = Place { caller: Arc::clone(caller), bytes };
        // Only this function adds, and it has `self` to itself.
        let requests = caller.requests.fetch_add(1, Ordering::Relaxed);
        let held = caller.bytes.fetch_add(bytes, Ordering::Relaxed);
        (requests < REQUESTS && (held + bytes <= BYTES || requests == 0)).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caller.requests.fetch_sub(1, Ordering::Relaxed);
        self.caller.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
