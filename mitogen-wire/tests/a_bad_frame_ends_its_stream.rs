//! What is wrong with a stream is said once, at the first byte where it can be known, and for good.

mod framing;

use bytes::BytesMut;
use framing::{UP, all_formats, frames, read, reader};
use mitogen_wire::{Decoder, Encoding, FrameError, FrameFormat, Integrity, Layout};

const COMPACT: FrameFormat = FrameFormat { layout: Layout::Compact, integrity: Integrity::None };

#[test]
fn text_in_place_of_a_frame_is_refused_at_its_second_byte() {
    let mut decoder = reader(&FrameFormat::UNSIGNED);
    assert_eq!(decoder.decode(&mut BytesMut::from("b")), Ok(None));
    assert_eq!(
        decoder.decode(&mut BytesMut::from("ba")),
        Err(FrameError::BadMagic { found: u16::from_be_bytes(*b"ba") })
    );
}

#[test]
fn a_negative_context_is_refused_in_a_compact_frame() {
    let sound = frames(&COMPACT, &[framing::carrying(Encoding::Implied, "")]).concat();
    for at in [0, 2] {
        let mut stream = sound.clone();
        stream[at] = 0xff;
        let (received, end) = read(reader(&COMPACT), [stream]);
        assert!(received.is_empty());
        assert!(matches!(end, Err(FrameError::NegativeId { found }) if found < 0), "{end:?}");
    }
}

#[test]
fn an_oversize_frame_is_refused_before_its_body_comes() {
    for format in all_formats() {
        let stream = frames(&format, &[framing::carrying(Encoding::Implied, vec![0; 101])]).concat();
        let mut decoder = Decoder::new(&format, UP, 100);
        let mut head = BytesMut::from(&stream[..format.head_len()]);
        assert_eq!(decoder.decode(&mut head), Err(FrameError::TooLong { length: 101, limit: 100 }));

        let fits = frames(&format, &[framing::carrying(Encoding::Implied, vec![0; 100])]);
        assert_eq!(read(Decoder::new(&format, UP, 100), fits).1, Ok(()));
    }
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_truncated() {
    for format in all_formats() {
        let stream = frames(&format, &[framing::carrying(Encoding::Implied, "payload")]).concat();
        for have in 1..stream.len() {
            assert_eq!(
                read(reader(&format), [&stream[..have]]),
                (vec![], Err(FrameError::Truncated { have })),
                "{format:?}"
            );
        }
        assert_eq!(read(reader(&format), [&stream[..0]]), (vec![], Ok(())));
    }
}

#[test]
fn nothing_is_read_after_a_bad_frame() {
    let sound = frames(&FrameFormat::UNSIGNED, &[framing::carrying(Encoding::Implied, "x")]).concat();
    let mut decoder = reader(&FrameFormat::UNSIGNED);
    assert!(decoder.decode(&mut BytesMut::from("garbage")).is_err());
    for _ in 0..2 {
        assert_eq!(decoder.decode(&mut BytesMut::from(&sound[..])), Err(FrameError::Poisoned));
    }
    assert_eq!(decoder.finish(&[]), Err(FrameError::Poisoned));
    assert_eq!(decoder.wants(0), 0);
}
