//! Frames over a descriptor: a reader for a task of the owner's, and a writer that anyone can
//! call without waiting.
//!
//! ```text
//!   send() --encode--> try to write at once --all of it--> done
//!                              |
//!                          the rest --> queue (limited) --flush task--> descriptor
//! ```
//!
//! Frames must leave in the order in which they are signed. A writer that was given a [`Waiting`] signs
//! only what is soon to be written, so that what waits behind that can still change places.

use crate::fd::Fd;
use crate::haste::Haste;
use bytes::{Bytes, BytesMut};
use mitogen_wire::{Decoder, Direction, Encoder, FrameError, FrameFormat, Message};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many bytes may wait in a writer before it refuses more.
pub const DEFAULT_QUEUE_LIMIT: usize = 256 << 20;

/// The least room that is made for reading.
const READ_ROOM: usize = 16 << 10;
/// The most room that is made at once for a payload that was announced but has not come.
const READ_AHEAD: usize = 1 << 20;
/// No frame's head is longer.
const FRAME_HEAD: usize = 64;
/// How many queued pieces are written at once.
const PIECES: usize = 64;
/// What is longer is bulk.
const SHORT: usize = 4096;
/// How many bytes are made into frames ahead of the descriptor, while messages wait in a [`Waiting`].
const AHEAD: usize = 128 << 10;

/// Messages that wait for a link, and the order in which they leave it.
pub trait Waiting: Send + fmt::Debug {
    /// Takes one.
    fn push(&mut self, message: Message);
    /// The one that is to leave next.
    fn pop(&mut self) -> Option<Message>;
    /// About how many bytes wait; 0 only if nothing does.
    fn queued(&self) -> usize;
}

/// Why a link is at its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// What came is no valid frame, or what was to be sent does not fit one. When sending, only
    /// this message is refused.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Reading or writing failed.
    #[error("the link failed: {0}")]
    Io(Arc<io::Error>),
    /// The far end does not read, and too much waits for it. Drop the link.
    #[error("{queued} bytes wait for a peer that does not read them, and the limit is {limit}")]
    QueueFull {
        /// How much waits.
        queued: usize,
        /// The limit.
        limit: usize,
    },
    /// This side has closed the link.
    #[error("the link was closed")]
    Closed,
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> LinkError {
        LinkError::Io(Arc::new(error))
    }
}

/// A connection that carries bytes both ways, before frames are made of them.
#[derive(Debug)]
pub struct Stream {
    read: Arc<Fd>,
    write: Arc<Fd>,
    /// What was read already.
    residue: Bytes,
}

impl Stream {
    pub(crate) fn new(read: Arc<Fd>, write: Arc<Fd>, residue: Bytes) -> Stream {
        Stream { read, write, residue }
    }

    /// Both halves of a link that speaks frames. `sending` is the direction in which this side
    /// writes; `max_payload` limits payloads both ways. Call it inside a runtime: it starts the
    /// task that flushes what could not be written at once.
    pub fn frames(
        self,
        format: &FrameFormat,
        sending: Direction,
        max_payload: usize,
    ) -> (FrameReader, FrameWriter) {
        let receiving = match sending {
            Direction::ParentToChild => Direction::ChildToParent,
            Direction::ChildToParent => Direction::ParentToChild,
        };
        let reader = FrameReader {
            fd: self.read,
            decoder: Decoder::new(format, receiving, max_payload),
            buffer: BytesMut::from(&self.residue[..]),
            last: 0,
        };
        (reader, FrameWriter::new(self.write, Encoder::new(format, sending, max_payload)))
    }
}

/// The half of a link that receives.
pub struct FrameReader {
    fd: Arc<Fd>,
    decoder: Decoder,
    buffer: BytesMut,
    /// How long the last frame was: long ones follow each other.
    last: usize,
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("buffered", &self.buffer.len()).finish()
    }
}

