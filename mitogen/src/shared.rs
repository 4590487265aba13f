//! What all handles of one router share: the hub under its lock, and the one function that
//! drives it.
//!
//! ```text
//!  caller:  encode ──> apply(request) ──┐ lock: input, drain, write at once ┐ unlock
//!  link task: decode ─> apply(message) ─┘                                   └─> effects: wake, log
//! ```

use crate::context::Context;
use crate::ending::Living;
use crate::error::Error;
use crate::events;
use crate::files;
use crate::hub::{Hub, Reply, Waiter};
use crate::info::ContextInfo;
use crate::link::{Stop, Wire};
use crate::modules::{self, Library, ModuleSettings};
use crate::protocol_log;
use crate::receiver::Queue;
use crate::router::LogLevel;
use crate::service::Registry;
use crate::stats::LinkStats;
use crate::upstream::{Agent, Package};
use bytes::Bytes;
use mitogen_importer::Dialect;
use mitogen_router::{Access, Config, Mailbox};
use mitogen_wire::body::{Dead, LoadModule};
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// What a [`crate::RouterBuilder`] gathers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) signed: bool,
    pub(crate) agent: Agent,
    pub(crate) max_message_size: usize,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) shutdown_grace: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) unidirectional: bool,
    pub(crate) file_window: files::Sizing,
    pub(crate) file_patience: Duration,
    pub(crate) modules: ModuleSettings,
}

/// One router, shared by its handles, its contexts' handles and its link tasks.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// Who starts contexts, as their command lines show it: `user@host:pid`.
    pub(crate) remote_name: String,
    pub(crate) events: events::Source,
    pub(crate) living: Living,
    pub(crate) library: Library,
    pub(crate) services: Registry,
    /// Whose core runs in the contexts, if it is not our agent.
    pub(crate) upstream: Option<Package>,
    files: Arc<files::Server>,
    hub: Mutex<Hub>,
}

impl Shared {
    pub(crate) fn new(mut settings: Settings) -> Result<Arc<Shared>, Error> {
        let upstream = match &settings.agent {
            Agent::Builtin => None,
            Agent::Upstream(path) => Some(Package::load(path)?),
        };
        settings.modules.namesake = upstream.as_ref().map(|package| package.directory().to_owned());
        let mut config = Config::controller();
        config.max_payload = settings.max_message_size;
        config.unidirectional = settings.unidirectional;
        if let Some((name, error)) = &settings.modules.refused {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{name:?}: {error}"));
            return Err(Error::Local { what: "serve modules", source });
        }
        let files = Arc::new(files::Server::new(settings.file_window, settings.file_patience));
        let mut hub = Hub::new(config);
        let acks = hub.open(None, Mailbox::open_to(Access::Anyone), Waiter::Acks)?;
        let shared = Arc::new_cyclic(|shared| Shared {
            library: Library::new(settings.modules.clone(), std::sync::Weak::clone(shared)),
            settings,
            remote_name: crate::link::remote_name(),
            events: events::Source::new(),
            living: Living::new(),
            services: Registry::default(),
            upstream,
            files,
            hub: Mutex::new(hub),
        });
        shared.files.attach(&shared, acks);
        Ok(shared)
    }

    // ---- the driver -----------------------------------------------------------------------

