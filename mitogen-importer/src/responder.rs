//! The root's machine: what each neighbour is sent when it asks for a module.
//!
//! ```text
//!   handle_request ─> Find ... (the world looks) ... handle_found ─> Find ... ─> Send, Find ... ─> Send, Send
//! ```
//!
//! The answer to a request is the module and all that it will import, each module once for a link. What is found
//! first is sent first, while the rest is still looked for: an answer of some size comes in parts.

use crate::history::{History, Memo, Memory};
use crate::module::{Absence, Found, Module};
use crate::order::Order;
use crate::{Dialect, ModuleName, Policy, stdlib};
use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How many modules one request may look for: a chain of imports longer than that is followed by requests of
/// its own.
const MOST: usize = 20_000;

/// How many bytes of source make a part: of the first one, which somebody waits for, and of each later one. What is
/// larger gains little, for zlib looks back 32 KiB; what is smaller would have to be a message of its own.
const PARTS: (usize, usize) = (4 << 10, 128 << 10);

/// Answers requests for modules.
#[derive(Debug)]
pub struct Responder {
    policy: Policy,
    parts: (usize, usize),
    links: BTreeMap<ContextId, Link>,
    jobs: VecDeque<Job>,
    /// What was found since there was nothing to do. Emptied when there is nothing to do again, because
    /// files change and because askers must not fill the memory.
    known: BTreeMap<ModuleName, Found>,
    /// Names that the world was asked for.
    asked: BTreeSet<ModuleName>,
    memory: Memory,
    outputs: VecDeque<Output>,
}

/// What was sent by one link.
#[derive(Debug)]
struct Link {
    dialect: Dialect,
    /// Modules, and names of which it was told that there are none. Only names that sources on the path
    /// hold stand here, so their number is bounded by those.
    sent: Arc<BTreeSet<ModuleName>>,
    /// Links with the same history have the same `sent`.
    history: History,
}

impl Default for Link {
    fn default() -> Link {
        let dialect = Dialect::default();
        Link { dialect, sent: Arc::default(), history: History::new(dialect) }
    }
}

/// One request under way.
#[derive(Debug)]
struct Job {
    link: ContextId,
    dialect: Dialect,
    name: ModuleName,
    /// What the link had been sent when the job began.
    began: Option<History>,
    /// What it has been sent since, if that was all for this job.
    now: Option<History>,
    /// What was sent for this job.
    parts: Vec<Answer>,
    todo: VecDeque<ModuleName>,
    /// Those of `todo` that must be looked for first.
    waiting: Vec<ModuleName>,
    seen: BTreeSet<ModuleName>,
    /// What is found and not yet sent.
    modules: Order,
    absent: Vec<(ModuleName, Absence)>,
    /// Those of `todo` that the link had before.
    before: BTreeSet<ModuleName>,
}

/// What the responder wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Look for this module, and tell with [`Responder::handle_found`].
    Find(ModuleName),
    /// Send this to the context at the far end of a link.
    Send {
        /// The link.
        link: ContextId,
        /// What to send.
        answer: Answer,
    },
}

/// A part of what is sent for a request. For [`Dialect::Standard`] there is one part only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked for.
    pub name: ModuleName,
    /// Modules that were not sent there before, packages before their members: in the order in which they will be
    /// imported, as far as it was known when the part was made; for [`Dialect::Standard`] sorted by name.
    pub modules: Vec<Arc<Module>>,
    /// Names for which there will be no module, sorted, among them those that are the target's own affair.
    pub absent: Vec<(ModuleName, Absence)>,
    /// Names that belong to the answer as well, and were told by this link before, sorted. Only the last part
    /// says so.
    pub before: Vec<ModuleName>,
    /// Whether nothing more comes for this request.
    pub last: bool,
}

