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
use super::error::{FileError, FileErrorKind};
use super::open::{self, Opened};
use super::options::TransferOptions;
use super::pump::{look_at_the_clock, pump};
use super::source::{self, How, Piece};
use crate::error::Error;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_fileservice::{Credit, Ended, FileServer, JobId, Limits, Output, Permit, Registry, Sizing};
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Encoding, Handle, Message, Value, pickle};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::{OnceCell, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// How many transfers of our user hold an open file at once.
const OPEN_FILES: usize = 64;

/// What one router has of the file service.
pub(crate) struct Server {
    shared: OnceLock<Weak<Shared>>,
    pub(super) epoch: Instant,
    pub(super) state: Mutex<State>,
    registry: Mutex<Registry>,
    /// Contexts whose agents are ready for files.
    ready: Mutex<BTreeMap<ContextId, Arc<OnceCell<()>>>>,
    pub(super) gate: Arc<Semaphore>,
    pub(super) batches: Batches,
    /// Where acknowledgements come.
    pub(super) acks: OnceLock<Handle>,
}

pub(super) struct State {
    pub(super) machine: FileServer,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pumps: BTreeMap<ContextId, mpsc::UnboundedSender<(JobId, Credit)>>,
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
    End(Job, Ended),
}

impl Server {
    pub(crate) fn new(sizing: Sizing) -> Server {
        let machine = FileServer::new(Limits::default(), sizing);
        // The C library keeps the memory of chunks from here on, instead of getting it from the system each
        // time, when it has once been given back more.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
        Server {
            shared: OnceLock::new(),
            epoch: Instant::now(),
            state: Mutex::new(State {
                machine,
                jobs: BTreeMap::new(),
                pumps: BTreeMap::new(),
                watched: false,
            }),
            registry: Mutex::new(Registry::new(ContextId::CONTROLLER, [])),
            ready: Mutex::default(),
            batches: Batches::default(),
            gate: Arc::new(Semaphore::new(OPEN_FILES)),
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

    /// Whether a context's agent has been made ready for files; a cell of its own.
    pub(super) fn readiness(&self, context: ContextId) -> Arc<OnceCell<()>> {
        Arc::clone(lock(&self.ready).entry(context).or_default())
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
        self.apply(|state| state.machine.cancel(job));
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
        let now = self.epoch.elapsed();
        if let Err(bad) = self.apply(|state| state.machine.handle_acked(now, who, bytes)) {
            tracing::debug!(target: "mitogen::files", "{bad}");
        }
    }

    /// A context is gone.
    pub(crate) fn handle_gone(self: &Arc<Self>, context: ContextId) {
        lock(&self.ready).remove(&context);
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
            if state.machine.jobs() > 0 && !state.watched {
                state.watched = true;
                watch = true;
            }
            result
        };
        if watch {
            tokio::spawn(look_at_the_clock(Arc::downgrade(self)));
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
        let opened = opened.map(|(path, opened, how)| source::read(path, opened, how));
        self.apply(|state| {
            let good = opened.is_ok();
            if let Some(entry) = state.jobs.get_mut(&job) {
                match opened {
                    Ok(pieces) => entry.input = Input::Reading(pieces),
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
                Output::End { job, how } => {
                    if let Some(job) = self.jobs.remove(&job) {
                        effects.push(Effect::End(job, how));
                    }
                }
            }
        }
    }
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
