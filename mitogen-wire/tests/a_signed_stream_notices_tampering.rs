//! Whoever alters a signed stream in any way is noticed, and nothing that was not sent comes out.

mod framing;

use bytes::BytesMut;
use framing::{UP, frames, messages, read, reader, signed_formats};
use mitogen_wire::{
    DEFAULT_MAX_PAYLOAD, Decoder, Direction, Encoder, Encoding, FrameError, FrameFormat, Integrity, Layout,
    SessionKey,
};
use proptest::prelude::*;

fn any_signed() -> impl Strategy<Value = FrameFormat> {
    proptest::sample::select(signed_formats())
}

fn three_frames(format: &FrameFormat) -> Vec<Vec<u8>> {
    // All three alike, so that nothing but their place in the stream tells them apart.
    frames(format, &vec![framing::carrying(Encoding::Implied, "the same"); 3])
}

#[test]
fn every_single_flipped_bit_is_noticed() {
    for format in signed_formats() {
        let frames = three_frames(&format);
        let stream = frames.concat();
        for bit in 0..stream.len() * 8 {
            let mut altered = stream.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let (received, end) = read(reader(&format), [&altered]);
            assert!(end.is_err(), "bit {bit} of {format:?}");
            assert_eq!(received.len(), bit / 8 / frames[0].len(), "frames before bit {bit} of {format:?}");
        }
    }
}

#[test]
fn a_replayed_frame_is_noticed() {
    for format in signed_formats() {
        let [a, b, c] = three_frames(&format).try_into().expect("three");
        for (played, sound) in [
            (vec![&a, &a], 1),
            (vec![&a, &b, &a, &c], 2),
            (vec![&a, &b, &b, &c], 2),
            (vec![&a, &b, &c, &c], 3),
        ] {
            let (received, end) = read(reader(&format), played);
            assert_eq!((received.len(), end), (sound, Err(FrameError::BadMac)), "{format:?}");
        }
    }
}

#[test]
fn a_reordered_frame_is_noticed() {
    for format in signed_formats() {
        let [a, b, c] = three_frames(&format).try_into().expect("three");
        for (played, sound) in [(vec![&b, &a, &c], 0), (vec![&a, &c, &b], 1)] {
            let (received, end) = read(reader(&format), played);
            assert_eq!((received.len(), end), (sound, Err(FrameError::BadMac)), "{format:?}");
        }
    }
}

#[test]
fn a_dropped_frame_is_noticed_at_the_next_one() {
    for format in signed_formats() {
        let [a, b, c] = three_frames(&format).try_into().expect("three");
        for (played, sound) in [(vec![&b], 0), (vec![&a, &c], 1)] {
            let (received, end) = read(reader(&format), played);
            assert_eq!((received.len(), end), (sound, Err(FrameError::BadMac)), "{format:?}");
        }
    }
}

#[test]
fn a_reflected_frame_is_noticed_in_wide_frames() {
    let format = FrameFormat::signed(SessionKey::from_random([3; 16]));
    let sent = three_frames(&format);
    let author = Decoder::new(&format, UP.reversed(), DEFAULT_MAX_PAYLOAD);
    assert_eq!(read(author, sent), (vec![], Err(FrameError::BadMac)));
}

#[test]
fn both_directions_of_compact_frames_share_their_key_as_in_2017() {
    let format = FrameFormat {
        layout: Layout::Compact,
        integrity: Integrity::Signed(SessionKey::from_random([3; 16])),
    };
    let author = Decoder::new(&format, UP.reversed(), DEFAULT_MAX_PAYLOAD);
    assert_eq!(read(author, three_frames(&format)).1, Ok(()));
}

#[test]
fn another_key_is_noticed() {
    for format in signed_formats() {
        let other =
            FrameFormat { integrity: Integrity::Signed(SessionKey::from_random([4; 16])), ..format.clone() };
        assert_eq!(read(reader(&other), three_frames(&format)), (vec![], Err(FrameError::BadMac)));
    }
}

proptest! {
    #[test]
    fn any_change_is_noticed(format in any_signed(), sent in messages(), at: usize, with in 1u8..) {
        let mut stream = frames(&format, &sent).concat();
        let at = at % stream.len();
        stream[at] ^= with;
        let (received, end) = read(reader(&format), [&stream]);
        prop_assert!(end.is_err());
        prop_assert!(received.len() < sent.len());
        prop_assert_eq!(&received[..], &sent[..received.len()]);
    }

    #[test]
    fn any_missing_piece_is_noticed(format in any_signed(), sent in messages(), from: usize, length in 1usize..80) {
        let mut stream = frames(&format, &sent).concat();
        let from = from % stream.len();
        let to = (from + length).min(stream.len());
        let at_a_boundary_to_the_end = to == stream.len() && {
            let mut boundary = 0;
            frames(&format, &sent).iter().any(|frame| { let here = boundary == from; boundary += frame.len(); here })
        };
        stream.drain(from..to);
        let (received, end) = read(reader(&format), [&stream]);
        // A stream that ends early between two frames cannot be told from one that ends there.
        prop_assert!(end.is_err() || at_a_boundary_to_the_end);
        prop_assert_eq!(&received[..], &sent[..received.len()]);
    }
}

#[test]
fn the_two_directions_of_a_link_do_not_disturb_each_other() {
    for format in signed_formats() {
        let message = framing::carrying(Encoding::Implied, "x");
        for direction in [Direction::ParentToChild, Direction::ChildToParent] {
            let mut encoder = Encoder::new(&format, direction, DEFAULT_MAX_PAYLOAD);
            let mut decoder = Decoder::new(&format, direction, DEFAULT_MAX_PAYLOAD);
            let mut stream = BytesMut::new();
            for _ in 0..3 {
                encoder.encode(&message, &mut stream).expect("the message fits");
                assert_eq!(decoder.decode(&mut stream), Ok(Some(message.clone())));
            }
        }
    }
}
