//! The root's machine: what each neighbour is sent when it asks for a module.
//!
//! ```text
//!   handle_request ─> Find ... (the world looks) ... handle_found ─> Find ... ─> Send
//! ```
//!
//! The answer to a request is the module and all that it will import, each module once for a link.

use crate::history::{History, Memo, Memory};
use crate::module::{Absence, Found, Module};
use crate::{Dialect, ModuleName, Policy, stdlib};
use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How many modules one request may look for: a chain of imports longer than that is followed by requests of
/// its own.
const MOST: usize = 20_000;

/// Answers requests for modules.
#[derive(Debug, Default)]
pub struct Responder {
    policy: Policy,
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
    todo: VecDeque<ModuleName>,
    /// Those of `todo` that must be looked for first.
    waiting: Vec<ModuleName>,
    seen: BTreeSet<ModuleName>,
    modules: BTreeMap<ModuleName, Arc<Module>>,
    absent: BTreeMap<ModuleName, Absence>,
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

/// What is sent for a request, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was asked for.
    pub name: ModuleName,
    /// The modules that were not sent there before, sorted by name: packages before their members. Empty if the
    /// one asked for had been sent.
    pub modules: Vec<Arc<Module>>,
    /// Names for which there will be no module, among them those that are the target's own affair.
    pub absent: Vec<(ModuleName, Absence)>,
    /// Names that belong to the answer as well, and were told by this link before, sorted.
    pub before: Vec<ModuleName>,
}

impl Responder {
    /// A responder that nobody has asked yet.
    pub fn new(policy: Policy) -> Responder {
        Responder { policy, ..Responder::default() }
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
            todo: name.prefixes().collect(),
            waiting: Vec::new(),
            seen: BTreeSet::new(),
            modules: BTreeMap::new(),
            absent: BTreeMap::new(),
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
            let began = *job.began.get_or_insert(link.history);
            if let Some(memo) = self.memory.get(link.history, &job.name).filter(|_| began == link.history) {
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
                    self.outputs.push_back(Output::Send { link: job.link, answer: memo.answer.clone() });
                    continue;
                }
            }
            job.advance(&self.policy, &link.sent, &self.known, &mut |name| {
                if self.asked.insert(name.clone()) {
                    self.outputs.push_back(Output::Find(name));
                }
            });
            match job.waiting.is_empty() {
                true => self.finish(job),
                false => self.jobs.push_back(job),
            }
        }
        if self.jobs.is_empty() {
            self.known.clear();
        }
    }

    fn finish(&mut self, job: Job) {
        let link = self.links.entry(job.link).or_default();
        let before = link.history;
        let sent = Arc::make_mut(&mut link.sent);
        let grounds = job.grounds(&self.known);
        let told = sent.len();
        let modules: Vec<_> = job.modules.into_values().filter(|m| sent.insert(m.name.clone())).collect();
        let mut absent = Vec::new();
        for (name, absence) in job.absent {
            // What was asked for is answered, and not noted: an asker can think of any number of names.
            if name == job.name || sent.insert(name.clone()) {
                absent.push((name, absence));
            }
        }
        let answer = Answer { name: job.name, modules, absent, before: job.before.into_iter().collect() };
        if link.sent.len() > told {
            link.history = self.memory.fresh();
        }
        // What is asked for in vain leaves nothing behind.
        if job.began == Some(before) && !answer.modules.is_empty() {
            let (after, sent) = (link.history, Arc::clone(&link.sent));
            self.memory.put(before, Memo { after, sent, answer: answer.clone(), grounds });
        }
        self.outputs.push_back(Output::Send { link: job.link, answer });
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
            }
            match known.get(&name) {
                None => {
                    find(name.clone());
                    self.waiting.push(name);
                }
                Some(Found::Module(module)) => {
                    if self.modules.len() < MOST {
                        self.todo
                            .extend(module.needs.iter().filter(|need| !self.seen.contains(need)).cloned());
                    }
                    self.modules.insert(name.clone(), Arc::clone(module));
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
            self.absent.insert(name, absence);
        }
    }
}
