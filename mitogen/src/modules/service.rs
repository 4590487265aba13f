//! The thread that answers requests for modules.

use super::ModuleSettings;
use super::finder::Finder;
use super::pack::Packer;
use super::parallel;
use crate::shared::Shared;
use crate::stats::LinkStats;
use crate::upstream::dialect;
use bytes::Bytes;
use mitogen_importer::{Absence, Answer, Dialect, Module, ModuleName, Output, Policy, Responder};
use mitogen_wire::body::{GetResource, LoadBundle, LoadModule, LoadResource};
use mitogen_wire::{ContextId, Encoding, Handle};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

/// How many requests may wait. A context that asks faster is told that there is no such module.
const MOST_WAITING: usize = 4096;
/// The longest name that is repeated in an answer, in bytes. A longer one gets none: no importer asks for it.
const LONGEST_NAME: usize = 64 << 10;

/// What contexts want of the thread.
#[derive(Debug)]
pub(crate) enum Ask {
    Module { link: ContextId, dialect: Dialect, name: String },
    Resource { link: ContextId, request: GetResource },
    LinkDown(ContextId),
}

/// The modules of one router: where they are found, and the thread that finds them.
pub(crate) struct Library {
    settings: ModuleSettings,
    shared: Weak<Shared>,
    queue: OnceLock<Mutex<Sender<Ask>>>,
    waiting: Arc<AtomicUsize>,
}

impl Library {
    pub(crate) fn new(settings: ModuleSettings, shared: Weak<Shared>) -> Library {
        Library { settings, shared, queue: OnceLock::new(), waiting: Arc::default() }
    }

    /// Whether contexts can find anything here.
    pub(crate) fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// Has the thread see to a request.
    pub(crate) fn ask(&self, shared: &Shared, ask: Ask) {
        match &ask {
            Ask::LinkDown(_) if self.queue.get().is_none() => return,
            Ask::LinkDown(_) => {}
            Ask::Module { name, .. } if name.len() > LONGEST_NAME => return,
            Ask::Module { .. } | Ask::Resource { .. } => {
                let full = self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING;
                if full || self.is_empty() {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    return refuse(shared, ask);
                }
            }
        }
        let queue = self.queue.get_or_init(|| Mutex::new(self.start()));
        // It fails when the thread could not be started: nobody gets anything then.
        let _ = queue.lock().unwrap_or_else(PoisonError::into_inner).send(ask);
    }

    fn start(&self) -> Sender<Ask> {
        let (sender, receiver) = mpsc::channel();
        let (settings, shared, waiting) =
            (self.settings.clone(), Weak::clone(&self.shared), Arc::clone(&self.waiting));
        let thread = std::thread::Builder::new().name("mitogen-modules".to_owned());
        if let Err(error) = thread.spawn(move || serve(&settings, &shared, &waiting, &receiver)) {
            tracing::error!(target: "mitogen::modules", "cannot start the thread that finds modules: {error}");
        }
        sender
    }
}

/// Answers that there is nothing.
fn refuse(shared: &Shared, ask: Ask) {
    match ask {
        Ask::Module { link, name, .. } => {
            if let Ok(body) = LoadModule::negative(name).encode() {
                let _ = shared.send(link, LoadModule::HANDLE, body);
            }
        }
        Ask::Resource { link, request } => {
            if let Ok(body) =
                dialect::resource(shared.upstream.as_ref(), LoadResource { request, content: None })
            {
                let _ = shared.send(link, LoadResource::HANDLE, body);
            }
        }
        Ask::LinkDown(_) => {}
    }
}

/// The thread's life. It ends with its router.
fn serve(settings: &ModuleSettings, shared: &Weak<Shared>, waiting: &AtomicUsize, queue: &Receiver<Ask>) {
    let (finder, complaints) = Finder::new(settings);
    for complaint in complaints {
        tracing::warn!(target: "mitogen::modules", "cannot search a part of the module path: {complaint}");
    }
    let mut worker = Worker {
        finder,
        policy: settings.policy.clone(),
        responder: Responder::new(settings.policy.clone()),
        out: Out {
            packer: Packer::default(),
            dialects: BTreeMap::new(),
            since: Instant::now(),
            tallies: BTreeMap::new(),
        },
    };
    while let Ok(first) = queue.recv() {
        let batch: Vec<Ask> = std::iter::once(first).chain(queue.try_iter().take(256)).collect();
        let Some(shared) = shared.upgrade() else { return };
        let asks = batch.iter().filter(|ask| !matches!(ask, Ask::LinkDown(_))).count();
        worker.run(&shared, batch);
        waiting.fetch_sub(asks, Ordering::Relaxed);
    }
}

