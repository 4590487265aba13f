//! Messages survive their way through frames of every format.

mod framing;

use bytes::BytesMut;
use framing::{UP, any_format, any_message, frames, messages, read, reader};
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Encoder, Encoding, FrameFormat, Message};
use proptest::prelude::*;

proptest! {
    #[test]
    fn in_every_format(format in any_format(), sent in messages()) {
        let stream = frames(&format, &sent).concat();
        prop_assert_eq!(read(reader(&format), [stream]), (sent, Ok(())));
    }

    #[test]
    fn with_every_number_that_a_wide_frame_can_hold(
        message in any_message(),
        dst: u32, src: u32, auth: u32,
        encoding in prop_oneof![Just(Encoding::Implied), Just(Encoding::Pickle), Just(Encoding::Raw)],
    ) {
        let sent = Message {
            dst: ContextId(dst), src: ContextId(src), auth: ContextId(auth), encoding, ..message
        };
        let stream = frames(&FrameFormat::UNSIGNED, std::slice::from_ref(&sent));
        prop_assert_eq!(read(reader(&FrameFormat::UNSIGNED), stream), (vec![sent], Ok(())));
    }

    #[test]
    fn and_a_head_with_its_payload_is_the_frame(format in any_format(), sent in messages()) {
        let mut encoder = Encoder::new(&format, UP, DEFAULT_MAX_PAYLOAD);
        let mut stream = BytesMut::new();
        for message in &sent {
            let head = encoder.head(message).expect("the message fits");
            prop_assert_eq!(head.as_ref().len(), format.head_len());
            stream.extend_from_slice(head.as_ref());
            stream.extend_from_slice(&message.payload);
        }
        prop_assert_eq!(&stream[..], &frames(&format, &sent).concat()[..]);
    }
}

#[test]
fn without_copying_the_payload_on_its_way_in() {
    let sent = Message::new(ContextId(1), ContextId(0), mitogen_wire::Handle(1000))
        .with_payload(Encoding::Raw, vec![7; 4096]);
    for format in framing::all_formats() {
        let mut input = BytesMut::from(&frames(&format, std::slice::from_ref(&sent)).concat()[..]);
        let at = input[format.head_len()..].as_ptr();
        let received = reader(&format).decode(&mut input).expect("sound").expect("whole");
        assert_eq!(received.payload.as_ptr(), at);
    }
}
