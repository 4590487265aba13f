//! A message that fits no frame is refused, and the next one goes out as if it had never been.

mod framing;

use bytes::BytesMut;
use framing::{UP, all_formats, carrying, frames};
use mitogen_wire::{ContextId, Encoder, Encoding, FrameError, Handle, Layout, Message};

#[test]
fn an_unsendable_message_leaves_the_stream_usable() {
    let sound = carrying(Encoding::Implied, "x");
    let too_long = carrying(Encoding::Implied, vec![0; 101]);
    let answered_at_dead = carrying(Encoding::Implied, "x").with_reply_to(Handle(999));
    let answered_at_nobody = carrying(Encoding::Implied, "x").with_reply_to(Handle(0));
    let too_wide = Message::new(ContextId(0), ContextId(0x8000), Handle(1000));

    for format in all_formats() {
        let mut encoder = Encoder::new(&format, UP, 100);
        let mut stream = BytesMut::new();
        encoder.encode(&sound, &mut stream).expect("the message fits");

        let mut refused = vec![
            (&too_long, FrameError::TooLong { length: 101, limit: 100 }),
            (&answered_at_dead, FrameError::ReservedHandle { handle: Handle(999) }),
            (&answered_at_nobody, FrameError::ReservedHandle { handle: Handle(0) }),
        ];
        if format.layout == Layout::Compact {
            refused.push((&too_wide, FrameError::IdTooWide { id: ContextId(0x8000) }));
        }
        for (message, error) in refused {
            let before = stream.len();
            assert_eq!(encoder.encode(message, &mut stream), Err(error));
            assert_eq!(stream.len(), before);
        }

        encoder.encode(&sound, &mut stream).expect("the message fits");
        assert_eq!(stream, frames(&format, &[sound.clone(), sound.clone()]).concat());
    }
}
