//! One link from its birth to its end: connecting, the task that reads it, and the reaping of its
//! process.

use crate::context::Context;
use crate::error::{Error, LostReason};
use crate::info::ContextInfo;
use crate::listen::Age;
use crate::protocol_log;
use crate::remote_log;
use crate::shared::Shared;
use mitogen_bootstrap::{BootConfig, Preamble};
use mitogen_importer::Dialect;
use mitogen_router::{CONTROL_LIMIT, Outbox};
use mitogen_transport::{
    Connected, FrameReader, FrameWriter, LinkError, Method, Phase, Process, QueueWatch, ToolLines, Waiting,
};
use mitogen_wire::{ContextId, Direction, FrameFormat, Handle, Message, SessionKey};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a process may take to exit by itself once its link is closed.
const EXIT_GRACE: Duration = Duration::from_secs(1);
/// How long it may take after a SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// After this long a killed process is given up on.
pub(crate) const REAP_LIMIT: Duration = Duration::from_secs(10);
/// How long the error of a lost context waits for its process's exit status.
const STATUS_GRACE: Duration = Duration::from_millis(100);

/// Why a link is to be ended from this side.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Its grace is over: the process is killed.
    Kill,
    /// Sending failed.
    Broken(LostReason),
    /// The whole router closes.
    RouterClosed,
}

/// How a link ended.
pub(crate) enum Ending {
    /// The far end closed it; with what its process is known to have ended with.
    Closed(Option<String>),
    /// It cannot be read any more.
    Failed(LostReason),
    /// This side ended it.
    Stopped(Stop),
}

/// The sending half of a link, as the hub holds it under its lock.
pub(crate) struct Wire {
    writer: FrameWriter,
    /// What of it is unknown or old: some frames are translated.
    age: Option<Arc<Age>>,
}

impl Wire {
    /// A link on which control overtakes what waits.
    fn new(writer: FrameWriter, implied: bool) -> Wire {
        let age = implied.then(|| Arc::new(Age::default()));
        Wire { writer: writer.with_waiting(Box::new(Lanes(Outbox::new()))), age }
    }

    /// A link to a program that came by itself, in any release of upstream's. More than so many bytes must
    /// not wait for it.
    pub(crate) fn to_client(writer: FrameWriter, age: Arc<Age>, queue_limit: usize) -> Wire {
        Wire { age: Some(age), ..Wire::new(writer.with_queue_limit(queue_limit), false) }
    }

    /// Sees what is queued.
    pub(crate) fn watch(&self) -> QueueWatch {
        self.writer.watch()
    }

