//! Drives the scheduler: opens and reads what it asks for, sends it, and tells it what was acknowledged.
//!
//! ```text
//!  acknowledgement, request, ... ─> apply: lock, input, drain, unlock ─> effects
//!  of each stream one pump:  credit ─> wait for the link's queue ─> next piece ─> send ─> apply
//! ```
//!
//! Bytes wait here, in the file, and not in the link's queue, so that what is sent meanwhile (a call) has
//! at most one chunk before it.

use super::batch::Batches;
use super::clock::{Clock, Queues, watch as watch_clock};
use super::error::{FileError, FileErrorKind};
use super::open::{self, Opened};
use super::options::TransferOptions;
use super::pump::pump;
use super::source::{self, How, Piece};
use crate::error::Error;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_fileservice::{Credit, Ended, FileServer, JobId, Limits, Output, Permit, Registry, Sizing};
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Encoding, Handle, Message, Value, pickle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// How many transfers of our user hold an open file at once: to and from one context, and in all.
const OPEN_FILES: usize = 64;
const ALL_OPEN_FILES: usize = 256;

/// What one router has of the file service.
pub(crate) struct Server {
    shared: OnceLock<Weak<Shared>>,
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
    registry: Mutex<Registry>,
    /// What is known of contexts, as the other side of transfers.
    sides: Mutex<BTreeMap<ContextId, Arc<Side>>>,
    gate: Arc<Semaphore>,
    pub(super) batches: Batches,
    /// Where acknowledgements come.
    pub(super) acks: OnceLock<Handle>,
}

/// A context, as the other side of transfers.
pub(super) struct Side {
    /// Whether its agent is ready for files.
    pub(super) ready: OnceCell<()>,
    /// How many messages with files have come from it.
    pub(super) came: AtomicU64,
    gate: Arc<Semaphore>,
}

/// The permission to hold an open file.
pub(super) type Room = [OwnedSemaphorePermit; 2];

pub(super) struct State {
    pub(super) machine: FileServer,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pumps: BTreeMap<ContextId, mpsc::UnboundedSender<(JobId, Credit)>>,
    /// Who wants to know that what was sent is not acknowledged.
    unacknowledged: BTreeMap<JobId, (PathBuf, oneshot::Sender<FileError>)>,
    pub(super) queues: Queues,
    /// Whether somebody looks at the clock.
    pub(super) watched: bool,
}

/// One transfer.
pub(super) struct Job {
    /// The neighbour that leads to the receiver, the receiver, and its handle.
    pub(super) stream: ContextId,
    pub(super) receiver: ContextId,
    pub(super) handle: Handle,
    pub(super) path: PathBuf,
    pub(super) input: Input,
    /// Raw chunks and an end, as upstream has it; else our own form.
    pub(super) plain: bool,
    /// Tells the receiver what it will get.
    pub(super) announce: Option<Announce>,
    /// Who waits for the end.
    pub(super) done: Option<oneshot::Sender<Result<(), FileError>>>,
    /// And who, after that, wants to know that it is not acknowledged.
    pub(super) unacknowledged: Option<oneshot::Sender<FileError>>,
    /// Dropped with the job: what waits for its bytes ends.
    pub(super) live: Option<oneshot::Sender<()>>,
    /// Who wants to know how far it is, and how far it is.
    pub(super) options: TransferOptions,
    pub(super) total: Option<u64>,
    pub(super) sent: u64,
    pub(super) failure: Option<FileError>,
}

/// Tells a receiver what it will get.
pub(super) type Announce = Box<dyn FnOnce() + Send>;

/// Where a transfer's bytes come from.
pub(super) enum Input {
    /// An open file.
    Opened(Opened, How),
    /// A file that is opened when its turn comes, and must still be the one that was announced.
    Permitted(Permit, std::fs::Metadata),
    /// It is being read.
    Reading(mpsc::Receiver<Piece>),
    /// The pump has it, or it is at its end.
    Gone,
}

