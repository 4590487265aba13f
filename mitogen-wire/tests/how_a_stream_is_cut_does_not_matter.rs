//! A stream, sound or not, gives the same messages and the same end however its bytes arrive.

mod framing;

use framing::{all_formats, any_format, frames, messages, read, reader};
use mitogen_wire::Decoder;
use proptest::prelude::*;

/// Cuts `stream` at the given places, taken modulo its length.
fn cut(stream: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| stream[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn of_a_sound_stream(
        format in any_format(), sent in messages(), places in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let stream = frames(&format, &sent).concat();
        prop_assert_eq!(read(reader(&format), cut(&stream, &places)), (sent, Ok(())));
    }

    #[test]
    fn of_a_damaged_or_truncated_stream(
        format in any_format(), sent in messages(), at: usize, with in 1u8.., keep: usize,
        places in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut stream = frames(&format, &sent).concat();
        let at = at % stream.len();
        stream[at] ^= with;
        stream.truncate(keep % (stream.len() * 2));
        let limited = || Decoder::new(&format, framing::UP, 150);
        let whole = read(limited(), [&stream]);
        prop_assert_eq!(&read(limited(), cut(&stream, &places)), &whole);
        prop_assert_eq!(&read(limited(), stream.chunks(1)), &whole);
    }

    #[test]
    fn of_noise(format in any_format(), noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let limited = || Decoder::new(&format, framing::UP, 150);
        prop_assert_eq!(read(limited(), noise.chunks(1)), read(limited(), [&noise]));
    }
}

#[test]
fn and_a_reader_is_told_how_much_is_missing() {
    for format in all_formats() {
        let mut decoder = reader(&format);
        let sent = framing::carrying(mitogen_wire::Encoding::Implied, vec![1; 500]);
        let stream = frames(&format, &[sent]).concat();
        let mut input = bytes::BytesMut::new();
        assert_eq!(decoder.wants(0), format.head_len());
        input.extend_from_slice(&stream[..format.head_len() + 1]);
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert_eq!(decoder.wants(input.len()), 499);
    }
}
