//! Reasons of dead messages are upstream's texts, recognised when they come back.

use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use proptest::prelude::*;

#[test]
fn dead_messages_say_why_in_upstreams_words() {
    let (seven, nine, eleven) = (ContextId(7), ContextId(9), ContextId(11));
    for (reason, text) in [
        (Dead::NoRoute { to: nine, at: seven }, "no route to 9, my ID is 7"),
        (Dead::InvalidHandle, "invalid handle"),
        (Dead::RefusedByPolicy, "refused by policy"),
        (Dead::UnexpectedContext, "reply from unexpected context"),
        (Dead::TooLarge { limit: 134217728 }, "message too large (max 134217728 bytes)"),
        (
            Dead::RoutingMode { from: seven, to: nine, via: eleven },
            "routing mode prevents forward of message from context 7 to context 9 via context 11",
        ),
        (Dead::SenderClosed, "Sender was explicitly closed"),
        (Dead::RespondentGone, "the respondent Context has disconnected"),
        (Dead::BrokerExited, "Broker has exitted"),
        (Dead::ReceiverClosed, "the Receiver has been closed"),
        (Dead::Unexplained, ""),
        (Dead::Other("out of tea".into()), "out of tea"),
    ] {
        assert_eq!(reason.to_string(), text);
        assert_eq!(Dead::parse(text), reason);
        let message = reason.to_message(seven, nine, Handle(5002));
        assert!(message.is_dead());
        assert_eq!((message.encoding, &message.payload[..]), (Encoding::Implied, text.as_bytes()));
        assert_eq!(Dead::from_message(&message), Some(reason));
    }
}

#[test]
fn a_living_message_has_no_reason() {
    assert_eq!(Dead::from_message(&Message::new(ContextId(7), ContextId(0), Handle(1000))), None);
}

#[test]
fn a_reason_in_other_words_is_kept_as_it_is() {
    for text in
        ["no route to 09, my ID is 7", "no route to 9", "message too large (max +1 bytes)", "Invalid handle"]
    {
        assert_eq!(Dead::parse(text), Dead::Other(text.into()));
    }
}

proptest! {
    #[test]
    fn every_text_survives(text: String) {
        prop_assert_eq!(Dead::parse(&text).to_string(), text);
    }
}
