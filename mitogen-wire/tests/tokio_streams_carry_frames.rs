//! Feature `codec`: frames over `tokio_util`'s codec traits.
#![cfg(feature = "codec")]

mod framing;

use bytes::BytesMut;
use framing::{UP, all_formats, carrying, frames, reader};
use mitogen_wire::codec::{CodecError, FrameCodec};
use mitogen_wire::{DEFAULT_MAX_PAYLOAD, Encoder, Encoding, FrameError, FrameFormat};
use tokio_util::codec::{Decoder as _, Encoder as _};

#[test]
fn both_ways_between_two_ends() {
    for format in all_formats() {
        let mut child = FrameCodec::new(&format, UP, DEFAULT_MAX_PAYLOAD);
        let mut parent = FrameCodec::new(&format, UP.reversed(), DEFAULT_MAX_PAYLOAD);
        let message = carrying(Encoding::Implied, "x");
        let mut wire = BytesMut::new();
        child.encode(&message, &mut wire).expect("the message fits");
        child.encode(message.clone(), &mut wire).expect("the message fits");
        assert_eq!(parent.decode(&mut wire).expect("sound"), Some(message.clone()));
        assert_eq!(parent.decode_eof(&mut wire).expect("sound"), Some(message.clone()));
        assert_eq!(parent.decode_eof(&mut wire).expect("sound"), None);

        parent.encode(&message, &mut wire).expect("the message fits");
        assert_eq!(child.decode(&mut wire).expect("sound"), Some(message));
    }
}

#[test]
fn an_end_inside_a_frame_is_truncated() {
    for format in all_formats() {
        let stream = frames(&format, &[carrying(Encoding::Implied, "payload")]).concat();
        for have in [1, format.head_len(), stream.len() - 1] {
            let mut decoder = reader(&format);
            let mut input = BytesMut::from(&stream[..have]);
            assert!(matches!(tokio_util::codec::Decoder::decode(&mut decoder, &mut input), Ok(None)));
            match tokio_util::codec::Decoder::decode_eof(&mut decoder, &mut input) {
                Err(CodecError::Frame(FrameError::Truncated { have: seen })) => assert_eq!(seen, have),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn an_announced_length_alone_reserves_little() {
    let stream = frames(&FrameFormat::UNSIGNED, &[carrying(Encoding::Implied, vec![0; 64 << 20])]).concat();
    let mut input = BytesMut::from(&stream[..26]);
    let mut decoder = reader(&FrameFormat::UNSIGNED);
    assert!(matches!(tokio_util::codec::Decoder::decode(&mut decoder, &mut input), Ok(None)));
    assert!(input.capacity() <= 1 << 20, "{} bytes were reserved for 26", input.capacity());
}

#[test]
fn an_unsendable_message_is_an_error_of_its_own() {
    let mut encoder = Encoder::new(&FrameFormat::UNSIGNED, UP, 10);
    let too_long = carrying(Encoding::Implied, vec![0; 11]);
    let refused = tokio_util::codec::Encoder::encode(&mut encoder, &too_long, &mut BytesMut::new());
    assert!(matches!(refused, Err(CodecError::Frame(FrameError::TooLong { length: 11, limit: 10 }))));
}
