//! What all handles of one router share: the core under its lock, and the one function that
//! drives it.
//!
//! ```text
//!  caller:  encode ──> apply(request) ──┐ lock: input, drain, write at once ┐ unlock
//!  link task: decode ─> apply(message) ─┘                                   └─> effects: wake, log
//! ```

use crate::context::Context;
use crate::error::{ContextLabel, Error, LostReason};
use crate::link::{Ending, Stop, Wire};
use crate::modules;
use crate::remote_log;
use crate::router::LogLevel;
use bytes::Bytes;
use mitogen_router::{Access, Closed, Config, LinkOptions, Mailbox, Output, Rejection};
use mitogen_wire::body::{ForwardLog, GetModule, Shutdown};
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// What a [`crate::RouterBuilder`] gathers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) signed: bool,
    pub(crate) max_message_size: usize,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) shutdown_grace: Duration,
    pub(crate) connect_timeout: Duration,
}

/// One router, shared by its handles, its contexts' handles and its link tasks.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// Who starts contexts, as their command lines show it: `user@host:pid`.
    pub(crate) remote_name: String,
    core: Mutex<Core>,
    /// Links whose process is not reaped yet.
    living: watch::Sender<usize>,
}

/// What is known of one context. Outlives the context itself, for late errors.
pub(crate) struct ContextInfo {
    pub(crate) id: ContextId,
    pub(crate) name: Arc<str>,
    pub(crate) hop: String,
    /// Set once, before anything that waits for this context is told.
    lost: OnceLock<LostReason>,
    /// Whether its end was asked for.
    shutting_down: AtomicBool,
    /// Becomes true when its link is closed and its process reaped.
    ended: watch::Sender<bool>,
}

/// What a waiting call is told.
#[derive(Debug)]
pub(crate) enum Reply {
    Message(Message),
    Closed(Closed),
}

struct Core {
    machine: mitogen_router::Router,
    links: BTreeMap<ContextId, Link>,
    contexts: BTreeMap<ContextId, Arc<ContextInfo>>,
    /// Calls under way, by the handle of their answer. Invariant: each is open in the machine.
    waiters: HashMap<Handle, oneshot::Sender<Reply>>,
    closed: bool,
}

struct Link {
    wire: Wire,
    /// Ends the link's task; used once.
    stop: Option<oneshot::Sender<Stop>>,
    /// A neighbour's first offence is a warning; what follows is only for debugging.
    offended: bool,
}

/// What is done after the lock is released, in this order.
enum Effect {
    Answer(oneshot::Sender<Reply>, Reply),
    Log(Arc<str>, Message),
    Rejected { name: Arc<str>, first: bool, src: ContextId, handle: Handle, why: Rejection },
    Lost(Arc<ContextInfo>),
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Shared>, Error> {
        let mut config = Config::controller();
        config.max_payload = settings.max_message_size;
        let mut machine = mitogen_router::Router::new(config);
        for (handle, access) in [(ForwardLog::HANDLE, Access::Anyone), (GetModule::HANDLE, Access::Anyone)] {
            machine
                .open_at(handle, Mailbox::open_to(access))
                .expect("a fresh machine has these handles free");
        }
        let core = Core {
            machine,
            links: BTreeMap::new(),
            contexts: BTreeMap::new(),
            waiters: HashMap::new(),
            closed: false,
        };
        let remote_name = crate::link::remote_name();
        Ok(Arc::new(Shared { settings, remote_name, core: Mutex::new(core), living: watch::Sender::new(0) }))
    }

    // ---- what handles ask -----------------------------------------------------------------

    /// An id for a context about to be started.
    pub(crate) fn allocate_id(&self) -> Result<ContextId, Error> {
        let mut core = self.lock();
        if core.closed {
            return Err(Error::Closed);
        }
        core.machine.allocate_id().map_err(|error| Error::Local {
            what: "number another context",
            source: std::io::Error::other(error),
        })
    }

