//! What all handles of one router share: the core under its lock, and the one function that
//! drives it.
//!
//! ```text
//!  caller:  encode ──> apply(request) ──┐ lock: input, drain, write at once ┐ unlock
//!  link task: decode ─> apply(message) ─┘                                   └─> effects: wake, log
//! ```

use crate::context::Context;
use crate::error::{ContextLabel, Error, LostReason};
use crate::events::{self, Event};
use crate::files;
use crate::info::ContextInfo;
use crate::link::{Ending, Stop, Wire};
use crate::modules;
use crate::plans;
use crate::receiver::Queue;
use crate::remote_log;
use crate::router::LogLevel;
use bytes::Bytes;
use mitogen_router::{Access, Closed, Config, LinkOptions, Mailbox, Output, Rejection};
use mitogen_wire::body::{ForwardLog, GetModule, Shutdown};
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    pub(crate) unidirectional: bool,
    pub(crate) file_window: files::Sizing,
}

/// One router, shared by its handles, its contexts' handles and its link tasks.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// Who starts contexts, as their command lines show it: `user@host:pid`.
    pub(crate) remote_name: String,
    pub(crate) events: events::Source,
    files: Arc<files::Server>,
    core: Mutex<Core>,
    /// Links whose process is not reaped yet.
    living: watch::Sender<usize>,
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
    /// Contexts that others are to start, until their routes are announced or the attempts end.
    expected: BTreeMap<ContextId, Expected>,
    /// Who waits at a handle. Invariant: each is open in the machine.
    waiters: HashMap<Handle, Waiter>,
    closed: bool,
}

enum Waiter {
    /// A call, or a connection, for its one answer.
    Answer(oneshot::Sender<Reply>),
    /// The answer to an attempt that nobody wants any more.
    Abandoned(ContextId),
    /// A receiver, for any number of messages.
    Queue(Queue),
    /// The file service: what has arrived of its bytes.
    Acks,
}