/// What is done when the lock is released.
enum Effect {
    Announce(Announce),
    Begin(JobId, PathBuf, Input),
    End(Box<Job>, Ended),
    Unacknowledged(oneshot::Sender<FileError>, FileError),
}

impl Server {
    pub(crate) fn new(sizing: Sizing, patience: Duration) -> Server {
        let machine = FileServer::new(Limits { stall: patience, ..Limits::default() }, sizing);
        // The C library keeps the memory of chunks from here on, instead of getting it from the system each
        // time, when it has once been given back more.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
        Server {
            shared: OnceLock::new(),
            clock: Clock::new(patience),
            state: Mutex::new(State {
                machine,
                jobs: BTreeMap::new(),
                pumps: BTreeMap::new(),
                unacknowledged: BTreeMap::new(),
                queues: Queues::new(),
                watched: false,
            }),
            registry: Mutex::new(Registry::new(ContextId::CONTROLLER, [])),
            sides: Mutex::default(),
            batches: Batches::default(),
            gate: Arc::new(Semaphore::new(ALL_OPEN_FILES)),
            acks: OnceLock::new(),
        }
    }

    /// Tells it whose part it is.
    pub(crate) fn attach(&self, shared: &Arc<Shared>, acks: Handle) {
        let _ = self.shared.set(Arc::downgrade(shared));
        let _ = self.acks.set(acks);
    }

    // ---- what our user asks ---------------------------------------------------------------

    pub(super) fn register(&self, who: ContextId, path: &Path, prefix: bool) -> Result<(), FileError> {
        // What it leads to now is what is meant; what is not there yet is meant as it is written.
        let real = match (path.canonicalize(), path.parent().map(Path::canonicalize), path.file_name()) {
            (Ok(real), ..) => real,
            (Err(_), Some(Ok(parent)), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        };
        let mut registry = lock(&self.registry);
        let result = match prefix {
            true => registry.register_prefix(who, path, &real),
            false => registry.register(who, path, &real),
        };
        result.map_err(|error| FileError::registry(&error))
    }

    pub(super) fn permit(&self, who: ContextId, path: &Path) -> Result<Permit, FileError> {
        lock(&self.registry).permit(who, path).map_err(|error| FileError::registry(&error))
    }

    pub(super) fn pending(&self) -> usize {
        lock(&self.state).machine.jobs()
    }

    pub(super) fn window(&self, stream: ContextId) -> Option<(usize, usize)> {
        lock(&self.state).machine.window(stream)
    }

    /// A context, as the other side of transfers.
    pub(super) fn side(&self, context: ContextId) -> Arc<Side> {
        let side = || {
            let gate = Arc::new(Semaphore::new(OPEN_FILES));
            Arc::new(Side { ready: OnceCell::new(), came: AtomicU64::new(0), gate })
        };
        Arc::clone(lock(&self.sides).entry(context).or_insert_with(side))
    }

    /// Waits until one more file may be open. Those for one context do not take all the room of the others.
    pub(super) async fn room(&self, context: ContextId) -> Result<Room, Error> {
        let own = Arc::clone(&self.side(context).gate).acquire_owned().await;
        let all = Arc::clone(&self.gate).acquire_owned().await;
        // Neither is ever closed.
        Ok([own.map_err(|_| Error::Closed)?, all.map_err(|_| Error::Closed)?])
    }

    /// The time of the scheduler.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Takes on a transfer.
    pub(super) fn queue(self: &Arc<Self>, job: Job) -> Result<JobId, FileError> {
        self.apply(|state| {
            let id = match state.machine.queue(job.stream, job.receiver) {
                Ok(id) => id,
                Err(busy) => return Err(FileError::busy(&job.path, busy)),
            };
            state.jobs.insert(id, job);
            Ok(id)
        })
    }

    pub(super) fn cancel(self: &Arc<Self>, job: JobId) {
        self.apply(|state| {
            state.machine.cancel(job);
            state.unacknowledged.remove(&job);
        });
    }

    /// A context wants no more of what it has fetched to this handle.
    pub(super) fn cancel_fetch(self: &Arc<Self>, receiver: ContextId, handle: Handle) {
        self.apply(|state| {
            let its = |job: &&JobId| {
                state
                    .jobs
                    .get(job)
                    .is_some_and(|job| job.plain && (job.receiver, job.handle) == (receiver, handle))
            };
            let jobs: Vec<JobId> = state.jobs.keys().filter(its).copied().collect();
            for job in jobs {
                state.machine.cancel(job);
            }
        });
    }

    pub(crate) fn shut_down(self: &Arc<Self>) {
        self.apply(|state| {
            state.machine.shut_down();
            state.pumps.clear();
        });
    }

    // ---- what the world tells -------------------------------------------------------------

    /// An acknowledgement of our own agents: a number of bytes, in decimal.
    pub(crate) fn handle_ack(self: &Arc<Self>, message: &Message) {
        if message.is_dead() {
            // The receiver's handle is closed: what it says in its answer, if it can, is better known there.
            return;
        }
        let bytes = std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok());
        self.acknowledged(message.src, bytes.unwrap_or(usize::MAX));
    }