    /// Writes at once what the link takes, and queues the rest.
    pub(crate) fn send(&mut self, message: &Message) -> Result<(), LostReason> {
        // Long ones are themselves what others wait for.
        if message.handle == Handle::CALL_FUNCTION && message.payload.len() <= CONTROL_LIMIT {
            self.writer.hurry();
        }
        let sent = match self.age.as_ref().and_then(|age| age.translate(message)) {
            Some(translated) => self.writer.send(&translated),
            None => self.writer.send(message),
        };
        match sent {
            Ok(()) => Ok(()),
            // The far end has closed: the reading half says so in a moment, and knows more.
            Err(LinkError::Io(error)) if is_hangup(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The router's rules for what overtakes what, as the link's writer wants them.
#[derive(Debug)]
struct Lanes(Outbox);

impl Waiting for Lanes {
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

pub(crate) fn is_hangup(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Starts a context and takes it in, telling `observer` each phase as it begins.
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    method: Method,
    observer: &mut (dyn FnMut(Phase, Duration) + Send),
) -> Result<Context, Error> {
    let settings = &shared.settings;
    let id = shared.allocate_id(None)?;
    let plan = method.plan();
    let name: Arc<str> = Arc::from(method.name().unwrap_or(&plan.hop));
    let dialect = if shared.upstream.is_some() { Dialect::Standard } else { Dialect::Bundles };
    let info = Arc::new(ContextInfo::new(id, name, plan.hop.clone(), None).speaking(dialect));
    let Birth { key, preamble } = draw_birth(shared, &info, vec![ContextId::CONTROLLER])?;
    let format = key.map_or(FrameFormat::UNSIGNED, FrameFormat::signed);

    let deadline = method.connect_timeout().unwrap_or(settings.connect_timeout);
    protocol_log::connecting(id, &plan.hop, None, &plan.argv);
    let mut observer = |phase, at| {
        protocol_log::phase(id, &plan.hop, phase, at);
        observer(phase, at);
    };
    let Connected { stream, process, tool_lines, .. } = mitogen_transport::connect_observed(
        &plan,
        preamble.as_bytes(),
        deadline,
        method.credentials(),
        &mut observer,
    )
    .await
    .inspect_err(|_| protocol_log::not_connected(id, &plan.hop))?;
    let (reader, writer) = stream.frames(&format, Direction::ParentToChild, settings.max_message_size);
    let (stop, stopped) = oneshot::channel();
    let implied = shared.upstream.as_ref().is_some_and(|package| !package.version().names_encodings());
    let context = shared.adopt(Arc::clone(&info), Wire::new(writer, implied), stop)?;
    let registration = Registration { shared: Arc::clone(shared), info };
    let task = LinkTask { registration, reader, process, direct: method.is_direct() };
    tokio::spawn(task.run(stopped, tool_lines));
    Ok(context)
}

/// What a new context is given.
pub(crate) struct Birth {
    /// The key of its link, if frames are signed.
    pub(crate) key: Option<SessionKey>,
    pub(crate) preamble: Preamble,
}

/// Draws the key of a new context, and writes what it is told. `parents`: the nearest first.
pub(crate) fn draw_birth(
    shared: &Shared,
    info: &ContextInfo,
    parents: Vec<ContextId>,
) -> Result<Birth, Error> {
    let settings = &shared.settings;
    let key = if shared.signs() { Some(draw_key()?) } else { None };
    let mut config = BootConfig::new(info.id, parents);
    config.name = info.name.to_string();
    let level = settings.log_level.unwrap_or_else(remote_log::wanted_level);
    config.log_level = level.number().unsigned_abs();
    config.max_message_size = settings.max_message_size;
    config.unidirectional = settings.unidirectional;
    config.key = key.clone();
    let preamble = match &shared.upstream {
        None => Preamble::new(&config, &shared.remote_name),
        Some(package) => package.core().preamble(&config, &shared.remote_name),
    };
    Ok(Birth { key, preamble })
}

fn draw_key() -> Result<SessionKey, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Local { what: "draw a session key", source: io::Error::other(error) })?;
    Ok(SessionKey::from_random(random))
}

/// Who starts contexts, by custom `user@host:pid`: it stands in the command lines of the contexts'
/// processes, so that an administrator can see whose they are.
pub(crate) fn remote_name() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let host = rustix::system::uname();
    format!(
        "{}@{}:{}",
        user.as_deref().unwrap_or("unknown"),
        host.nodename().to_string_lossy(),
        std::process::id()
    )
}

/// Reads one link until it ends, then sees its process to its grave.
struct LinkTask {
    registration: Registration,
    reader: FrameReader,
    process: Process,
    /// Whether the process is the context itself, and not a tool that leads to it.
    direct: bool,
}

/// Keeps the hub's word about a link true even when the task is dropped with its runtime.
pub(crate) struct Registration {
    pub(crate) shared: Arc<Shared>,
    pub(crate) info: Arc<ContextInfo>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.handle_link_down(&self.info, Ending::Stopped(Stop::RouterClosed));
        self.shared.handle_ended(&self.info);
    }
}

impl LinkTask {
    async fn run(mut self, mut stopped: oneshot::Receiver<Stop>, tool_lines: ToolLines) {
        let talk = tokio::spawn(relay_tool_lines(Arc::clone(&self.registration.info), tool_lines));
        let mut ending = tokio::select! {
            biased;
            ending = read(&self.registration, &mut self.reader) => ending,
            stop = &mut stopped => Ending::Stopped(stop.unwrap_or(Stop::RouterClosed)),
            ending = outlive(&self.process) => ending,
        };
        if let Ending::Closed(status) = &mut ending
            && !self.registration.info.is_detached()
            && let Ok(exit) = tokio::time::timeout(STATUS_GRACE, self.process.wait()).await
        {
            *status = Some(exit.to_string());
        }
        // What does not end is not asked again. What is corrupt is not listened to, but may end the
        // programs that it runs: it sees the end of its link.
        let patience = match &ending {
            Ending::Stopped(Stop::Kill) => Duration::ZERO,
            _ => EXIT_GRACE,
        };
        // The hub lets go of the writer here: the far end sees the end of the stream.
        self.registration.shared.handle_link_down(&self.registration.info, ending);
        drop(self.reader);
        if self.direct && self.registration.info.is_detached() {
            self.process.leave();
        } else {
            self.process.stop(patience, TERM_GRACE).await;
        }
        talk.abort();
        drop(self.registration);
    }
}

/// Waits until the process has ended and what it sent last must have been read. Someone else, such
/// as a process that it has forked, may hold the link open for ever.
async fn outlive(process: &Process) -> Ending {
    let exit = process.wait().await;
    tokio::time::sleep(STATUS_GRACE).await;
    Ending::Closed(Some(exit.to_string()))
}

async fn read(registration: &Registration, reader: &mut FrameReader) -> Ending {
    loop {
        match reader.next().await {
            Ok(Some(message)) => {
                registration.shared.handle_message(registration.info.id, message);
                // A neighbour that sends without end must not keep others, and timers, from their turn.
                tokio::task::coop::consume_budget().await;
            }
            Ok(None) => return Ending::Closed(None),
            Err(LinkError::Io(error)) if is_hangup(&error) => return Ending::Closed(None),
            Err(error) => return Ending::Failed(error.into()),
        }
    }
}

async fn relay_tool_lines(info: Arc<ContextInfo>, mut lines: ToolLines) {
    while let Some(line) = lines.next().await {
        remote_log::emit_tool_line(info.id, &info.name, &line.text);
    }
}