/// A context that another one is to start.
struct Expected {
    info: Arc<ContextInfo>,
    /// It is shut down as soon as it is born.
    unwanted: bool,
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
    Rejected {
        name: Arc<str>,
        first: bool,
        src: ContextId,
        handle: Handle,
        why: Rejection,
    },
    Queue(Queue, Message),
    Plan(Message),
    Service(Message),
    Ack(Message),
    /// No file goes to this context any more.
    Gone(ContextId),
    Tell(Event),
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Result<Arc<Shared>, Error> {
        let mut config = Config::controller();
        config.max_payload = settings.max_message_size;
        config.unidirectional = settings.unidirectional;
        let mut machine = mitogen_router::Router::new(config);
        for handle in [ForwardLog::HANDLE, GetModule::HANDLE, plans::HANDLE, Handle::CALL_SERVICE] {
            machine
                .open_at(handle, Mailbox::open_to(Access::Anyone))
                .expect("a fresh machine has these handles free");
        }
        let acks = machine.open(Mailbox::open_to(Access::Anyone));
        let files = Arc::new(files::Server::new(settings.file_window));
        let core = Core {
            machine,
            links: BTreeMap::new(),
            contexts: BTreeMap::new(),
            expected: BTreeMap::new(),
            waiters: HashMap::from([(acks, Waiter::Acks)]),
            closed: false,
        };
        let remote_name = crate::link::remote_name();
        let shared = Arc::new(Shared {
            settings,
            remote_name,
            events: events::Source::new(),
            files,
            core: Mutex::new(core),
            living: watch::Sender::new(0),
        });
        shared.files.attach(&shared, acks);
        Ok(shared)
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
            core.waiters.insert(reply, Waiter::Answer(sender));
            reply
        });
        (reply, receiver)
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    /// [`Error::Lost`] when there is no way to its addressee, [`Error::Closed`].
    pub(crate) fn send(&self, dst: ContextId, handle: Handle, body: (Encoding, Bytes)) -> Result<(), Error> {
        self.apply(|core| {
            if core.closed {
                return Err(Error::Closed);
            }
            if dst != core.machine.id() && core.machine.route(dst).is_none() {
                return Err(Error::Lost {
                    context: ContextLabel { id: dst, name: core.name_of(dst) },
                    hop: String::new(),
                    reason: LostReason::Disconnected,
                });
            }
            core.machine.send(dst, handle, body);
            Ok(())
        })
    }

    /// Sends a message of the file service, whose answers come to a mailbox that is open already.
    pub(crate) fn send_from(
        &self,
        reply_to: Option<Handle>,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) {
        self.apply(|core| match reply_to {
            Some(reply_to) => core.machine.send_from(reply_to, dst, handle, body),
            None => core.machine.send(dst, handle, body),
        });
    }

    pub(crate) fn files(&self) -> &Arc<files::Server> {
        &self.files
    }

    /// The size of the window of file transfers, if it was fixed.
    pub(crate) fn fixed_window(&self) -> Option<usize> {
        match self.settings.file_window {
            files::Sizing::Fixed(bytes) => Some(bytes),
            files::Sizing::Adaptive(_) => None,
        }
    }

    /// The neighbour that leads to a context.
    pub(crate) fn route(&self, dst: ContextId) -> Option<ContextId> {
        self.lock().machine.route(dst)
    }

    /// The queue of the link to a neighbour.
    pub(crate) fn queue_of(&self, link: ContextId) -> Option<mitogen_transport::QueueWatch> {
        self.lock().links.get(&link).map(|link| link.wire.watch())
    }

    /// Answers a message.
    pub(crate) fn reply(&self, to: &Message, body: (Encoding, Bytes)) {
        self.apply(|core| core.machine.reply(to, body));
    }

    /// Sends a dead message.
    pub(crate) fn send_dead(&self, dst: ContextId, handle: Handle, reason: &mitogen_wire::body::Dead) {
        self.apply(|core| core.machine.send_dead(dst, handle, reason));
    }

    /// Opens a receiver: at this handle, or at one of its own.
    pub(crate) fn open(&self, handle: Option<Handle>, access: Access, queue: Queue) -> Result<Handle, Error> {
        self.apply(|core| {
            if core.closed {
                return Err(Error::Closed);
            }
            let mailbox = Mailbox::open_to(access);
            let handle = match handle {
                None => core.machine.open(mailbox),
                Some(handle) => {
                    core.machine.open_at(handle, mailbox).map_err(|_| Error::HandleTaken { handle })?;
                    handle
                }
            };
            core.waiters.insert(handle, Waiter::Queue(queue));
            Ok(handle)
        })
    }

    /// A context will be started by another one; at most `limit` at a time by the same.
    pub(crate) fn expect(&self, info: Arc<ContextInfo>, limit: usize) -> Result<(), Error> {
        let mut core = self.lock();
        let parent = info.parent.as_ref().map(|parent| parent.id);
        let same = |other: &&Expected| other.info.parent.as_ref().map(|parent| parent.id) == parent;
        if core.closed || limit != usize::MAX && core.expected.values().filter(same).count() >= limit {
            return Err(Error::Closed);
        }
        core.expected.insert(info.id, Expected { info, unwanted: false });
        Ok(())
    }

    /// Nobody wants this context any more: it is shut down, now or as soon as it is born.
    fn abandon(&self, id: ContextId, reply: Handle) {
        self.apply(|core| {
            if core.contexts.contains_key(&id) {
                core.shut_down(id);
                core.forget(reply);
            } else if let Some(expected) = core.expected.get_mut(&id) {
                expected.unwanted = true;
                match core.waiters.get_mut(&reply) {
                    Some(waiter) => *waiter = Waiter::Abandoned(id),
                    None => drop(core.expected.remove(&id)),
                }
            }
        });
    }

    /// Nobody waits for this answer any more.
    pub(crate) fn forget(&self, reply: Handle) {
        self.lock().forget(reply);
    }

    /// A connected context.
    pub(crate) fn context(self: &Arc<Self>, id: ContextId) -> Option<Context> {
        let info = self.lock().contexts.get(&id).cloned()?;
        Some(Context { shared: Arc::clone(self), info })
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
        self.files.shut_down();
        let infos = {
            let mut core = self.lock();
            core.closed = true;
            // They take their own children along.
            core.contexts.values().filter(|info| info.parent.is_none()).cloned().collect()
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
                core.shut_down(info.id);
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
        self.files.shut_down();
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
        let asked = info.is_shutting_down();
        let reason = match ending {
            Ending::Closed(_) | Ending::Stopped(Stop::Kill) if asked => LostReason::ShutDown,
            Ending::Closed(status) => LostReason::Ended { status },
            Ending::Failed(reason) | Ending::Stopped(Stop::Broken(reason)) => reason,
            Ending::Stopped(Stop::Kill) => LostReason::ShutDown,
            Ending::Stopped(Stop::RouterClosed) => LostReason::RouterClosed,
        };
        info.lose(|| reason);
        self.apply(|core| {
            core.machine.handle_link_down(info.id);
            core.links.remove(&info.id)
        });
    }

    /// The link's process is reaped.
    pub(crate) fn handle_ended(&self, info: &ContextInfo) {
        info.end();
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
        for effect in effects {
            self.run(effect);
        }
        result
    }

    fn run(&self, effect: Effect) {
        match effect {
            // Fails when the caller has gone away: its answer is not wanted.
            Effect::Answer(waiter, reply) => drop(waiter.send(reply)),
            Effect::Queue(queue, message) => queue.push(message),
            Effect::Log(name, message) => remote_log::emit(&name, &message),
            Effect::Rejected { name, first, src, handle, why } => {
                remote_log::emit_rejection(&name, first, src, handle, &why);
            }
            Effect::Plan(message) => plans::answer(self, &message),
            Effect::Service(message) => self.files.handle_call(message),
            Effect::Ack(message) => self.files.handle_ack(&message),
            Effect::Gone(context) => self.files.handle_gone(context),
            Effect::Tell(event) => self.events.tell(event),
        }
    }

    /// What is known of a connected context.
    pub(crate) fn info(&self, id: ContextId) -> Option<Arc<ContextInfo>> {
        self.lock().contexts.get(&id).cloned()
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
                Output::Closed { handle, reason } => self.close_waiter(handle, reason, effects),
                Output::RouteAdded { context, via, name } => self.route_added(context, via, name, effects),
                Output::RouteLost { context, via } => self.route_lost(context, via, effects),
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
            plans::HANDLE => effects.push(Effect::Plan(message)),
            Handle::CALL_SERVICE => effects.push(Effect::Service(message)),
            _ => match self.waiters.get(&handle) {
                Some(Waiter::Queue(queue)) => effects.push(Effect::Queue(queue.clone(), message)),
                Some(Waiter::Acks) => effects.push(Effect::Ack(message)),
                Some(_) => match self.waiters.remove(&handle) {
                    Some(Waiter::Answer(waiter)) => {
                        effects.push(Effect::Answer(waiter, Reply::Message(message)));
                    }
                    Some(Waiter::Abandoned(id)) => drop(self.expected.remove(&id)),
                    _ => {}
                },
                None => {}
            },
        }
    }

    fn close_waiter(&mut self, handle: Handle, reason: Closed, effects: &mut Vec<Effect>) {
        match self.waiters.remove(&handle) {
            Some(Waiter::Answer(waiter)) => effects.push(Effect::Answer(waiter, Reply::Closed(reason))),
            Some(Waiter::Abandoned(id)) => drop(self.expected.remove(&id)),
            // A receiver sees the end of its queue.
            Some(Waiter::Queue(_) | Waiter::Acks) | None => {}
        }
    }

    fn route_added(
        &mut self,
        context: ContextId,
        via: ContextId,
        name: Option<String>,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Tell(Event::RouteAdded { context, via }));
        let mut unwanted = false;
        let info = match (self.contexts.get(&context), self.expected.remove(&context)) {
            (Some(info), _) => Arc::clone(info),
            (None, Some(expected)) => {
                unwanted = expected.unwanted;
                expected.info
            }
            // Started by a context on its own account; the neighbour is all that is known of its way.
            (None, None) => {
                let name = name.unwrap_or_else(|| context.to_string());
                let parent = self.contexts.get(&via).cloned();
                Arc::new(ContextInfo::new(context, Arc::from(name.as_str()), name, parent))
            }
        };
        let parent = info.parent.as_ref().map_or(ContextId::CONTROLLER, |parent| parent.id);
        let connected = Event::Connected { context: info.label(), parent };
        self.contexts.insert(context, info);
        if unwanted {
            self.shut_down(context);
        } else {
            effects.push(Effect::Tell(connected));
        }
    }

    fn route_lost(&mut self, context: ContextId, via: ContextId, effects: &mut Vec<Effect>) {
        effects.push(Effect::Tell(Event::RouteRemoved { context, via }));
        effects.push(Effect::Gone(context));
        // What it was to start will not come.
        self.expected.retain(|_, expected| expected.info.parent.as_ref().is_none_or(|p| p.id != context));
        let Some(info) = self.contexts.remove(&context) else { return };
        // A neighbour's reason was set by its link.
        info.lose(|| if info.is_shutting_down() { LostReason::ShutDown } else { LostReason::Disconnected });
        if info.parent.is_some() {
            info.end();
        }
        let reason = match info.lost_error() {
            Error::Lost { reason, .. } => reason,
            _ => LostReason::Disconnected,
        };
        effects.push(Effect::Tell(Event::Lost { context: info.label(), reason }));
    }

    /// Asks a context to end, once.
    fn shut_down(&mut self, id: ContextId) {
        if self.contexts.get(&id).is_some_and(|info| info.begin_shutdown()) {
            self.machine.send(id, Shutdown::HANDLE, Shutdown.encode());
        }
    }

    fn forget(&mut self, reply: Handle) {
        self.waiters.remove(&reply);
        self.machine.close(reply);
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

/// The wait for a context that another one starts. Dropped before it is finished, it sees to it that
/// nothing comes of the attempt.
pub(crate) struct Attempt {
    shared: Arc<Shared>,
    id: ContextId,
    /// Where the answer comes; `None` once it has come.
    reply: Option<Handle>,
    receiver: oneshot::Receiver<Reply>,
}

impl Attempt {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        id: ContextId,
        reply: Handle,
        receiver: oneshot::Receiver<Reply>,
    ) -> Attempt {
        Attempt { shared: Arc::clone(shared), id, reply: Some(reply), receiver }
    }

    /// The answer; `None` when the router is gone. Once.
    pub(crate) async fn answered(&mut self) -> Option<Reply> {
        (&mut self.receiver).await.ok()
    }

    /// It came to an end: if the context was born it is known by now.
    pub(crate) fn finish(mut self) {
        self.reply = None;
        self.shared.lock().expected.remove(&self.id);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(reply) = self.reply {
            self.shared.abandon(self.id, reply);
        }
    }
}
