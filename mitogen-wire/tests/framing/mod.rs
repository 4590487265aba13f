//! What several tests need: the vector files, messages of every kind, a decoder run to its end.
#![allow(dead_code, missing_docs, unreachable_pub)]

use bytes::{Bytes, BytesMut};
use mitogen_wire::{
    ContextId, DEFAULT_MAX_PAYLOAD, Decoder, Direction, Encoder, Encoding, FrameError, FrameFormat, Handle,
    Integrity, Layout, Message, ReplyTo, SessionKey,
};
use proptest::prelude::*;

pub const UP: Direction = Direction::ChildToParent;

/// The records of a vector file: (field, value) lines between blank ones. See vectors/README.md.
pub fn records(text: &str) -> Vec<Vec<(&str, &str)>> {
    let mut records = vec![Vec::new()];
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match line.split_once(':') {
            None => records.push(Vec::new()),
            Some((field, value)) => {
                records.last_mut().expect("never empty").push((field.trim(), value.trim()));
            }
        }
    }
    records.retain(|record| !record.is_empty());
    records
}

/// The first value of a field.
pub fn field<'a>(record: &[(&str, &'a str)], name: &str) -> &'a str {
    record.iter().find(|(field, _)| *field == name).unwrap_or_else(|| panic!("no {name} in {record:?}")).1
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != ' ').map(|c| c.to_digit(16).expect("hexadecimal") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The payload of a record of pickles.txt.
pub fn pickle(name: &str) -> Bytes {
    let records = records(include_str!("../vectors/pickles.txt"));
    let record = records.iter().find(|record| field(record, "name") == name).expect("there is such a vector");
    unhex(field(record, "bytes")).into()
}

/// A message that carries `payload` under `encoding`, for a body to be read from.
pub fn carrying(encoding: Encoding, payload: impl Into<Bytes>) -> Message {
    Message::new(ContextId(7), ContextId(0), Handle(1000)).with_payload(encoding, payload)
}

pub fn all_formats() -> Vec<FrameFormat> {
    let mut formats = Vec::new();
    for layout in [Layout::Wide, Layout::Compact] {
        for integrity in [Integrity::None, Integrity::Signed(SessionKey::from_random([3; 16]))] {
            formats.push(FrameFormat { layout, integrity });
        }
    }
    formats
}

pub fn signed_formats() -> Vec<FrameFormat> {
    all_formats().into_iter().filter(|format| format.integrity != Integrity::None).collect()
}

pub fn any_format() -> impl Strategy<Value = FrameFormat> {
    proptest::sample::select(all_formats())
}

/// Any message that both layouts can express: a compact frame has neither authority nor encoding.
pub fn any_message() -> impl Strategy<Value = Message> {
    let reply_to = prop_oneof![
        Just(ReplyTo::Nobody),
        Just(ReplyTo::Dead),
        (1000u32..).prop_map(|handle| ReplyTo::Handle(Handle(handle))),
    ];
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    (0u32..0x8000, 0u32..0x8000, any::<u32>(), reply_to, payload).prop_map(
        |(dst, src, handle, reply_to, payload)| Message {
            dst: ContextId(dst),
            src: ContextId(src),
            auth: ContextId(src),
            handle: Handle(handle),
            reply_to,
            encoding: Encoding::Implied,
            payload: payload.into(),
        },
    )
}

pub fn messages() -> impl Strategy<Value = Vec<Message>> {
    proptest::collection::vec(any_message(), 1..6)
}

/// Each message's frame, in order, of one stream that flows up.
pub fn frames(format: &FrameFormat, messages: &[Message]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(format, UP, DEFAULT_MAX_PAYLOAD);
    messages
        .iter()
        .map(|message| {
            let mut frame = BytesMut::new();
            encoder.encode(message, &mut frame).expect("the message fits");
            frame.to_vec()
        })
        .collect()
}

/// What a decoder makes of a stream that comes in pieces: its messages, and how it ended.
pub fn read(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> (Vec<Message>, Result<(), FrameError>) {
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece.as_ref());
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    let end = decoder.finish(&input);
    (messages, end)
}

pub fn reader(format: &FrameFormat) -> Decoder {
    Decoder::new(format, UP, DEFAULT_MAX_PAYLOAD)
}
