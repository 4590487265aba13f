//! Frames: any stream cut anyhow, and streams that we made ourselves.

use bytes::{Bytes, BytesMut};
use mitogen_wire::{
    ContextId, Decoder, Direction, Encoder, Encoding, FrameError, FrameFormat, Handle, Integrity, Layout,
    Message, ReplyTo, SessionKey,
};

/// Small, so that frames over it are found soon.
const LIMIT: usize = 4096;

const DIRECTION: Direction = Direction::ChildToParent;

/// The format that a control byte's low two bits stand for.
fn format(control: u8) -> FrameFormat {
    FrameFormat {
        layout: if control & 1 == 0 { Layout::Wide } else { Layout::Compact },
        integrity: if control & 2 == 0 {
            Integrity::None
        } else {
            Integrity::Signed(SessionKey::from_random([9; 16]))
        },
    }
}

/// What a decoder makes of a stream: its messages, and how it ended.
fn outcome<'a>(
    format: &FrameFormat,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Message>, Result<(), FrameError>) {
    let mut decoder = Decoder::new(format, DIRECTION, LIMIT);
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input), Err(FrameError::Poisoned));
                    return (messages, Err(error));
                }
            }
        }
        assert!(decoder.wants(input.len()) <= LIMIT + 46, "no more is wanted than a frame can hold");
    }
    let end = decoder.finish(&input);
    (messages, end)
}

/// The same stream gives the same messages and the same end, whole or in pieces.
///
/// First byte: bits 0-1 the format, bits 2-7 the length of the pieces.
pub fn frame_decoder(data: &[u8]) {
    let Some((&control, stream)) = data.split_first() else { return };
    let format = format(control);
    let whole = outcome(&format, std::iter::once(stream));
    let pieces = outcome(&format, stream.chunks(1 + usize::from(control >> 2)));
    assert_eq!(whole, pieces);
    assert!(whole.0.iter().all(|message| message.payload.len() <= LIMIT));
}

/// What is encoded is decoded; in a signed stream one flipped bit is noticed, and no message that
/// was not sent comes out.
///
/// First byte: bits 0-1 the format; the next two, where a bit is flipped; then messages.
pub fn frame_roundtrip(data: &[u8]) {
    let [control, high, low, rest @ ..] = data else { return };
    let format = format(*control);
    let sent = messages(rest, format.layout);
    let mut encoder = Encoder::new(&format, DIRECTION, LIMIT);
    let mut stream = BytesMut::new();
    for message in &sent {
        encoder.encode(message, &mut stream).expect("the message fits the format");
    }
    assert_eq!(outcome(&format, std::iter::once(&stream[..])), (sent.clone(), Ok(())));

    if matches!(format.integrity, Integrity::Signed(_)) && !stream.is_empty() {
        let bit = usize::from(u16::from_be_bytes([*high, *low])) % (stream.len() * 8);
        stream[bit / 8] ^= 1 << (bit % 8);
        let (received, end) = outcome(&format, std::iter::once(&stream[..]));
        assert!(end.is_err(), "bit {bit} was flipped");
        assert!(received.len() < sent.len() && received[..] == sent[..received.len()]);
    }
}

/// Messages made of 6 control bytes and up to 255 bytes of payload each.
fn messages(mut data: &[u8], layout: Layout) -> Vec<Message> {
    let mut messages = Vec::new();
    while let [dst, src, auth, handle, kind, length, rest @ ..] = data {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        data = rest;
        let (auth, encoding) = match (layout, kind % 3) {
            // A compact frame has room for neither.
            (Layout::Compact, _) => (src, Encoding::Implied),
            (Layout::Wide, 0) => (auth, Encoding::Implied),
            (Layout::Wide, 1) => (auth, Encoding::Pickle),
            (Layout::Wide, _) => (auth, Encoding::Raw),
        };
        messages.push(Message {
            dst: ContextId(u32::from(*dst)),
            src: ContextId(u32::from(*src)),
            auth: ContextId(u32::from(*auth)),
            handle: Handle(u32::from(*handle)),
            reply_to: match kind >> 6 {
                0 => ReplyTo::Nobody,
                1 => ReplyTo::Dead,
                _ => ReplyTo::Handle(Handle(1000 + u32::from(*kind))),
            },
            encoding,
            payload: Bytes::copy_from_slice(payload),
        });
    }
    messages
}