    /// Takes a connected context in. When the router was closed meanwhile it is refused.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        info: Arc<ContextInfo>,
        wire: Wire,
        stop: oneshot::Sender<Stop>,
    ) -> Result<Context, Error> {
        self.apply(|core| {
            if core.closed {
                return Err(Error::Closed);
            }
            core.links.insert(info.id, Link { wire, stop: Some(stop), offended: false });
            core.contexts.insert(info.id, Arc::clone(&info));
            core.machine
                .handle_link_up(info.id, LinkOptions::named(&*info.name))
                .expect("a fresh id has no route yet");
            Ok(())
        })?;
        self.living.send_modify(|living| *living += 1);
        Ok(Context { shared: Arc::clone(self), info })
    }

    /// Sends a request and says where its answer will come.
    pub(crate) fn request(
        &self,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) -> (Handle, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let reply = self.apply(|core| {
            let reply = core.machine.request(dst, handle, body);
            core.waiters.insert(reply, sender);
            reply
        });
        (reply, receiver)
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn forget(&self, reply: Handle) {
        let mut core = self.lock();
        core.waiters.remove(&reply);
        core.machine.close(reply);
    }

    pub(crate) fn contexts(self: &Arc<Self>) -> Vec<Context> {
        let core = self.lock();
        let context = |info: &Arc<ContextInfo>| Context { shared: Arc::clone(self), info: Arc::clone(info) };
        core.contexts.values().map(context).collect()
    }

    pub(crate) fn is_connected(&self, id: ContextId) -> bool {
        self.lock().contexts.contains_key(&id)
    }

    pub(crate) async fn shut_down_all(&self) -> Result<(), Error> {
        let infos = {
            let mut core = self.lock();
            core.closed = true;
            core.contexts.values().cloned().collect()
        };
        let result = self.shut_down(infos).await;
        self.close();
        // Contexts that were lost before may still be on their way to the grave.
        let _ = tokio::time::timeout(crate::link::REAP_LIMIT, self.wait_all_ended()).await;
        result
    }

    /// Asks contexts to end, lets them until the grace is over, ends those that did not, and waits
    /// until all are reaped.
    pub(crate) async fn shut_down(&self, infos: Vec<Arc<ContextInfo>>) -> Result<(), Error> {
        let grace = self.settings.shutdown_grace;
        self.apply(|core| {
            for info in &infos {
                if core.contexts.contains_key(&info.id) && !info.shutting_down.swap(true, Ordering::Relaxed) {
                    core.machine.send(info.id, Shutdown::HANDLE, Shutdown.encode());
                }
            }
        });
        let asked = tokio::time::Instant::now();
        for info in &infos {
            if tokio::time::timeout_at(asked + grace, info.wait_ended()).await.is_err() {
                self.apply(|core| core.stop(info.id, Stop::Kill));
            }
        }
        let last = tokio::time::Instant::now() + crate::link::REAP_LIMIT;
        for info in &infos {
            if tokio::time::timeout_at(last, info.wait_ended()).await.is_err() {
                return Err(Error::Timeout {
                    context: info.label(),
                    what: "shutdown".to_owned(),
                    after: asked.elapsed(),
                });
            }
        }
        Ok(())
    }

    /// Closes every link at once; the link tasks see to the processes. Calls under way fail.
    pub(crate) fn close(&self) {
        self.apply(|core| {
            core.closed = true;
            core.machine.close_all();
            let links: Vec<_> = core.links.keys().copied().collect();
            for link in links {
                core.stop(link, Stop::RouterClosed);
            }
        });
    }

    // ---- what link tasks tell -------------------------------------------------------------

    pub(crate) fn handle_message(&self, link: ContextId, message: Message) {
        self.apply(|core| core.machine.handle_message(link, message));
    }

    /// The link is gone. Idempotent.
    pub(crate) fn handle_link_down(&self, info: &ContextInfo, ending: Ending) {
        let asked = info.shutting_down.load(Ordering::Relaxed);
        let reason = match ending {
            Ending::Closed(_) | Ending::Stopped(Stop::Kill) if asked => LostReason::ShutDown,
            Ending::Closed(status) => LostReason::Ended { status },
            Ending::Failed(reason) | Ending::Stopped(Stop::Broken(reason)) => reason,
            Ending::Stopped(Stop::Kill) => LostReason::ShutDown,
            Ending::Stopped(Stop::RouterClosed) => LostReason::RouterClosed,
        };
        let _ = info.lost.set(reason);
        self.apply(|core| {
            core.machine.handle_link_down(info.id);
            core.links.remove(&info.id)
        });
    }

    /// The link's process is reaped.
    pub(crate) fn handle_ended(&self, info: &ContextInfo) {
        info.ended.send_replace(true);
        self.living.send_modify(|living| *living -= 1);
    }

    /// Waits until no link and no process of this router is left.
    pub(crate) async fn wait_all_ended(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.living.subscribe().wait_for(|&living| living == 0).await;
    }

    // ---- the driver -----------------------------------------------------------------------

    /// The one place where the core changes: applies one input, drains every output, unlocks, and
    /// only then wakes callers and emits logs.
    fn apply<R>(&self, input: impl FnOnce(&mut Core) -> R) -> R {
        let mut effects = Vec::new();
        let result = {
            let mut core = self.lock();
            let result = input(&mut core);
            core.drain(&mut effects);
            result
        };
        effects.into_iter().for_each(Effect::run);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock is a bug of ours; the core's parts are each consistent between
        // statements, so the other links need not die of it.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    fn drain(&mut self, effects: &mut Vec<Effect>) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit { link, message } => self.transmit(link, &message),
                Output::Deliver { handle, message } => self.deliver(handle, message, effects),
                Output::Closed { handle, reason } => {
                    if let Some(waiter) = self.waiters.remove(&handle) {
                        effects.push(Effect::Answer(waiter, Reply::Closed(reason)));
                    }
                }
                Output::RouteLost { context, .. } => {
                    if let Some(info) = self.contexts.remove(&context) {
                        // A neighbour's reason was set by its link; others went with a neighbour.
                        info.lost.get_or_init(|| LostReason::Disconnected);
                        effects.push(Effect::Lost(info));
                    }
                }
                Output::Rejected { link, src, handle, why } => {
                    let name = self.name_of(link);
                    let offended = self.links.get_mut(&link).map(|link| &mut link.offended);
                    let first = offended.is_some_and(|offended| !std::mem::replace(offended, true));
                    effects.push(Effect::Rejected { name, first, src, handle, why });
                }
                _ => {}
            }
        }
    }

    fn transmit(&mut self, link: ContextId, message: &Message) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if let Err(reason) = state.wire.send(message) {
            self.stop(link, Stop::Broken(reason));
        }
    }

    fn deliver(&mut self, handle: Handle, message: Message, effects: &mut Vec<Effect>) {
        match handle {
            ForwardLog::HANDLE => effects.push(Effect::Log(self.name_of(message.src), message)),
            GetModule::HANDLE => {
                if let Some((handle, body)) = modules::answer(&message) {
                    self.machine.send(message.src, handle, body);
                }
            }
            _ => {
                if let Some(waiter) = self.waiters.remove(&handle) {
                    effects.push(Effect::Answer(waiter, Reply::Message(message)));
                }
            }
        }
    }

    fn stop(&mut self, link: ContextId, stop: Stop) {
        if let Some(sender) = self.links.get_mut(&link).and_then(|link| link.stop.take()) {
            // Fails when the task has ended by itself: then there is nothing to stop.
            let _ = sender.send(stop);
        }
    }

    fn name_of(&self, id: ContextId) -> Arc<str> {
        match self.contexts.get(&id) {
            Some(info) => Arc::clone(&info.name),
            None => Arc::from(id.to_string()),
        }
    }
}

