//! What waits for a link that does not take it at once: control overtakes bulk.
//!
//! A link is written and signed in the order in which messages leave here. A small message does not
//! wait behind large ones, unless that would change what somebody can rely on:
//!
//! ```text
//!  push ──┬── small, and nothing of its own conversation is in bulk ──> control ──┐
//!         └── all else ─────────────────────────────────────────────────> bulk ───┴──> pop
//! ```
//!
//! * Between any two contexts (source and destination) the order is kept.
//! * `ADD_ROUTE` goes before everything: what a new context sends is not believed before it. So does
//!   [`Grant`]: without it `ADD_ROUTE` is not believed.
//! * `DEL_ROUTE` overtakes nothing: what a lost context sent last still arrives, and is believed.
//! * No message of bulk is overtaken by more than 64 KiB bytes, so that it goes some day.

use mitogen_wire::body::{AddRoute, DelRoute, Grant};
use mitogen_wire::{ContextId, Message};
use std::collections::{BTreeMap, VecDeque};

/// The longest payload, in bytes, of a message that may overtake.
pub const CONTROL_LIMIT: usize = 4096;
/// How many bytes may overtake one message of bulk.
pub(crate) const FAIR: usize = 64 << 10;
/// What a message takes besides its payload: a header and a signature.
const OVERHEAD: usize = 46;

/// The messages that wait for one link.
#[derive(Debug, Default)]
pub struct Outbox {
    control: VecDeque<Message>,
    bulk: VecDeque<Message>,
    /// How many messages of each source and destination are in `bulk`. Invariant: none is zero.
    talks: BTreeMap<(ContextId, ContextId), usize>,
    /// Bytes that both lanes hold, with the overhead of each message.
    queued: usize,
    /// Bytes that have overtaken the first message of bulk.
    ahead: usize,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Takes a message that is to leave.
    pub fn push(&mut self, message: Message) {
        self.queued += size(&message);
        if self.overtakes(&message) {
            if !self.bulk.is_empty() {
                self.ahead += size(&message);
            }
            self.control.push_back(message);
        } else {
            *self.talks.entry((message.src, message.dst)).or_insert(0) += 1;
            self.bulk.push_back(message);
        }
    }

    /// The message that is to leave next.
    pub fn pop(&mut self) -> Option<Message> {
        let message = match self.control.pop_front() {
            Some(message) => message,
            None => self.pop_bulk()?,
        };
        self.queued -= size(&message);
        Some(message)
    }

    /// How many bytes wait.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.bulk.is_empty()
    }

    fn pop_bulk(&mut self) -> Option<Message> {
        let message = self.bulk.pop_front()?;
        self.ahead = 0;
        let talk = (message.src, message.dst);
        if let Some(count) = self.talks.get_mut(&talk) {
            *count -= 1;
            if *count == 0 {
                self.talks.remove(&talk);
            }
        }
        Some(message)
    }

    fn overtakes(&self, message: &Message) -> bool {
        match message.handle {
            _ if message.payload.len() > CONTROL_LIMIT => false,
            _ if self.bulk.is_empty() => true,
            AddRoute::HANDLE | Grant::HANDLE => true,
            DelRoute::HANDLE => false,
            _ if self.ahead >= FAIR => false,
            _ => !self.talks.contains_key(&(message.src, message.dst)),
        }
    }
}

fn size(message: &Message) -> usize {
    message.payload.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use mitogen_wire::{Encoding, Handle};

    fn message(src: u32, dst: u32, handle: Handle, len: usize) -> Message {
        Message::new(ContextId(src), ContextId(dst), handle).with_payload(Encoding::Raw, vec![0; len])
    }

    fn order(messages: &[Message]) -> Vec<usize> {
        let mut outbox = Outbox::new();
        for message in messages {
            outbox.push(message.clone());
        }
        let mut order = Vec::new();
        while let Some(message) = outbox.pop() {
            order.push(messages.iter().position(|m| *m == message).expect("one of ours"));
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.queued(), 0);
        order
    }

    #[test]
    fn small_ones_pass_the_bulk_of_others_but_not_of_their_own_conversation() {
        let call = Handle::CALL_FUNCTION;
        assert_eq!(order(&[message(0, 1, call, 100_000), message(0, 2, call, 10)]), [1, 0]);
        assert_eq!(order(&[message(0, 1, call, 100_000), message(0, 1, call, 10)]), [0, 1]);
        assert_eq!(order(&[message(0, 1, call, 100_000), message(0, 2, call, 5000)]), [0, 1]);
    }

    #[test]
    fn a_route_comes_before_what_it_is_for_and_goes_after_it() {
        let bulk = message(2, 0, Handle(1000), 100_000);
        let add = message(2, 1, Handle::ADD_ROUTE, 9);
        let new = message(9, 0, Handle(1001), 10);
        let lost = message(2, 1, Handle::DEL_ROUTE, 1);
        let chatter = message(2, 1, Handle::GET_MODULE, 5000);
        assert_eq!(order(&[bulk, chatter, add, new, lost]), [2, 3, 0, 1, 4]);
        let last_words = message(9, 0, Handle(1001), 100_000);
        let lost = message(2, 1, Handle::DEL_ROUTE, 1);
        assert_eq!(order(&[last_words, lost]), [0, 1]);
        // Whose an id is comes before the one it is given to can announce it.
        let bulk = message(0, 1, Handle::LOAD_MODULE, 100_000);
        let grant = message(0, 1, Grant::HANDLE, 9);
        let given = message(0, 3, Handle(1001), 10);
        assert_eq!(order(&[bulk, grant, given]), [1, 2, 0]);
    }

    #[test]
    fn a_flood_of_small_ones_does_not_hold_bulk_up_for_ever() {
        let mut outbox = Outbox::new();
        outbox.push(message(0, 1, Handle(1000), 100_000));
        for _ in 0..1000 {
            outbox.push(message(0, 2, Handle(1000), 1000));
        }
        let before = std::iter::from_fn(|| outbox.pop()).position(|m| m.payload.len() > 1000);
        assert!(before.is_some_and(|count| count <= FAIR / 1000 + 1), "{before:?}");
    }

    #[test]
    fn no_conversation_is_ever_reordered() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = move |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        let mut outbox = Outbox::new();
        let mut sent = BTreeMap::new();
        let mut seen: BTreeMap<(ContextId, ContextId), u32> = BTreeMap::new();
        for _ in 0..100_000 {
            if random(2) == 0 {
                let talk = (random(4) as u32, random(4) as u32);
                let number: &mut u32 = sent.entry(talk).or_default();
                *number += 1;
                // The number travels as the handle, past those that have a meaning.
                let len = [10, 4096, 4097][random(3) as usize];
                outbox.push(message(talk.0, talk.1, Handle(1000 + *number), len));
            } else if let Some(message) = outbox.pop() {
                let last = seen.entry((message.src, message.dst)).or_insert(1000);
                assert_eq!(message.handle.0, *last + 1);
                *last = message.handle.0;
            }
        }
    }
}