impl Responder {
    /// A responder that nobody has asked yet.
    pub fn new(policy: Policy) -> Responder {
        Responder {
            policy,
            parts: PARTS,
            links: BTreeMap::new(),
            jobs: VecDeque::new(),
            known: BTreeMap::new(),
            asked: BTreeSet::new(),
            memory: Memory::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The same, whose answers are cut into parts as soon as so many bytes of source are found: for the first part,
    /// and for each later one.
    #[must_use]
    pub fn with_parts(mut self, first: usize, later: usize) -> Responder {
        self.parts = (first, later);
        self
    }

    /// The far end of a link understands this dialect. Without a word, it is an agent of ours.
    pub fn handle_link_up(&mut self, link: ContextId, dialect: Dialect) {
        let state = self.links.entry(link).or_default();
        state.dialect = dialect;
        state.history = History::new(dialect);
        // It was born with these.
        let born_with = ["mitogen", "mitogen.core"].into_iter().filter(|_| dialect == Dialect::Standard);
        Arc::make_mut(&mut state.sent).extend(born_with.filter_map(|name| ModuleName::parse(name).ok()));
    }

    /// A neighbour asks for a module.
    pub fn handle_request(&mut self, link: ContextId, name: ModuleName) {
        let same = |job: &Job| job.link == link && job.name == name;
        if self.jobs.iter().any(same) {
            return;
        }
        self.jobs.push_back(Job {
            link,
            dialect: self.links.get(&link).map(|link| link.dialect).unwrap_or_default(),
            began: None,
            now: None,
            parts: Vec::new(),
            todo: name.prefixes().collect(),
            waiting: Vec::new(),
            seen: BTreeSet::new(),
            modules: Order::new(name.prefixes()),
            absent: Vec::new(),
            before: BTreeSet::new(),
            name,
        });
    }

    /// What came of an [`Output::Find`].
    pub fn handle_found(&mut self, name: ModuleName, found: Found) {
        if self.asked.remove(&name) {
            self.known.insert(name, found);
        }
    }

    /// A link is gone: nothing was sent by it any more.
    pub fn handle_link_down(&mut self, link: ContextId) {
        self.links.remove(&link);
        self.jobs.retain(|job| job.link != link);
    }

    /// What is to be done next. After `None`, wait for an answer or a request.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && self.asked.is_empty() {
            self.advance();
        }
        self.outputs.pop_front()
    }

    /// Whether there is no request under way.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.outputs.is_empty()
    }

    /// How many modules and absences were sent by a link.
    pub fn sent(&self, link: ContextId) -> usize {
        self.links.get(&link).map_or(0, |link| link.sent.len())
    }

    fn advance(&mut self) {
        for _ in 0..self.jobs.len() {
            let Some(mut job) = self.jobs.pop_front() else { break };
            let link = self.links.entry(job.link).or_default();
            if job.began.is_none() {
                (job.began, job.now) = (Some(link.history), Some(link.history));
            }
            let untold = job.began == Some(link.history);
            if let Some(memo) = self.memory.get(link.history, &job.name).filter(|_| untold) {
                for (name, _) in memo.grounds.iter().filter(|(name, _)| !self.known.contains_key(name)) {
                    if self.asked.insert(name.clone()) {
                        self.outputs.push_back(Output::Find(name.clone()));
                    }
                }
                if !self.asked.is_empty() {
                    self.jobs.push_back(job);
                    continue;
                }
                if memo.holds(&self.known) {
                    (link.sent, link.history) = (Arc::clone(&memo.sent), memo.after);
                    let send = |answer: &Answer| Output::Send { link: job.link, answer: answer.clone() };
                    self.outputs.extend(memo.parts.iter().map(send));
                    continue;
                }
            }
            job.advance(&self.policy, &link.sent, &self.known, &mut |name| {
                if self.asked.insert(name.clone()) {
                    self.outputs.push_back(Output::Find(name));
                }
            });
            if job.dialect == Dialect::Bundles {
                // One at a time: what is found next may be imported before the rest of this.
                let enough = if job.parts.is_empty() { self.parts.0 } else { self.parts.1 };
                if let Some(modules) = job.modules.take(enough) {
                    self.send(&mut job, modules, false);
                }
            }
            match job.waiting.is_empty() {
                true => self.finish(job),
                false => self.jobs.push_back(job),
            }
        }
        if self.jobs.is_empty() {
            self.known.clear();
        }
    }

    /// Sends a part: these modules, and what is known to be absent.
    fn send(&mut self, job: &mut Job, mut modules: Vec<Arc<Module>>, last: bool) {
        let link = self.links.entry(job.link).or_default();
        let sent = Arc::make_mut(&mut link.sent);
        let told = sent.len();
        modules.retain(|module| sent.insert(module.name.clone()));
        // What was asked for is answered, and not noted: an asker can think of any number of names.
        let mut absent = std::mem::take(&mut job.absent);
        absent.retain(|(name, _)| *name == job.name || sent.insert(name.clone()));
        absent.sort_by(|(a, _), (b, _)| a.cmp(b));
        if sent.len() > told {
            let alone = job.now == Some(link.history);
            link.history = self.memory.fresh();
            job.now = alone.then_some(link.history);
        }
        let before = if last { std::mem::take(&mut job.before).into_iter().collect() } else { Vec::new() };
        let answer = Answer { name: job.name.clone(), modules, absent, before, last };
        job.parts.push(answer.clone());
        self.outputs.push_back(Output::Send { link: job.link, answer });
    }

    fn finish(&mut self, mut job: Job) {
        let mut modules = std::mem::take(&mut job.modules).rest();
        if job.dialect == Dialect::Standard {
            modules.sort_by(|a, b| a.name.cmp(&b.name));
        } else {
            while let Some(end) = end_of_part(&modules, self.parts.1) {
                let rest = modules.split_off(end);
                self.send(&mut job, std::mem::replace(&mut modules, rest), false);
            }
        }
        self.send(&mut job, modules, true);
        let link = self.links.entry(job.link).or_default();
        // What is asked for in vain leaves nothing behind.
        if let Some(began) = job.began
            && job.now == Some(link.history)
            && job.parts.iter().any(|part| !part.modules.is_empty())
        {
            let grounds = job.grounds(&self.known);
            let (after, sent) = (link.history, Arc::clone(&link.sent));
            self.memory.put(began, job.name, Memo { after, sent, parts: job.parts, grounds });
        }
    }
}