struct Worker {
    finder: Finder,
    policy: Policy,
    responder: Responder,
    out: Out,
}

/// The way out: compresses and sends.
struct Out {
    packer: Packer,
    /// Of the links that asked for something.
    dialects: BTreeMap<ContextId, Dialect>,
    /// Since when this thread is at work on the next part of an answer.
    since: Instant,
    /// What was sent for requests whose answers are not complete.
    tallies: BTreeMap<(ContextId, ModuleName), Tally>,
}

/// What was sent for one request.
#[derive(Default)]
struct Tally {
    modules: usize,
    bytes: usize,
    /// Whether what was asked for is among them.
    asked: bool,
}

impl Worker {
    fn run(&mut self, shared: &Shared, batch: Vec<Ask>) {
        self.out.since = Instant::now();
        self.finder.refresh();
        for ask in batch {
            match ask {
                Ask::Module { link, dialect, name } => {
                    let first = self.out.dialects.insert(link, dialect).is_none();
                    match ModuleName::parse(&name) {
                        Ok(name) => {
                            if first {
                                self.responder.handle_link_up(link, dialect);
                            }
                            self.responder.handle_request(link, name);
                        }
                        Err(_) => refuse(shared, Ask::Module { link, dialect, name }),
                    }
                }
                Ask::Resource { link, request } => self.answer_resource(shared, link, request),
                Ask::LinkDown(link) => {
                    self.responder.handle_link_down(link);
                    self.out.dialects.remove(&link);
                    self.out.tallies.retain(|(asker, _), _| *asker != link);
                }
            }
        }
        let Worker { finder, responder, out, .. } = self;
        std::thread::scope(|scope| {
            let (mut out, mut helper) = (Some(out), None);
            let (mut wanted, mut ready) = (Vec::new(), Vec::new());
            loop {
                match responder.poll_output() {
                    Some(Output::Find(name)) => wanted.push(name),
                    Some(Output::Send { link, answer }) => ready.push((link, answer)),
                    None => {
                        let parts = std::mem::take(&mut ready);
                        // As long as there is more to find, parts are compressed and sent meanwhile.
                        if !wanted.is_empty() && !parts.is_empty() {
                            helper = helper.or_else(|| {
                                let out = out.take()?;
                                let (sender, parts) = mpsc::channel();
                                scope.spawn(move || parts.iter().for_each(|parts| out.send(shared, parts)));
                                Some(sender)
                            });
                        }
                        match (&helper, &mut out) {
                            (Some(helper), _) => drop(helper.send(parts)),
                            (None, Some(out)) => out.send(shared, parts),
                            (None, None) => {}
                        }
                        if wanted.is_empty() {
                            break;
                        }
                        for (name, found) in finder.find_all(std::mem::take(&mut wanted)) {
                            responder.handle_found(name, found);
                        }
                    }
                }
            }
        });
    }

    fn answer_resource(&mut self, shared: &Shared, link: ContextId, request: GetResource) {
        let package = ModuleName::parse(&request.package).ok().filter(|name| self.policy.check(name).is_ok());
        let content = package.and_then(|package| self.finder.resource(&package, &request.resource));
        if let Some(content) = &content {
            let size = content.len();
            tracing::info!(
                target: "mitogen::modules",
                "{} asked for the file {:?} of {}: {size} bytes sent",
                shared.show(link),
                request.resource,
                request.package,
            );
        }
        if let Ok(body) = dialect::resource(shared.upstream.as_ref(), LoadResource { request, content }) {
            let _ = shared.send(link, LoadResource::HANDLE, body);
        }
    }
}

impl Out {
    /// Sends parts of answers.
    fn send(&mut self, shared: &Shared, ready: Vec<(ContextId, Answer)>) {
        ready.chunks(parallel::width()).for_each(|ready| self.send_some(shared, ready));
    }

