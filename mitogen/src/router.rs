//! The router, as its user holds it: it starts contexts, and its end is theirs.

use crate::context::{Context, ContextRef};
use crate::error::Error;
use crate::events::Events;
use crate::files::Sizing;
use crate::modules::{ModuleSettings, ModuleSource};
use crate::receiver::Receiver;
use crate::sender::{Address, Sender};
use crate::shared::{Settings, Shared};
use crate::upstream::Agent;
use mitogen_router::Access;
use mitogen_transport::{Method, Phase};
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Handle};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The root of a tree of contexts. A cheap handle; clones are the same router.
///
/// When the last clone is dropped every context is closed: links are shut, processes end or are
/// killed, and nothing stays behind. [`Router::shutdown`] does the same in good order, and waits.
///
/// # Runtime
/// [`Router::connect`] must run inside a tokio runtime with IO and time enabled, and that runtime
/// must go on being driven for as long as the contexts are used. Without one, use
/// [`blocking::Router`](crate::blocking::Router).
#[derive(Clone)]
pub struct Router {
    shared: Arc<Shared>,
    /// Its last clone closes everything; contexts hold `shared` alone.
    _owner: Arc<Owner>,
}

/// Lives as long as some [`Router`] does.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Router {
    /// A router with the defaults of [`RouterBuilder`].
    ///
    /// # Errors
    /// [`Error::Local`] when the system has no randomness to give.
    pub fn new() -> Result<Router, Error> {
        Router::builder().build()
    }

    /// For a router with other settings.
    pub fn builder() -> RouterBuilder {
        RouterBuilder { settings: Settings::default() }
    }

    /// Starts a context by a method such as [`Local`](crate::Local) or [`Ssh`](crate::Ssh), and
    /// waits until it can be called. Several can be started at once.
    ///
    /// Dropping the future ends the attempt and kills what it started.
    ///
    /// # Errors
    /// [`Error::Connect`], in which hop and phase are named and the last lines seen are quoted, at
    /// the latest when the method's connect timeout has passed (default 30 s); [`Error::Closed`].
    pub async fn connect(&self, method: impl Into<Method>) -> Result<Context, Error> {
        self.connect_observed(method, &mut |_, _| {}).await
    }

    /// As [`Router::connect`], telling `observer` each phase as it begins, with the time since the start.
    ///
    /// # Errors
    /// As [`Router::connect`].
    pub async fn connect_observed(
        &self,
        method: impl Into<Method>,
        observer: &mut (dyn FnMut(Phase, Duration) + Send),
    ) -> Result<Context, Error> {
        crate::link::connect(&self.shared, method.into(), observer).await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A receiver that any context can send to once it is given its [`Receiver::sender`].
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn receiver(&self) -> Result<Receiver, Error> {
        Receiver::open(&self.shared, None, Access::Anyone)
    }

    /// A receiver at a handle of the user's choice, for those who have access: a service. Handles below
    /// 1000 are Mitogen's own; those from 1000 on are given out in their order, so choose a high one.
    ///
    /// # Errors
    /// [`Error::HandleTaken`], [`Error::Closed`].
    pub fn receiver_at(&self, handle: Handle, access: Access) -> Result<Receiver, Error> {
        Receiver::open(&self.shared, Some(handle), access)
    }

    /// Makes the address of a receiver usable: of one that a call returned, for instance.
    pub fn sender(&self, address: Address) -> Sender {
        Sender::new(&self.shared, address)
    }

    /// What happens to the tree from now on.
    pub fn events(&self) -> Events {
        self.shared.events.subscribe()
    }

    /// The connected context with this id.
    pub fn context(&self, id: ContextId) -> Option<Context> {
        self.shared.context(id)
    }

    /// Makes a context that was named in a message usable: one that a call returned, for instance. `None`
    /// when it is not connected (any more).
    pub fn resolve(&self, context: &ContextRef) -> Option<Context> {
        self.shared.context(context.id)
    }

    /// All contexts that are connected, in the order of their ids.
    pub fn contexts(&self) -> Vec<Context> {
        self.shared.contexts()
    }

    /// Shuts every context down as [`Context::shutdown`] does, all at once, and waits for them.
    /// The router takes no new connections after that.
    ///
    /// # Errors
    /// The first that a context's shutdown gave; the others were shut down nevertheless.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.shared.shut_down_all().await
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("contexts", &self.contexts()).finish()
    }
}

/// Settings of a [`Router`].
#[derive(Clone, Debug)]
pub struct RouterBuilder {
    settings: Settings,
}

impl RouterBuilder {
    /// Whether frames between this router and its contexts are signed (default: yes). A signed
    /// link notices any altered, lost, repeated or reordered frame.
    #[must_use]
    pub fn signed(mut self, signed: bool) -> RouterBuilder {
        self.settings.signed = signed;
        self
    }

    /// What runs in the contexts: our own agent (the default), or upstream's core. Frames are never signed then,
    /// files are only moved by the file service, and a context cannot be told to detach.
    #[must_use]
    pub fn agent(mut self, agent: Agent) -> RouterBuilder {
        self.settings.agent = agent;
        self
    }

