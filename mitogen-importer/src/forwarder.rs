//! The machine of a context between the root and others: it keeps the answers that pass, and joins
//! requests for the same module.
//!
//! It deals in *bundles*: all that was sent for one request. A bundle travels on as it came, so nothing is
//! unpacked or compressed on the way, and each goes by each link once. The agent's Python (`mitogen.library`)
//! does the same; both are held to the same scenarios.

use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A forwarder. `P`: what bundles are made of, and is passed on as it is.
#[derive(Debug)]
pub struct Forwarder<P> {
    bundles: Vec<Bundle<P>>,
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
    parts: Vec<P>,
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
        for (name, links) in std::mem::take(&mut self.waiting) {
            for link in links {
                self.deny(&name, link);
            }
        }
    }

    /// The parent's answer to a request is complete.
    pub fn handle_bundle(&mut self, names: &[&str], parts: Vec<P>) {
        let bundle = self.bundles.len();
        self.bundles.push(Bundle { parts });
        let mut links = BTreeSet::new();
        for &name in names {
            self.names.entry(name.to_owned()).or_insert(bundle);
            links.extend(self.waiting.remove(name).unwrap_or_default());
        }
        for link in links {
            self.pass(bundle, link);
        }
    }

    /// A link below is gone.
    pub fn handle_link_down(&mut self, link: ContextId) {
        self.sent.remove(&link);
        if let Some(denied) = &mut self.denied {
            denied.remove(&link);
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

    fn pass(&mut self, bundle: usize, link: ContextId) {
        if self.sent.entry(link).or_default().insert(bundle) {
            let parts = self.bundles[bundle].parts.iter().cloned();
            self.steps.extend(parts.map(|part| Step::Pass { link, part }));
        }
    }
}
