//! What upstream's releases before 0.3.39 do not know: frames that say how their payload is encoded. They end the
//! connection at the first one. Everybody understands the old frames, except that newer releases want raw bytes
//! to be told from pickles. A program that comes by itself reveals its age by what it sends.

use crate::upstream::dialect;
use mitogen_wire::{Encoding, Message};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a far end has shown that it knows the newer frames.
#[derive(Debug, Default)]
pub(crate) struct Age {
    modern: AtomicBool,
}

impl Age {
    /// A message came from there.
    pub(crate) fn note(&self, message: &Message) {
        if message.encoding != Encoding::Implied {
            self.modern.store(true, Ordering::Relaxed);
        }
    }

    /// What is to be sent instead of a message that the far end may not know.
    pub(crate) fn translate(&self, message: &Message) -> Option<Message> {
        if message.encoding == Encoding::Implied || self.modern.load(Ordering::Relaxed) {
            return None;
        }
        Some(dialect::implied(message).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mitogen_wire::body::CallResult;
    use mitogen_wire::{ContextId, Handle};

    #[test]
    fn an_old_program_gets_nothing_that_it_does_not_know_and_a_new_one_everything() {
        let message = |encoding, payload: &'static [u8]| {
            Message::new(ContextId(3), ContextId(9), Handle(1000)).with_payload(encoding, payload)
        };
        let age = Age::default();
        assert_eq!(age.translate(&message(Encoding::Implied, b"text")), None);
        let pickled = age.translate(&message(Encoding::Pickle, b"\x80\x02N.")).unwrap();
        assert_eq!((pickled.encoding, &pickled.payload[..]), (Encoding::Implied, &b"\x80\x02N."[..]));
        let raw = age.translate(&message(Encoding::Raw, b"bytes")).unwrap();
        assert_eq!(raw.encoding, Encoding::Implied);
        match CallResult::decode(&raw).unwrap() {
            CallResult::Returned(value) => assert_eq!(value.as_bytes(), Some(&b"bytes"[..])),
            other => panic!("{other:?}"),
        }
        age.note(&message(Encoding::Implied, b""));
        assert!(age.translate(&message(Encoding::Raw, b"bytes")).is_some());
        age.note(&message(Encoding::Pickle, b""));
        assert_eq!(age.translate(&message(Encoding::Raw, b"bytes")), None);
    }
}