impl FrameReader {
    /// The next message; `None` when the far end has closed the link between two frames.
    /// Cancel-safe: a dropped future loses nothing.
    ///
    /// # Errors
    /// [`LinkError::Frame`] and [`LinkError::Io`]; either ends the link.
    pub async fn next(&mut self) -> Result<Option<Message>, LinkError> {
        loop {
            if let Some(message) = self.decoder.decode(&mut self.buffer)? {
                self.last = message.payload.len() + FRAME_HEAD;
                return Ok(Some(message));
            }
            // Memory follows what has really come, not what a header announces.
            let have = self.buffer.len();
            let seen = have.max(READ_ROOM).max(self.last);
            let wants = self.decoder.wants(have);
            let wanted = if wants < FRAME_HEAD { self.last.saturating_sub(have) } else { wants };
            self.buffer.reserve(wanted.min(seen).clamp(READ_ROOM, READ_AHEAD));
            match self.fd.read_more(&mut self.buffer).await {
                Ok(0) => {
                    self.decoder.finish(&self.buffer)?;
                    return Ok(None);
                }
                Ok(_) => {}
                // The far end died with bytes of ours unread: an end like any other.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.decoder.finish(&self.buffer)?;
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl FrameReader {
    /// Ends a socket in both directions: what is queued in its writer fails.
    pub fn hang_up(&self) {
        self.fd.shut_down();
    }
}

/// The half of a link that sends. Nothing here waits, so it can be used under a lock.
///
/// When it is dropped, what is queued is still written as long as the far end reads; then the far
/// end sees the end of the stream.
#[derive(Debug)]
pub struct FrameWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fd: Arc<Fd>,
    outbox: Mutex<Outbox>,
    /// Wakes the flush task: there is something to do for it.
    work: Notify,
    /// Wakes who waits in `flushed`.
    idle: Notify,
}

struct Outbox {
    encoder: Encoder,
    pieces: VecDeque<Bytes>,
    /// The sum of the pieces' lengths.
    framed: usize,
    /// What is not made into frames yet, if that can wait.
    waiting: Option<Box<dyn Waiting>>,
    limit: usize,
    haste: Haste,
    state: OutboxState,
}

enum OutboxState {
    Open,
    /// To be shut down once the queue is empty.
    Closing,
    Failed(LinkError),
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("queued", &self.queued()).finish()
    }
}

impl FrameWriter {
    fn new(fd: Arc<Fd>, encoder: Encoder) -> FrameWriter {
        let outbox = Outbox {
            encoder,
            pieces: VecDeque::new(),
            framed: 0,
            waiting: None,
            limit: DEFAULT_QUEUE_LIMIT,
            haste: Haste::default(),
            state: OutboxState::Open,
        };
        let shared =
            Arc::new(Shared { fd, outbox: Mutex::new(outbox), work: Notify::new(), idle: Notify::new() });
        tokio::spawn(flush(Arc::clone(&shared)));
        FrameWriter { shared }
    }

    /// The same writer with another limit, in bytes, for what may wait. The queue can exceed it by
    /// one frame, so that any frame can be sent on an idle link.
    #[must_use]
    pub fn with_queue_limit(self, bytes: usize) -> FrameWriter {
        self.shared.outbox().limit = bytes;
        self
    }

    /// The same writer, in which what cannot be written soon waits in the order that `waiting` gives it.
    #[must_use]
    pub fn with_waiting(self, waiting: Box<dyn Waiting>) -> FrameWriter {
        self.shared.outbox().waiting = Some(waiting);
        self
    }

    /// Sends one message: at once if the descriptor takes it, else later and in order. The payload
    /// is not copied.
    ///
    /// # Errors
    /// [`LinkError::Frame`] refuses only this message. Every other error is the link's end and is
    /// answered again from then on.
    pub fn send(&self, message: &Message) -> Result<(), LinkError> {
        let mut outbox = self.shared.outbox();
        match &outbox.state {
            OutboxState::Open => {}
            OutboxState::Closing => return Err(LinkError::Closed),
            OutboxState::Failed(error) => return Err(error.clone()),
        }
        let queued = outbox.queued();
        if queued > 0 && queued >= outbox.limit {
            let error = LinkError::QueueFull { queued, limit: outbox.limit };
            self.shared.work.notify_one();
            return Err(outbox.fail(error));
        }
        if queued >= AHEAD && outbox.waiting.is_some() {
            outbox.encoder.check(message)?;
            if let Some(waiting) = &mut outbox.waiting {
                waiting.push(message.clone());
            }
            return Ok(());
        }
        let head = outbox.encoder.head(message)?;
        let head = head.as_ref();
        let mut written = 0;
        if outbox.pieces.is_empty() {
            match self.shared.fd.try_write(&[IoSlice::new(head), IoSlice::new(&message.payload)]) {
                Ok(count) => written = count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    // Else the task would keep the descriptor open.
                    self.shared.work.notify_one();
                    return Err(outbox.fail(error.into()));
                }
            }
        }
        let from_payload = written.saturating_sub(head.len());
        outbox.push(Bytes::copy_from_slice(&head[written.min(head.len())..]));
        outbox.push(message.payload.slice(from_payload..));
        if outbox.framed > 0 {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// Somebody waits for the answer to what is sent next. If it meets bulk on its way, then for a second less of that is given to
    /// the system at a time: what the system has, nothing overtakes.
    pub fn hurry(&self) {
        let mut outbox = self.shared.outbox();
        // A message is two pieces. Those sent ahead in great number are short, and want room.
        let in_bulk = outbox.pieces.iter().take(2).any(|piece| piece.len() > SHORT);
        outbox.haste.hurry(&self.shared.fd, in_bulk);
    }

    /// How many bytes wait.
    pub fn queued(&self) -> usize {
        self.shared.outbox().queued()
    }

    /// Takes no more messages; once the queue is empty the far end of a socket sees the end of the
    /// stream. (That of pipes or a pty sees it when the writer is dropped.)
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until nothing is queued any more.
    ///
    /// # Errors
    /// What ended the link, if something did.
    pub async fn flushed(&self) -> Result<(), LinkError> {
        self.shared.flushed().await
    }

    /// Sees the queue without keeping the link open.
    pub fn watch(&self) -> QueueWatch {
        QueueWatch { shared: Arc::clone(&self.shared) }
    }
}

/// Sees the queue of a [`FrameWriter`].
#[derive(Clone, Debug)]
pub struct QueueWatch {
    shared: Arc<Shared>,
}

impl QueueWatch {
    /// How many bytes wait.
    pub fn queued(&self) -> usize {
        self.shared.outbox().queued()
    }

    /// As [`FrameWriter::flushed`].
    ///
    /// # Errors
    /// What ended the link, if something did.
    pub async fn flushed(&self) -> Result<(), LinkError> {
        self.shared.flushed().await
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flushed(&self) -> Result<(), LinkError> {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            {
                let outbox = self.outbox();
                if let OutboxState::Failed(error) = &outbox.state {
                    return Err(error.clone());
                }
                if outbox.queued() == 0 {
                    return Ok(());
                }
            }
            idle.await;
        }
    }

    fn close(&self) {
        let mut outbox = self.outbox();
        if let OutboxState::Open = outbox.state {
            outbox.state = OutboxState::Closing;
            if outbox.queued() == 0 {
                self.fd.shut_down_write();
            }
            self.work.notify_one();
        }
    }
}

impl Outbox {
    /// What waits, as frames and as messages.
    fn queued(&self) -> usize {
        self.framed + self.waiting.as_ref().map_or(0, |waiting| waiting.queued())
    }

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.framed += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Makes frames of what waits, as far as it is soon to be written.
    fn refill(&mut self) {
        while self.framed < AHEAD {
            let Some(message) = self.waiting.as_mut().and_then(|waiting| waiting.pop()) else { break };
            // It was looked at when it came.
            let Ok(head) = self.encoder.head(&message) else { continue };
            self.push(Bytes::copy_from_slice(head.as_ref()));
            self.push(message.payload);
        }
    }

    fn fail(&mut self, error: LinkError) -> LinkError {
        self.pieces.clear();
        self.framed = 0;
        self.waiting = None;
        self.state = OutboxState::Failed(error.clone());
        error
    }

    /// Writes what can be written now.
    ///
    /// # Errors
    /// `WouldBlock` when something is left.
    fn flush(&mut self, fd: &Fd) -> io::Result<()> {
        loop {
            self.refill();
            if self.pieces.is_empty() {
                return Ok(());
            }
            self.haste.relax(fd);
            let slices: Vec<IoSlice<'_>> = self.pieces.iter().take(PIECES).map(|p| IoSlice::new(p)).collect();
            let mut written = fd.try_write(&slices)?;
            debug_assert!(written <= self.framed);
            self.framed -= written;
            while let Some(first) = self.pieces.front_mut() {
                if written < first.len() {
                    let _ = first.split_to(written);
                    break;
                }
                written -= first.len();
                self.pieces.pop_front();
            }
        }
    }
}

/// Writes what `send` had to queue, until the writer is closed and nothing is left.
async fn flush(shared: Arc<Shared>) {
    loop {
        let nothing_to_do = {
            let outbox = shared.outbox();
            match outbox.state {
                OutboxState::Failed(_) => break,
                OutboxState::Closing if outbox.queued() == 0 => {
                    shared.fd.shut_down_write();
                    break;
                }
                _ => outbox.queued() == 0,
            }
        };
        if nothing_to_do {
            shared.idle.notify_waiters();
            shared.work.notified().await;
            continue;
        }
        if let Err(error) = shared.fd.when_writable(|| shared.outbox().flush(&shared.fd)).await {
            shared.outbox().fail(error.into());
        }
    }
    shared.idle.notify_waiters();
}