    /// The largest message that any part of the tree accepts, in bytes of payload (default
    /// 128 MiB). A context whose *result* is larger answers with an error and lives on.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> RouterBuilder {
        self.settings.max_message_size = bytes;
        self
    }

    /// Which of the contexts' log records come here: those of this level and above.
    ///
    /// By default it is what the `tracing` subscriber lets through for target `mitogen::remote` at
    /// the moment of each [`Router::connect`], so that records nobody wants are not even sent;
    /// [`LogLevel::Info`] when there is no subscriber.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> RouterBuilder {
        self.settings.log_level = Some(level);
        self
    }

    /// Whether contexts may only talk to their ancestors and descendants (default: no). Siblings then
    /// cannot reach each other, whatever runs in them.
    #[must_use]
    pub fn unidirectional(mut self, unidirectional: bool) -> RouterBuilder {
        self.settings.unidirectional = unidirectional;
        self
    }

    /// How many bytes of files may be on their way over one link: a window of a fixed size, or one that
    /// follows the link (the default; it begins with 1 MiB and has at most 8).
    #[must_use]
    pub fn file_window(mut self, sizing: Sizing) -> RouterBuilder {
        self.settings.file_window = sizing;
        self
    }

    /// How long the other side of a transfer of a file may be silent while something is awaited of it: bytes, or that
    /// it acknowledges some (default 60 s). Then the transfer ends with [`FileErrorKind::Stalled`](crate::FileErrorKind).
    #[must_use]
    pub fn file_patience(mut self, after: Duration) -> RouterBuilder {
        self.settings.file_patience = after;
        self
    }

    /// How long [`Context::shutdown`] lets a context end by itself (default 5 s). SIGTERM follows,
    /// and one second after that SIGKILL.
    #[must_use]
    pub fn shutdown_grace(mut self, grace: Duration) -> RouterBuilder {
        self.settings.shutdown_grace = grace;
        self
    }

    /// How long a connection may take when its method does not say (default 30 s).
    #[must_use]
    pub fn connect_timeout(mut self, after: Duration) -> RouterBuilder {
        self.settings.connect_timeout = after;
        self
    }

    /// Adds a directory, a zip archive or a wheel to the module path: what contexts import and do not have
    /// themselves is found there, sent to them, and imported in their memory. Searched in the order given.
    #[must_use]
    pub fn module_path(mut self, path: impl AsRef<Path>) -> RouterBuilder {
        self.settings.modules.add_path(path.as_ref());
        self
    }

    /// Adds what is installed in a virtualenv to the module path. Its interpreter is not run.
    #[must_use]
    pub fn virtualenv(mut self, root: impl AsRef<Path>) -> RouterBuilder {
        self.settings.modules.add_virtualenv(root.as_ref());
        self
    }

    /// Adds what this interpreter has on its `sys.path`, its standard library left out. It is asked once, when
    /// the first module is.
    #[must_use]
    pub fn modules_of(mut self, interpreter: impl AsRef<Path>) -> RouterBuilder {
        self.settings.modules.interpreter = Some(interpreter.as_ref().to_owned());
        self
    }

    /// The script that contexts see as `__main__`, up to its main guard (`if __name__ == "__main__":`), which it
    /// must have. Its directory comes first on the module path.
    #[must_use]
    pub fn script(mut self, path: impl AsRef<Path>) -> RouterBuilder {
        self.settings.modules.add_script(path.as_ref());
        self
    }

    /// Adds a module that this program holds. It hides one of that name on the module path.
    #[must_use]
    pub fn module(mut self, module: ModuleSource) -> RouterBuilder {
        self.settings.modules.add_source(module);
        self
    }

    /// Never sends this module, nor what lies within it.
    #[must_use]
    pub fn block_module(mut self, name: &str) -> RouterBuilder {
        self.settings.modules.block(name);
        self
    }

    /// Sends this module and what lies within it, and nothing else.
    #[must_use]
    pub fn only_module(mut self, name: &str) -> RouterBuilder {
        self.settings.modules.override_with(name);
        self
    }

    /// The router.
    ///
    /// The first one raises the limit of this process's descriptors as far as the system lets it, so that
    /// thousands of contexts can be connected; programs that it starts get the limit that was there before.
    ///
    /// # Errors
    /// [`Error::Local`] when the system has no randomness to give, a module's name is none, or upstream's package cannot be read.
    pub fn build(self) -> Result<Router, Error> {
        mitogen_transport::raise_descriptor_limit();
        let shared = Shared::new(self.settings)?;
        Ok(Router { _owner: Arc::new(Owner(Arc::clone(&shared))), shared })
    }
}

/// A level of Python's `logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// 10
    Debug,
    /// 20
    Info,
    /// 30
    Warning,
    /// 40
    Error,
    /// 50
    Critical,
}

impl LogLevel {
    /// Python's number.
    pub fn number(self) -> i32 {
        match self {
            LogLevel::Debug => 10,
            LogLevel::Info => 20,
            LogLevel::Warning => 30,
            LogLevel::Error => 40,
            LogLevel::Critical => 50,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            signed: true,
            agent: Agent::Builtin,
            max_message_size: DEFAULT_MAX_PAYLOAD,
            log_level: None,
            shutdown_grace: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(30),
            unidirectional: false,
            file_window: Sizing::default(),
            file_patience: Duration::from_secs(60),
            modules: ModuleSettings::default(),
        }
    }
}
