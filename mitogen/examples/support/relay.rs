//! The scenarios `relay-*`: a router of ours between two links of this process, bulk from the one to the other.
//!
//! ```text
//!  feeder (a thread) ──link──> relay (a thread: read, verify, route, sign, write) ──link──> sink (a thread)
//! ```
//!
//! What is told is what the relay's thread forwards in a second of its processor time: how many cores there are, and
//! what else they do, hardly matters.

use super::Samples;
use mitogen_router::{Config, LinkOptions, Outbox, Output, Router};
use mitogen_transport::{FrameReader, FrameWriter, Stream, memory};
use mitogen_wire::{ContextId, Direction, Encoding, FrameFormat, Handle, Message, SessionKey};
use std::error::Error;
use std::future::Future;
use std::thread::JoinHandle;

const PARENT: ContextId = ContextId(0);
const US: ContextId = ContextId(1);
const CHILD: ContextId = ContextId(2);
const PAYLOAD: usize = 128 << 10;
const LIMIT: usize = 1 << 20;
/// A sender of ours waits while so much is queued.
const QUEUE: usize = 1 << 20;

type Failure = Box<dyn Error + Send + Sync>;

/// Runs a scenario of this file; `None` when it is none.
pub(crate) fn run(scenario: &str, count: usize) -> Option<Samples> {
    let format = match scenario {
        "relay-128KiB" => FrameFormat::signed(SessionKey::from_random([7; 16])),
        "relay-128KiB-unsigned" => FrameFormat::UNSIGNED,
        _ => return None,
    };
    Some(relay(&format, count).map(|rate| vec![rate]).map_err(|error| error.to_string().into()))
}

/// Megabytes per second of the relay's processor time.
fn relay(format: &FrameFormat, count: usize) -> Result<f64, Failure> {
    let (upper, lower) = memory::pair()?;
    let (left, right) = memory::pair()?;
    let feeder = thread(feed(upper, format.clone(), count));
    let sink = thread(drain(right, format.clone(), count));
    let seconds =
        thread(forward(lower, left, format.clone(), count)).join().map_err(|_| "the relay panicked")??;
    feeder.join().map_err(|_| "the feeder panicked")??;
    sink.join().map_err(|_| "the sink panicked")??;
    Ok((count * PAYLOAD) as f64 / seconds / 1e6)
}

fn thread<T: Send + 'static>(
    story: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> JoinHandle<Result<T, Failure>> {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(story)
    })
}

fn open(stream: Stream, format: &FrameFormat, direction: Direction) -> (FrameReader, FrameWriter) {
    let (reader, writer) = stream.frames(format, direction, LIMIT);
    (reader, writer.with_waiting(Box::new(Lanes(Outbox::new()))))
}

/// As the library has it.
#[derive(Debug)]
struct Lanes(Outbox);

impl mitogen_transport::Waiting for Lanes {
    fn push(&mut self, message: Message) {
        self.0.push(message);
    }

    fn pop(&mut self) -> Option<Message> {
        self.0.pop()
    }

    fn queued(&self) -> usize {
        self.0.queued()
    }
}

async fn feed(stream: Stream, format: FrameFormat, count: usize) -> Result<(), Failure> {
    let (_reader, writer) = open(stream, &format, Direction::ParentToChild);
    let message = Message::new(PARENT, CHILD, Handle(1000)).with_payload(Encoding::Raw, vec![b'x'; PAYLOAD]);
    for _ in 0..count {
        writer.send(&message)?;
        if writer.queued() > QUEUE {
            writer.flushed().await?;
        }
    }
    Ok(writer.flushed().await?)
}

async fn drain(stream: Stream, format: FrameFormat, count: usize) -> Result<(), Failure> {
    let (mut reader, _writer) = open(stream, &format, Direction::ChildToParent);
    for _ in 0..count {
        reader.next().await?.ok_or("the relay ended")?;
    }
    Ok(())
}

/// Seconds of this thread's processor time.
async fn forward(upper: Stream, lower: Stream, format: FrameFormat, count: usize) -> Result<f64, Failure> {
    let (mut reader, _up) = open(upper, &format, Direction::ChildToParent);
    let (_down, writer) = open(lower, &format, Direction::ParentToChild);
    let mut router = Router::new(Config::child(US, vec![PARENT]));
    router.handle_link_up(PARENT, LinkOptions::default())?;
    router.handle_link_up(CHILD, LinkOptions::named("child"))?;
    while router.poll_output().is_some() {}
    let before = processor_time()?;
    for _ in 0..count {
        let message = reader.next().await?.ok_or("the feeder ended")?;
        router.handle_message(PARENT, message);
        while let Some(output) = router.poll_output() {
            if let Output::Transmit { message, .. } = output {
                writer.send(&message)?;
            }
        }
        if writer.queued() > QUEUE {
            writer.flushed().await?;
        }
    }
    writer.flushed().await?;
    Ok(processor_time()? - before)
}

/// Of the calling thread, in seconds.
fn processor_time() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no time in schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}
