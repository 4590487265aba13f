//! Credit for channels: how much a sender may have on its way to a receiver that is slow.
//!
//! Between our own peers, in Rust and in Python alike:
//!
//! * A *sender* opens a mailbox for credit, at a handle whose top bit is set
//!   ([`CREDIT_HANDLES`]), for the receiver's context only, and names it in `reply_to` of every
//!   message that it sends. The bit tells it from the handle of a caller who waits for an answer:
//!   handles grow from 1000 and never come near it.
//! * A *receiver* that is sent such a message counts the payload bytes that its user has taken, for
//!   each pair of source and credit handle. It tells the total, `credit:` and the decimal number
//!   ([`Credit`]), marked as [`Encoding::Implied`], to the credit handle: once (usually 0) when the
//!   first message arrives, and whenever another [`STEP`] bytes have been taken.
//! * A sender may have [`WINDOW`] bytes sent and not taken. The message that passes the window is
//!   still sent, the next one waits, so that any message can be sent at all. Until the first credit
//!   has come the same holds, but a sender waits at most [`PATIENCE_SECONDS`] for it: a receiver of
//!   upstream's never says anything, and then what bounds the sender is its link's limit.
//! * A dead message at the credit handle (the receiver is closed, or its context lost) closes the
//!   sender.
//! * Whoever may not wait (an I/O thread) sends whatever the window is.
//!
//! An upstream receiver does not look at `reply_to`; an upstream sender does not set it.

use mitogen_wire::{Encoding, Handle, Message, ReplyTo};

/// Where the handles of credit mailboxes begin.
pub const CREDIT_HANDLES: Handle = Handle(1 << 31);
/// How many bytes a sender may have sent that were not taken.
pub const WINDOW: u64 = 1 << 20;
/// After how many bytes a receiver says again how much was taken.
pub const STEP: u64 = 256 << 10;
/// For how many seconds a sender without room waits for its first credit.
pub const PATIENCE_SECONDS: u64 = 5;

/// What a receiver says: how many bytes were taken in all. On the wire: `credit:NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The bytes taken of this sender's messages since its first one.
    pub taken: u64,
}

impl Credit {
    /// Writes it.
    pub fn encode(self) -> (Encoding, bytes::Bytes) {
        (Encoding::Implied, format!("credit:{}", self.taken).into())
    }

    /// Reads it; `None` when the payload is anything else.
    pub fn decode(message: &Message) -> Option<Credit> {
        let digits = std::str::from_utf8(&message.payload).ok()?.strip_prefix("credit:")?;
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some(Credit { taken: plain.then(|| digits.parse().ok())?? })
    }
}

/// The handle at which the sender of a message wants credit, if it does.
pub fn credit_handle(message: &Message) -> Option<Handle> {
    match message.reply_to {
        ReplyTo::Handle(handle) if handle >= CREDIT_HANDLES => Some(handle),
        _ => None,
    }
}

/// What a sender may still send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    sent: u64,
    /// Invariant: at most `sent`.
    taken: u64,
    state: Known,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Known {
    /// Nothing was heard yet.
    #[default]
    Silent,
    /// The receiver gives credit.
    Gives,
    /// It does not: there is no window.
    Mute,
}

/// What a sender is to do with its next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Send it.
    Send,
    /// Wait for credit; if `limited`, at most [`PATIENCE_SECONDS`], and then call
    /// [`Allowance::give_up`].
    Wait {
        /// No credit has ever come.
        limited: bool,
    },
}

impl Allowance {
    /// A new sender's.
    pub fn new() -> Allowance {
        Allowance::default()
    }

    /// Whether the next message may go.
    pub fn leave(&self) -> Leave {
        if self.state == Known::Mute || self.sent - self.taken < WINDOW {
            Leave::Send
        } else {
            Leave::Wait { limited: self.state == Known::Silent }
        }
    }

    /// A message of so many payload bytes was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Credit came. What is older than what is known, or more than was sent, counts for no more
    /// than that.
    pub fn handle_credit(&mut self, credit: Credit) {
        self.state = Known::Gives;
        self.taken = credit.taken.clamp(self.taken, self.sent);
    }

    /// No credit came in time.
    pub fn give_up(&mut self) {
        if self.state == Known::Silent {
            self.state = Known::Mute;
        }
    }
}

/// What a receiver's user has taken of one sender's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumption {
    taken: u64,
    /// Invariant: at most `taken`.
    told: u64,
}

impl Consumption {
    /// A sender's first message has arrived: this is to be told at once.
    pub fn begin() -> (Consumption, Credit) {
        (Consumption::default(), Credit { taken: 0 })
    }

    /// The user has taken a message of so many payload bytes; returns what is to be told now.
    pub fn take(&mut self, bytes: usize) -> Option<Credit> {
        self.taken += bytes as u64;
        (self.taken - self.told >= STEP).then(|| {
            self.told = self.taken;
            Credit { taken: self.taken }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mitogen_wire::ContextId;

    fn message(text: &str) -> Message {
        Message::new(ContextId(1), ContextId(0), CREDIT_HANDLES)
            .with_payload(Encoding::Implied, text.to_owned())
    }

    #[test]
    fn a_credit_survives_its_journey_and_nothing_else_is_one() {
        for taken in [0, 1, u64::MAX] {
            let credit = Credit { taken };
            let sent = message("").with_body(credit.encode());
            assert_eq!(Credit::decode(&sent), Some(credit));
        }
        for text in ["", "credit:", "credit:+1", "credit: 1", "credit:1 ", "Credit:1", "1", "credit:-1"] {
            assert_eq!(Credit::decode(&message(text)), None, "{text:?}");
        }
    }

    #[test]
    fn a_sender_never_has_more_than_a_window_and_a_message_on_its_way() {
        let (mut sender, mut receiver) = (Allowance::new(), Consumption::begin().0);
        sender.handle_credit(Credit { taken: 0 });
        let mut queue = std::collections::VecDeque::new();
        let mut waiting = 0_u64;
        for round in 0..20_000_usize {
            let size = (round * 7919) % 200_000;
            if sender.leave() == Leave::Send {
                sender.sent(size);
                queue.push_back(size);
                waiting += size as u64;
            } else {
                assert_eq!(sender.leave(), Leave::Wait { limited: false });
                let taken = queue.pop_front().expect("a sender waits only while something is to be taken");
                waiting -= taken as u64;
                if let Some(credit) = receiver.take(taken) {
                    sender.handle_credit(credit);
                }
            }
            assert!(waiting < WINDOW + 200_000);
        }
    }

    #[test]
    fn a_receiver_that_gives_no_credit_is_waited_for_once() {
        let mut sender = Allowance::new();
        sender.sent(WINDOW as usize);
        assert_eq!(sender.leave(), Leave::Wait { limited: true });
        sender.give_up();
        sender.sent(WINDOW as usize);
        assert_eq!(sender.leave(), Leave::Send);
        // It speaks after all.
        sender.handle_credit(Credit { taken: 0 });
        assert_eq!(sender.leave(), Leave::Wait { limited: false });
        sender.give_up();
        assert_eq!(sender.leave(), Leave::Wait { limited: false });
    }

    #[test]
    fn a_liar_gains_nothing() {
        let mut sender = Allowance::new();
        sender.sent(WINDOW as usize);
        sender.handle_credit(Credit { taken: u64::MAX });
        sender.sent(WINDOW as usize);
        sender.handle_credit(Credit { taken: 3 });
        assert_eq!(sender.leave(), Leave::Wait { limited: false });
    }
}
