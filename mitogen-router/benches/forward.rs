//! How many messages a router forwards on one core: two links in memory, a router between them.
//!
//! Prints one JSON line per row. `cargo bench -p mitogen-router --bench forward [-- --quick]`.
//!
//! * `route`: messages that are decoded already, through `handle_message` and `poll_output`.
//! * `frames`: bytes in, bytes out: decoded, verified, routed, encoded, signed; with small payloads
//!   and with 128 KiB.
//!
//! Rounds of all rows are interleaved, and medians are printed.
#![allow(clippy::disallowed_methods)]

use bytes::{Bytes, BytesMut};
use mitogen_router::{Config, LinkOptions, Output, Router};
use mitogen_wire::{
    ContextId, DEFAULT_MAX_PAYLOAD, Decoder, Direction, Encoder, Encoding, FrameFormat, Handle, Message,
    SessionKey,
};
use std::hint::black_box;
use std::time::Instant;

const PARENT: ContextId = ContextId(0);
const CHILD: ContextId = ContextId(2);

/// A context between its parent and a child, which leads to some others.
fn router() -> Router {
    let mut router = Router::new(Config::child(ContextId(1), vec![PARENT]));
    router.handle_link_up(PARENT, LinkOptions::default()).expect("the first link");
    router.handle_link_up(CHILD, LinkOptions::named("child")).expect("the second link");
    for id in 3..100 {
        let body = format!("{id}:behind the child");
        let message = Message::new(CHILD, ContextId(1), Handle::ADD_ROUTE)
            .with_payload(Encoding::Implied, body.into_bytes());
        router.handle_message(CHILD, message);
    }
    while router.poll_output().is_some() {}
    router
}

fn message(number: usize, payload: &Bytes) -> Message {
    let leaf = ContextId(3 + (number % 90) as u32);
    let (src, dst) = if number.is_multiple_of(2) { (PARENT, leaf) } else { (leaf, PARENT) };
    Message::new(src, dst, Handle(1000)).with_payload(Encoding::Pickle, payload.clone())
}

/// Seconds for one batch.
fn route(router: &mut Router, batch: &[Message]) -> f64 {
    let batch = batch.to_vec();
    let begin = Instant::now();
    for message in batch {
        let link = if message.src == PARENT { PARENT } else { CHILD };
        router.handle_message(link, message);
        while let Some(output) = router.poll_output() {
            black_box(output);
        }
    }
    begin.elapsed().as_secs_f64()
}

fn frames(router: &mut Router, batch: &[Message], format: &FrameFormat) -> f64 {
    let mut stream = BytesMut::new();
    let mut encoder = Encoder::new(format, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    for message in batch.iter().filter(|message| message.src == PARENT) {
        encoder.encode(message, &mut stream).expect("it fits");
    }
    let mut decoder = Decoder::new(format, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    let mut encoder = Encoder::new(format, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    let mut out = BytesMut::with_capacity(1 << 20);
    let begin = Instant::now();
    while let Some(message) = decoder.decode(&mut stream).expect("a sound stream") {
        router.handle_message(PARENT, message);
        while let Some(output) = router.poll_output() {
            if let Output::Transmit { message, .. } = output {
                encoder.encode(&message, &mut out).expect("it fits");
            }
        }
        if out.len() > 256 << 10 {
            black_box(&out);
            out.clear();
        }
    }
    begin.elapsed().as_secs_f64()
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, small, large) = if quick { (5, 50_000, 200) } else { (15, 400_000, 2000) };
    let signed = FrameFormat::signed(SessionKey::from_random([7; 16]));
    let unsigned = FrameFormat::UNSIGNED;
    let tiny = Bytes::from(vec![b'x'; 60]);
    let bulk = Bytes::from(vec![b'x'; 128 << 10]);
    let batch = |count: usize, payload: &Bytes| -> Vec<Message> {
        (0..count).map(|number| message(number, payload)).collect()
    };
    let (small, large) = (batch(small, &tiny), batch(large, &bulk));
    let mut router = router();
    let mut rows: Vec<(&str, usize, usize, Vec<f64>)> = vec![
        ("route, small", small.len(), 60, Vec::new()),
        ("frames, small, unsigned", small.len() / 2, 60, Vec::new()),
        ("frames, small, signed", small.len() / 2, 60, Vec::new()),
        ("frames, 128 KiB, unsigned", large.len() / 2, 128 << 10, Vec::new()),
        ("frames, 128 KiB, signed", large.len() / 2, 128 << 10, Vec::new()),
    ];
    for _ in 0..rounds {
        let times = [
            route(&mut router, &small),
            frames(&mut router, &small, &unsigned),
            frames(&mut router, &small, &signed),
            frames(&mut router, &large, &unsigned),
            frames(&mut router, &large, &signed),
        ];
        for (row, time) in rows.iter_mut().zip(times) {
            row.3.push(time);
        }
    }
    for (name, count, size, mut times) in rows {
        times.sort_by(f64::total_cmp);
        let seconds = times[times.len() / 2];
        let rate = count as f64 / seconds;
        println!(
            "{{\"row\":\"{name}\",\"messages_per_s\":{rate:.0},\"bytes_per_s\":{:.0}}}",
            rate * size as f64
        );
    }
}
