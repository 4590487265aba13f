//! The machine of a context between the root and others: it keeps the answers that pass, and joins
//! requests for the same module.
//!
//! It deals in *bundles*: all that is sent for one request. A bundle travels on as it came, part by part, so nothing
//! is unpacked or compressed on the way and nobody waits for the end of it; each goes by each link once, and who
//! comes late is sent the earlier parts first. The agent's Python (`mitogen.library`) does the same; both are held to
//! the same scenarios.

use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A forwarder. `P`: what bundles are made of, and is passed on as it is.
#[derive(Debug)]
pub struct Forwarder<P> {
    bundles: Vec<Bundle<P>>,
    /// Names asked for, and the bundles of which more is to come for them.
    partial: BTreeMap<String, usize>,
    /// In which bundle a name is, be it as a module or as an absence.
    names: BTreeMap<String, usize>,
    /// Names that the parent was asked for, and who waits for them.
    waiting: BTreeMap<String, Vec<ContextId>>,
    /// Which bundles went by which link.
    sent: BTreeMap<ContextId, BTreeSet<usize>>,
    /// Without a parent: which names were denied by which link.
    denied: Option<BTreeMap<ContextId, BTreeSet<String>>>,
    steps: VecDeque<Step<P>>,
}

#[derive(Debug)]
struct Bundle<P> {
    /// What the parent was asked for.
    name: String,
    parts: Vec<P>,
    end: End,
}

#[derive(Debug)]
enum End {
    /// More is to come, which these links are sent as it comes.
    Open(BTreeSet<ContextId>),
    Complete,
    /// More was to come when the parent was lost.
    Cut,
}

/// What the forwarder wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<P> {
    /// Ask the parent for a module.
    Ask(String),
    /// Send this by a link.
    Pass {
        /// The link.
        link: ContextId,
        /// A part of a bundle.
        part: P,
    },
    /// Say by this link that no more of a bundle will come.
    End {
        /// The link.
        link: ContextId,
        /// What the bundle came for.
        name: String,
    },
    /// Say by this link that there is no such module.
    Deny {
        /// The link.
        link: ContextId,
        /// The module.
        name: String,
    },
}

impl<P: Clone> Default for Forwarder<P> {
    fn default() -> Forwarder<P> {
        Forwarder::new()
    }
}

impl<P: Clone> Forwarder<P> {
    /// A forwarder that has seen nothing.
    pub fn new() -> Forwarder<P> {
        Forwarder {
            bundles: Vec::new(),
            partial: BTreeMap::new(),
            names: BTreeMap::new(),
            waiting: BTreeMap::new(),
            sent: BTreeMap::new(),
            denied: None,
            steps: VecDeque::new(),
        }
    }

    /// A neighbour below asks for a module.
    pub fn handle_request(&mut self, link: ContextId, name: &str) {
        if let Some(&bundle) = self.names.get(name) {
            return self.pass(bundle, link);
        }
        if self.denied.is_some() {
            return self.deny(name, link);
        }
        let links = self.ask(name);
        if !links.contains(&link) {
            links.push(link);
        }
    }

    /// This context itself needs a module.
    pub fn want(&mut self, name: &str) {
        if !self.names.contains_key(name) && self.denied.is_none() {
            self.ask(name);
        }
    }

    /// The parent is gone: what is not here will never be.
    pub fn handle_parent_down(&mut self) {
        self.denied.get_or_insert_default();
        for bundle in std::mem::take(&mut self.partial).into_values() {
            let bundle = &mut self.bundles[bundle];
            if let End::Open(links) = std::mem::replace(&mut bundle.end, End::Cut) {
                let end = |link| Step::End { link, name: bundle.name.clone() };
                self.steps.extend(links.into_iter().map(end));
            }
        }
        for (name, links) in std::mem::take(&mut self.waiting) {
            for link in links {
                self.deny(&name, link);
            }
        }
    }

    /// A part of the parent's answer to the request for `asked`: the names of which it tells, and whether nothing
    /// more comes for it.
    pub fn handle_part(&mut self, asked: &str, names: &[&str], part: P, last: bool) {
        let at = *self.partial.entry(asked.to_owned()).or_insert_with(|| {
            let end = End::Open(BTreeSet::new());
            self.bundles.push(Bundle { name: asked.to_owned(), parts: Vec::new(), end });
            self.bundles.len() - 1
        });
        let bundle = &mut self.bundles[at];
        bundle.parts.push(part.clone());
        if let End::Open(links) = &bundle.end {
            self.steps.extend(links.iter().map(|&link| Step::Pass { link, part: part.clone() }));
        }
        if last {
            bundle.end = End::Complete;
            self.partial.remove(asked);
        }
        let mut links = BTreeSet::new();
        for &name in names {
            self.names.entry(name.to_owned()).or_insert(at);
            links.extend(self.waiting.remove(name).unwrap_or_default());
        }
        for link in links {
            self.pass(at, link);
        }
    }

    /// A link below is gone.
    pub fn handle_link_down(&mut self, link: ContextId) {
        self.sent.remove(&link);
        if let Some(denied) = &mut self.denied {
            denied.remove(&link);
        }
        for &bundle in self.partial.values() {
            if let End::Open(links) = &mut self.bundles[bundle].end {
                links.remove(&link);
            }
        }
        for links in self.waiting.values_mut() {
            links.retain(|&waiting| waiting != link);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Step<P>> {
        self.steps.pop_front()
    }

    /// Who waits for a module; the parent is asked for it unless that was done.
    fn ask(&mut self, name: &str) -> &mut Vec<ContextId> {
        self.waiting.entry(name.to_owned()).or_insert_with(|| {
            self.steps.push_back(Step::Ask(name.to_owned()));
            Vec::new()
        })
    }

    fn deny(&mut self, name: &str, link: ContextId) {
        let denied = self.denied.get_or_insert_default().entry(link).or_default();
        if denied.insert(name.to_owned()) {
            self.steps.push_back(Step::Deny { link, name: name.to_owned() });
        }
    }

    fn pass(&mut self, at: usize, link: ContextId) {
        if self.sent.entry(link).or_default().insert(at) {
            let bundle = &mut self.bundles[at];
            self.steps.extend(bundle.parts.iter().map(|part| Step::Pass { link, part: part.clone() }));
            match &mut bundle.end {
                End::Open(links) => drop(links.insert(link)),
                End::Complete => {}
                End::Cut => self.steps.push_back(Step::End { link, name: bundle.name.clone() }),
            }
        }
    }
}