impl Effect {
    fn run(self) {
        match self {
            // Fails when the caller has gone away: its answer is not wanted.
            Effect::Answer(waiter, reply) => drop(waiter.send(reply)),
            Effect::Log(name, message) => remote_log::emit(&name, &message),
            Effect::Rejected { name, first, src, handle, why } => {
                remote_log::emit_rejection(&name, first, src, handle, &why);
            }
            Effect::Lost(info) => {
                tracing::debug!(mitogen_context = info.id.0, mitogen_name = &*info.name, "context lost");
            }
        }
    }
}

impl ContextInfo {
    pub(crate) fn new(id: ContextId, name: Arc<str>, hop: String) -> ContextInfo {
        ContextInfo {
            id,
            name,
            hop,
            lost: OnceLock::new(),
            shutting_down: AtomicBool::new(false),
            ended: watch::Sender::new(false),
        }
    }

    pub(crate) fn label(&self) -> ContextLabel {
        ContextLabel { id: self.id, name: Arc::clone(&self.name) }
    }

    /// The error of whatever was waiting for this context when it went.
    pub(crate) fn lost_error(&self) -> Error {
        let reason = self.lost.get().cloned().unwrap_or(LostReason::Disconnected);
        Error::Lost { context: self.label(), hop: self.hop.clone(), reason }
    }

    /// Waits until its link is closed and its process reaped.
    pub(crate) async fn wait_ended(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.ended.subscribe().wait_for(|&ended| ended).await;
    }
}