    pub(super) fn acknowledged(self: &Arc<Self>, who: ContextId, bytes: usize) {
        let now = self.now();
        if let Err(bad) = self.apply(|state| state.machine.handle_acked(now, who, bytes)) {
            tracing::debug!(target: "mitogen::files", "{bad}");
        }
    }

    /// A context is gone.
    pub(crate) fn handle_gone(self: &Arc<Self>, context: ContextId) {
        lock(&self.sides).remove(&context);
        self.apply(|state| {
            state.machine.handle_receiver_gone(context);
            state.machine.handle_stream_gone(context);
            state.pumps.remove(&context);
        });
    }

    // ---- the driver -----------------------------------------------------------------------

    pub(super) fn apply<R>(self: &Arc<Self>, input: impl FnOnce(&mut State) -> R) -> R {
        let mut effects = Vec::new();
        let mut watch = false;
        let result = {
            let mut state = lock(&self.state);
            let result = input(&mut state);
            state.drain(self, &mut effects);
            if !state.watched && state.machine.jobs() > 0 {
                state.watched = true;
                watch = true;
            }
            result
        };
        if watch {
            tokio::spawn(watch_clock(Arc::downgrade(self)));
        }
        for effect in effects {
            self.run(effect);
        }
        result
    }

    fn run(self: &Arc<Self>, effect: Effect) {
        let Some(shared) = self.shared() else { return };
        match effect {
            Effect::Announce(announce) => announce(),
            Effect::Begin(job, path, Input::Opened(opened, how)) => self.begin(job, Ok((path, opened, how))),
            Effect::Begin(job, path, Input::Permitted(permit, expected)) => {
                let server = Arc::clone(self);
                tokio::task::spawn_blocking(move || {
                    let opened = open::permitted(&path, &permit).and_then(|opened| {
                        if open::is_same(&opened.metadata, &expected) {
                            return Ok(opened);
                        }
                        let message = "it is not the file any more that was announced";
                        Err(FileError::new(&path, FileErrorKind::Changed, message))
                    });
                    server.begin(job, opened.map(|opened| (path, opened, How::default())));
                });
            }
            Effect::Begin(..) => {}
            Effect::Unacknowledged(tell, error) => drop(tell.send(error)),
            Effect::End(mut job, how) => {
                let reason = match (how, job.failure.take()) {
                    (Ended::Sent, _) => None,
                    (_, Some(error)) => Some(error),
                    (how, None) => Some(FileError::ended(&job.path, how)),
                };
                // What is at its end ours say with a message of their own, and all say by closing.
                let plain_end = job.plain && how != Ended::Gone;
                if plain_end {
                    let text = reason.as_ref().map(|error| error.message.clone());
                    let reason = text.map_or(Dead::SenderClosed, Dead::Other);
                    // Upstream's receivers look at nothing but that it is dead.
                    shared.send_dead(job.receiver, job.handle, &reason);
                } else if let Some(error) = reason.as_ref().filter(|_| how != Ended::Gone) {
                    shared.send_dead(job.receiver, job.handle, &Dead::Other(error.message.clone()));
                }
                if let Some(done) = job.done.take() {
                    let _ = done.send(reason.map_or(Ok(()), Err));
                }
            }
        }
    }