    /// The one place where the hub changes: applies one input, drains every output, unlocks, and
    /// only then wakes callers and emits logs.
    pub(crate) fn apply<R>(&self, input: impl FnOnce(&mut Hub) -> R) -> R {
        let mut effects = Vec::new();
        let result = {
            let mut hub = self.lock();
            let result = input(&mut hub);
            hub.drain(&mut effects);
            result
        };
        for effect in effects {
            effect.run(self);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        // A panic under the lock is a bug of ours; the hub's parts are each consistent between
        // statements, so the other links need not die of it.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- messages -------------------------------------------------------------------------

    pub(crate) fn handle_message(&self, link: ContextId, message: Message) {
        protocol_log::received(link, &message);
        self.apply(|hub| hub.handle_message(link, message));
    }

    /// Sends a request and says where its answer will come.
    pub(crate) fn request(
        &self,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) -> (Handle, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        (self.apply(|hub| hub.request(dst, handle, body, sender)), receiver)
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    /// [`Error::Lost`] when there is no way to its addressee, [`Error::Closed`].
    pub(crate) fn send(&self, dst: ContextId, handle: Handle, body: (Encoding, Bytes)) -> Result<(), Error> {
        self.apply(|hub| hub.send(dst, handle, body))
    }

    /// Sends a message of the file service, whose answers come to a mailbox that is open already.
    pub(crate) fn send_from(
        &self,
        reply: Option<Handle>,
        dst: ContextId,
        handle: Handle,
        body: (Encoding, Bytes),
    ) {
        self.apply(|hub| hub.send_from(reply, dst, handle, body));
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
        self.lock().route(dst)
    }

    /// The queue of the link to a neighbour.
    pub(crate) fn queue_of(&self, link: ContextId) -> Option<mitogen_transport::QueueWatch> {
        self.lock().queue_of(link)
    }

    /// Answers a message.
    pub(crate) fn reply(&self, to: &Message, body: (Encoding, Bytes)) {
        self.apply(|hub| hub.reply(to, body));
    }

    /// Sends a dead message.
    pub(crate) fn send_dead(&self, dst: ContextId, handle: Handle, reason: &Dead) {
        self.apply(|hub| hub.send_dead(dst, handle, reason));
    }

    /// Opens a receiver: at this handle, or at one of its own.
    pub(crate) fn open(
        &self,
        handle: Option<Handle>,
        mailbox: Mailbox,
        queue: Queue,
    ) -> Result<Handle, Error> {
        self.apply(|hub| hub.open(handle, mailbox, Waiter::Queue(queue)))
    }

    /// Nobody waits at this handle any more.
    pub(crate) fn forget(&self, handle: Handle) {
        self.apply(|hub| hub.forget(handle));
    }

    /// The counters of a neighbour's link.
    pub(crate) fn stats(&self, link: ContextId) -> Option<LinkStats> {
        self.lock().stats(link)
    }

    pub(crate) fn note_modules(&self, link: ContextId, more: &LinkStats) {
        self.apply(|hub| hub.note_modules(link, more));
    }

    /// A context's name, for the log.
    pub(crate) fn show(&self, id: ContextId) -> Arc<str> {
        self.lock().name_of(id)
    }

    // ---- contexts -------------------------------------------------------------------------

    /// An id for a context about to be started: by `owner`, or by this program.
    pub(crate) fn allocate_id(&self, owner: Option<ContextId>) -> Result<ContextId, Error> {
        self.apply(|hub| hub.allocate_id(owner))
    }

    /// The attempt to start a context has come to nothing.
    pub(crate) fn release_id(&self, id: ContextId) {
        self.apply(|hub| hub.release_id(id));
    }

    /// Takes a connected context in. When the router was closed meanwhile it is refused.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        info: Arc<ContextInfo>,
        wire: Wire,
        stop: oneshot::Sender<Stop>,
    ) -> Result<Context, Error> {
        let signed = self.signs();
        self.apply(|hub| hub.adopt(&info, wire, stop, signed))?;
        if !self.library.is_empty() && info.dialect == Dialect::Bundles {
            for body in modules::ahead() {
                // It may be gone already: whoever calls it is told.
                let _ = self.send(info.id, LoadModule::HANDLE, body);
            }
        }
        self.living.add();
        Ok(Context { shared: Arc::clone(self), info })
    }

    /// Takes in a program that has come to a listener.
    pub(crate) fn adopt_client(
        &self,
        info: &Arc<ContextInfo>,
        wire: Wire,
        stop: oneshot::Sender<Stop>,
        logs: bool,
    ) -> Result<(), Error> {
        self.apply(|hub| hub.adopt_client(info, wire, stop, logs))?;
        self.living.add();
        Ok(())
    }

    /// Whether frames are signed.
    pub(crate) fn signs(&self) -> bool {
        self.settings.signed && self.upstream.is_none()
    }

    /// What is known of a connected context.
    pub(crate) fn info(&self, id: ContextId) -> Option<Arc<ContextInfo>> {
        self.lock().info(id).cloned()
    }

    /// The error of what cannot be sent to a context any more.
    pub(crate) fn lost_error(&self, id: ContextId) -> Error {
        self.lock().lost_error(id)
    }

    /// A connected context.
    pub(crate) fn context(self: &Arc<Self>, id: ContextId) -> Option<Context> {
        Some(Context { shared: Arc::clone(self), info: self.info(id)? })
    }

    pub(crate) fn contexts(self: &Arc<Self>) -> Vec<Context> {
        let context = |info: &Arc<ContextInfo>| Context { shared: Arc::clone(self), info: Arc::clone(info) };
        self.lock().infos().map(context).collect()
    }
}