    fn send_some(&mut self, shared: &Shared, ready: &[(ContextId, Answer)]) {
        let dialect = |link: &ContextId| self.dialects.get(link).copied().unwrap_or_default();
        let bundled: Vec<&Answer> = ready
            .iter()
            .filter(|(link, _)| dialect(link) == Dialect::Bundles)
            .map(|(_, answer)| answer)
            .collect();
        let mut bundles = self.packer.pack(&bundled).into_iter();
        for (link, answer) in ready {
            let bodies = match self.dialects.get(link).copied().unwrap_or_default() {
                Dialect::Bundles => {
                    let part = bundles.next().flatten().and_then(|part| part.encode().ok());
                    part.map(|body| (LoadBundle::HANDLE, vec![body]))
                }
                Dialect::Standard => {
                    let modules = self.packer.deliver(answer).into_iter().map(|module| module.encode().ok());
                    modules.collect::<Option<_>>().map(|bodies| (LoadModule::HANDLE, bodies))
                }
            };
            let limit = shared.settings.max_message_size;
            let is_too_large = |(_, body): &(Encoding, Bytes)| body.len() > limit;
            match bodies {
                Some((LoadBundle::HANDLE, bodies))
                    if bodies.iter().any(is_too_large) && !answer.modules.is_empty() =>
                {
                    self.send(shared, pieces(*link, answer, limit));
                }
                Some((handle, bodies)) => self.send_bodies(shared, *link, answer, handle, bodies),
                None => refuse(
                    shared,
                    Ask::Module { link: *link, dialect: Dialect::Standard, name: answer.name.to_string() },
                ),
            }
        }
    }

    fn send_bodies(
        &mut self,
        shared: &Shared,
        link: ContextId,
        answer: &Answer,
        handle: Handle,
        bodies: Vec<(Encoding, Bytes)>,
    ) {
        for (name, absence) in &answer.absent {
            if *absence != Absence::Missing {
                tracing::debug!(target: "mitogen::modules", "not sent to {}: {name}: {absence}", shared.show(link));
            }
        }
        let bytes: usize = bodies.iter().map(|(_, body)| body.len()).sum();
        let tally = self.tallies.entry((link, answer.name.clone())).or_default();
        tally.modules += answer.modules.len();
        tally.bytes += bytes;
        tally.asked |= answer.modules.iter().any(|module| module.name == answer.name);
        if answer.last
            && let Some(tally) = self.tallies.remove(&(link, answer.name.clone()))
        {
            tracing::info!(
                target: "mitogen::modules",
                "{} asked for {}: {} and {} other modules sent, {} bytes",
                shared.show(link),
                answer.name,
                if tally.asked { "it" } else { "nothing" },
                tally.modules - usize::from(tally.asked),
                tally.bytes,
            );
        }
        let more = LinkStats {
            modules_sent: answer.modules.len() as u64,
            module_messages: bodies.len() as u64,
            module_bytes: bytes as u64,
            module_time: std::mem::replace(&mut self.since, Instant::now()).elapsed(),
            ..LinkStats::default()
        };
        shared.note_modules(link, &more);
        for body in bodies {
            // Fails when the link is gone: nobody waits then.
            if shared.send(link, handle, body).is_err() {
                break;
            }
        }
    }
}

/// A part that is too large for a message, module by module; one that is too large by itself is absent.
fn pieces(link: ContextId, answer: &Answer, limit: usize) -> Vec<(ContextId, Answer)> {
    let mut rest = Answer { modules: Vec::new(), ..answer.clone() };
    let mut pieces = Vec::new();
    if let [module] = &answer.modules[..] {
        let why = format!("it is too large for a message, which may have {limit} bytes (`max_message_size`)");
        rest.absent.push((module.name.clone(), Absence::Refused { path: module.path.clone(), why }));
    } else {
        let piece = |module: &Arc<Module>| Answer {
            modules: vec![Arc::clone(module)],
            absent: Vec::new(),
            before: Vec::new(),
            last: false,
            name: answer.name.clone(),
        };
        pieces.extend(answer.modules.iter().map(|module| (link, piece(module))));
    }
    pieces.push((link, rest));
    pieces
}