impl Job {
    /// Goes as far as what is known allows, asking for the rest.
    fn advance(
        &mut self,
        policy: &Policy,
        sent: &BTreeSet<ModuleName>,
        known: &BTreeMap<ModuleName, Found>,
        find: &mut dyn FnMut(ModuleName),
    ) {
        self.todo.extend(self.waiting.drain(..));
        while let Some(name) = self.todo.pop_front() {
            if self.seen.contains(&name) {
                continue;
            }
            if sent.contains(&name) && name != self.name {
                self.before.insert(name);
                continue;
            }
            if self.is_own(name.top()) {
                // The target has it or has it not. Nobody is asked for its members; whether an old target may be
                // given a backport is not decided here, but when it asks.
                match known.get(&name) {
                    Some(Found::Module(_)) => drop(self.seen.insert(name)),
                    None if name.is_top() && name.as_str() != "mitogen" => {
                        find(name.clone());
                        self.waiting.push(name);
                    }
                    _ => self.leave(name, Absence::Missing),
                }
                continue;
            }
            // Of the peer's own library nothing is withheld: it cannot do its work without.
            let essential = name.top() == "mitogen";
            if let Err(denial) = policy.check(&name)
                && !essential
            {
                self.leave(name, denial.into());
                continue;
            }
            if let Some(parent) = name.parent() {
                let listed = match known.get(&parent) {
                    Some(Found::Module(package)) => {
                        let members = package.children.as_deref().unwrap_or_default();
                        members.binary_search_by(|member| member.as_str().cmp(name.last())).is_ok()
                    }
                    Some(Found::Absent(_)) => false,
                    None if self.seen.contains(&parent) => false,
                    // Sent before; what it has as members is looked up once more.
                    None => {
                        find(parent);
                        self.waiting.push(name);
                        continue;
                    }
                };
                if !listed {
                    self.leave(name, Absence::Missing);
                    continue;
                }
                // Another request may have made the member known before its package.
                if self.waiting.contains(&parent) {
                    self.waiting.push(name);
                    continue;
                }
            }
            match known.get(&name) {
                None => {
                    find(name.clone());
                    self.waiting.push(name);
                }
                Some(Found::Module(module)) => {
                    let needs = if self.modules.found() < MOST { &module.needs[..] } else { &[] };
                    let todo = &mut self.todo;
                    self.modules.add(module, needs, |need| todo.push_back(need));
                    self.seen.insert(name);
                }
                Some(Found::Absent(absence)) => {
                    let absence = absence.clone();
                    self.leave(name, absence);
                }
            }
        }
    }

    /// Whether a top-level module is the target's own affair, unless it asks for it by itself.
    fn is_own(&self, top: &str) -> bool {
        // Other peers have our namesake for a library, part of which they ask for.
        let ours = top == "mitogen" && self.dialect == Dialect::Bundles;
        top != self.name.top() && (stdlib::is_stdlib(top) || ours)
    }

    /// What it went by of what is known.
    fn grounds(&self, known: &BTreeMap<ModuleName, Found>) -> Vec<(ModuleName, Found)> {
        let parents = self.seen.iter().filter_map(ModuleName::parent);
        let names: BTreeSet<ModuleName> = self.seen.iter().cloned().chain(parents).collect();
        names.into_iter().filter_map(|name| known.get(&name).cloned().map(|found| (name, found))).collect()
    }

    /// A module that will not be sent. Members that packages do not list are never asked for, so nothing is
    /// said of those.
    fn leave(&mut self, name: ModuleName, absence: Absence) {
        self.seen.insert(name.clone());
        if name == self.name || name.is_top() || absence != Absence::Missing {
            self.absent.push((name, absence));
        }
    }
}

/// Where the first part of these ends, if something is left behind it.
fn end_of_part(modules: &[Arc<Module>], enough: usize) -> Option<usize> {
    let mut size = 0;
    let last = modules.iter().position(|module| {
        size += module.source.len();
        size >= enough
    })?;
    Some(last + 1).filter(|&end| end < modules.len())
}
