//! Every frame of vectors/frames.txt is written as it stands there, and read back from there.

mod framing;

use bytes::BytesMut;
use framing::{field, records, unhex};
use mitogen_wire::{
    ContextId, DEFAULT_MAX_PAYLOAD, Decoder, Direction, Encoder, Encoding, FrameFormat, Handle, Integrity,
    Layout, Message, ReplyTo, SessionKey,
};

fn message(text: &str) -> Message {
    let get = |name: &str| {
        let word = text.split(' ').find(|word| word.split('=').next() == Some(name));
        word.unwrap_or_else(|| panic!("no {name} in {text}")).split_once('=').expect("checked").1
    };
    let number = |name| get(name).parse::<u32>().expect("a number");
    Message {
        dst: ContextId(number("dst")),
        src: ContextId(number("src")),
        auth: ContextId(number("auth")),
        handle: Handle(number("handle")),
        reply_to: match get("reply") {
            "nobody" => ReplyTo::Nobody,
            "dead" => ReplyTo::Dead,
            handle => ReplyTo::Handle(Handle(handle.parse().expect("a number"))),
        },
        encoding: match get("encoding") {
            "implied" => Encoding::Implied,
            "pickle" => Encoding::Pickle,
            "raw" => Encoding::Raw,
            other => panic!("{other}"),
        },
        payload: unhex(get("payload")).into(),
    }
}

#[test]
fn frames_match_the_golden_bytes() {
    let mut frames = 0;
    for record in records(include_str!("vectors/frames.txt")) {
        let name = field(&record, "name");
        let format = FrameFormat {
            layout: match field(&record, "layout") {
                "wide" => Layout::Wide,
                "compact" => Layout::Compact,
                other => panic!("{other}"),
            },
            integrity: match field(&record, "key") {
                "none" => Integrity::None,
                key => Integrity::Signed(SessionKey::from_text(key)),
            },
        };
        let direction = match field(&record, "direction") {
            "parent-to-child" => Direction::ParentToChild,
            "child-to-parent" => Direction::ChildToParent,
            other => panic!("{other}"),
        };
        let mut encoder = Encoder::new(&format, direction, DEFAULT_MAX_PAYLOAD);
        let mut decoder = Decoder::new(&format, direction, DEFAULT_MAX_PAYLOAD);
        for pair in record[4..].chunks(2) {
            assert_eq!((pair[0].0, pair[1].0), ("frame", "bytes"), "{name}");
            let (message, bytes) = (message(pair[0].1), unhex(pair[1].1));

            let mut written = BytesMut::new();
            encoder.encode(&message, &mut written).expect("the message fits");
            assert_eq!(&written[..], &bytes[..], "{name}");
            assert_eq!(written.len(), format.head_len() + message.payload.len(), "{name}");

            let mut input = BytesMut::from(&bytes[..]);
            assert_eq!(decoder.decode(&mut input), Ok(Some(message)), "{name}");
            assert_eq!(decoder.finish(&input), Ok(()), "{name}");
            frames += 1;
        }
    }
    assert!(frames >= 15, "only {frames} frames were found");
}
