//! How fast frames are encoded and decoded on one core, against `tokio_util`'s length-delimited
//! codec on the same payloads in the same run.
//!
//! Prints one JSON line per row. `cargo bench -p mitogen-wire --bench codec [-- --quick]`.
//!
//! One round of a row encodes a batch of frames into one buffer and then decodes them all, timing
//! the two halves apart; rounds of all rows are interleaved, and medians are printed.
//! `frames_per_s` and `bytes_per_s` (payload bytes) are of the whole round trip, or of the half
//! that the name says.
#![allow(clippy::disallowed_methods)]

use bytes::{Bytes, BytesMut};
use mitogen_wire::{
    ContextId, DEFAULT_MAX_PAYLOAD, Decoder, Direction, Encoder, Encoding, FrameFormat, Handle, Message,
    SessionKey,
};
use std::hint::black_box;
use std::time::{Duration, Instant};
use tokio_util::codec::{Decoder as _, Encoder as _, LengthDelimitedCodec};

/// One codec under test: encodes `frames` payloads into the buffer, or decodes all it holds.
trait Subject {
    fn encode(&mut self, frames: usize, stream: &mut BytesMut);
    fn decode(&mut self, stream: &mut BytesMut) -> usize;
}

struct Ours {
    encoder: Encoder,
    decoder: Decoder,
    message: Message,
}

impl Ours {
    fn boxed(format: &FrameFormat, payload: &Bytes) -> Box<dyn Subject> {
        let direction = Direction::ParentToChild;
        Box::new(Ours {
            encoder: Encoder::new(format, direction, DEFAULT_MAX_PAYLOAD),
            decoder: Decoder::new(format, direction, DEFAULT_MAX_PAYLOAD),
            message: Message::new(ContextId(0), ContextId(1), Handle(1000))
                .with_payload(Encoding::Raw, payload.clone()),
        })
    }
}

impl Subject for Ours {
    fn encode(&mut self, frames: usize, stream: &mut BytesMut) {
        for _ in 0..frames {
            self.encoder.encode(black_box(&self.message), stream).expect("the message fits");
        }
    }

    fn decode(&mut self, stream: &mut BytesMut) -> usize {
        let mut frames = 0;
        while let Some(message) = self.decoder.decode(stream).expect("the stream is sound") {
            black_box(message);
            frames += 1;
        }
        frames
    }
}

struct LengthDelimited {
    codec: LengthDelimitedCodec,
    payload: Bytes,
}

impl LengthDelimited {
    fn boxed(payload: &Bytes) -> Box<dyn Subject> {
        Box::new(LengthDelimited { codec: LengthDelimitedCodec::new(), payload: payload.clone() })
    }
}

impl Subject for LengthDelimited {
    fn encode(&mut self, frames: usize, stream: &mut BytesMut) {
        for _ in 0..frames {
            self.codec.encode(black_box(&self.payload).clone(), stream).expect("the payload fits");
        }
    }

    fn decode(&mut self, stream: &mut BytesMut) -> usize {
        let mut frames = 0;
        while let Some(payload) = self.codec.decode(stream).expect("the stream is sound") {
            black_box(payload);
            frames += 1;
        }
        frames
    }
}

/// The floor: heads and payloads are copied into one buffer, and nothing else. (The heads belong
/// to it: some processors copy to an address that is not aligned several times slower.)
struct Copy {
    payload: Bytes,
    frames: usize,
}

impl Subject for Copy {
    fn encode(&mut self, frames: usize, stream: &mut BytesMut) {
        for _ in 0..frames {
            stream.extend_from_slice(black_box(&[0; 26]));
            stream.extend_from_slice(black_box(&self.payload));
        }
        self.frames = frames;
    }

    fn decode(&mut self, stream: &mut BytesMut) -> usize {
        black_box(&stream).len();
        stream.clear();
        self.frames
    }
}

struct Row {
    name: String,
    size: usize,
    batch: usize,
    subject: Box<dyn Subject>,
    stream: BytesMut,
    encode: Vec<f64>,
    decode: Vec<f64>,
    both: Vec<f64>,
}

impl Row {
    fn round(&mut self, at_least: Duration) {
        let (mut encoding, mut decoding, mut frames) = (Duration::ZERO, Duration::ZERO, 0);
        while encoding + decoding < at_least {
            let start = Instant::now();
            self.subject.encode(self.batch, &mut self.stream);
            let middle = Instant::now();
            let decoded = self.subject.decode(&mut self.stream);
            decoding += middle.elapsed();
            encoding += middle - start;
            assert_eq!(decoded, self.batch, "every frame comes out");
            frames += decoded;
        }
        let rate = |spent: Duration| frames as f64 / spent.as_secs_f64();
        self.encode.push(rate(encoding));
        self.decode.push(rate(decoding));
        self.both.push(rate(encoding + decoding));
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    let (rounds, at_least) = if quick { (3, 5) } else { (31, 30) };

    let signed = FrameFormat::signed(SessionKey::from_random([7; 16]));
    let mut rows = Vec::new();
    // A batch is what one read of a link brings: 128 KiB, or a few frames if they are longer.
    for (label, size, batch) in [("64B", 64, 1024), ("128KiB", 128 << 10, 4)] {
        let payload = Bytes::from((0..size).map(|i| i as u8).collect::<Vec<u8>>());
        let subjects: [(&str, Box<dyn Subject>); 4] = [
            ("unsigned", Ours::boxed(&FrameFormat::UNSIGNED, &payload)),
            ("length-delimited", LengthDelimited::boxed(&payload)),
            ("signed", Ours::boxed(&signed, &payload)),
            ("copy", Box::new(Copy { payload: payload.clone(), frames: 0 })),
        ];
        for (name, subject) in subjects {
            rows.push(Row {
                name: format!("{name}/{label}"),
                size,
                batch,
                subject,
                stream: BytesMut::with_capacity(batch * (size + 64)),
                encode: Vec::new(),
                decode: Vec::new(),
                both: Vec::new(),
            });
        }
    }

    for round in 0..=rounds {
        for row in &mut rows {
            row.round(Duration::from_millis(at_least));
            if round == 0 {
                // The first round warms caches and clocks.
                (row.encode, row.decode, row.both) = (Vec::new(), Vec::new(), Vec::new());
            }
        }
    }

    for row in &mut rows {
        for (half, rates) in [("", &mut row.both), ("/encode", &mut row.encode), ("/decode", &mut row.decode)]
        {
            if row.name.starts_with("copy") && !half.is_empty() {
                continue;
            }
            let frames_per_s = median(rates);
            let bytes_per_s = frames_per_s * row.size as f64;
            println!(
                r#"{{"name":"{}{half}","frames_per_s":{frames_per_s:.0},"bytes_per_s":{bytes_per_s:.0}}}"#,
                row.name
            );
        }
    }
}