    fn begin(self: &Arc<Self>, job: JobId, opened: Result<(PathBuf, Opened, How), FileError>) {
        let (live, over) = oneshot::channel();
        let opened = opened.map(|(path, opened, how)| match opened.size() {
            Some(_) => source::read(path, opened, how),
            None => until(over, source::read(path, opened, how)),
        });
        self.apply(|state| {
            let good = opened.is_ok();
            if let Some(entry) = state.jobs.get_mut(&job) {
                match opened {
                    Ok(pieces) => {
                        entry.input = Input::Reading(pieces);
                        entry.live = Some(live);
                    }
                    Err(error) => entry.failure = Some(error),
                }
            }
            state.machine.handle_opened(job, good);
        });
    }

    pub(super) fn shared(&self) -> Option<Arc<Shared>> {
        self.shared.get()?.upgrade()
    }
}

impl State {
    fn drain(&mut self, server: &Arc<Server>, effects: &mut Vec<Effect>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Announce { job } => {
                    // Before the job is known here it has nothing to announce.
                    if let Some(announce) = self.jobs.get_mut(&job).and_then(|job| job.announce.take()) {
                        effects.push(Effect::Announce(announce));
                    }
                }
                Output::Begin { job } => {
                    if let Some(entry) = self.jobs.get_mut(&job) {
                        let input = std::mem::replace(&mut entry.input, Input::Gone);
                        effects.push(Effect::Begin(job, entry.path.clone(), input));
                    }
                }
                Output::Read { job, credit } => {
                    let Some(stream) = self.jobs.get(&job).map(|job| job.stream) else { continue };
                    let pump = self.pumps.entry(stream).or_insert_with(|| {
                        let (send, turns) = mpsc::unbounded_channel();
                        tokio::spawn(pump(Arc::downgrade(server), stream, turns));
                        send
                    });
                    // A pump only ends when it is removed here.
                    let _ = pump.send((job, credit));
                }
                Output::Unacknowledged { job } => {
                    if let Some((path, tell)) = self.unacknowledged.remove(&job) {
                        let error = FileError::ended(&path, Ended::Stalled);
                        effects.push(Effect::Unacknowledged(tell, error));
                    }
                }
                Output::End { job: id, how } => {
                    if let Some(mut job) = self.jobs.remove(&id) {
                        if let Some(tell) = job.unacknowledged.take()
                            && how == Ended::Sent
                            && self.machine.is_owed(id)
                        {
                            self.unacknowledged.insert(id, (job.path.clone(), tell));
                        }
                        effects.push(Effect::End(Box::new(job), how));
                    }
                }
            }
        }
    }
}

/// The same pieces, until the transfer is over: a stream whose next bytes may never come holds up nobody then.
fn until(mut over: oneshot::Receiver<()>, mut pieces: mpsc::Receiver<Piece>) -> mpsc::Receiver<Piece> {
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                _ = &mut over => return,
            };
            let Some(piece) = piece else { return };
            tokio::select! {
                sent = send.send(piece) => if sent.is_err() { return },
                _ = &mut over => return,
            }
        }
    });
    receive
}

/// What stands between the bytes of a file.
pub(super) fn words_of<const N: usize>(words: [Value; N]) -> (Encoding, Bytes) {
    let words = Value::Tuple(words.into());
    (Encoding::Pickle, pickle::write(&words).expect("words and numbers can be pickled"))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The neighbour that leads to a context.
pub(super) fn stream_to(shared: &Shared, context: &crate::Context) -> Result<ContextId, Error> {
    shared.route(context.id()).ok_or_else(|| context.info.lost_error())
}
