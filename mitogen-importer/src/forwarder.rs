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
            steps: VecDeque::new(),
        }
    }

    /// A neighbour below asks for a module.
    pub fn handle_request(&mut self, link: ContextId, name: &str) {
        if let Some(&bundle) = self.names.get(name) {
            return self.pass(bundle, link);
        }
        let links = self.waiting.entry(name.to_owned()).or_insert_with(|| {
            self.steps.push_back(Step::Ask(name.to_owned()));
            Vec::new()
        });
        if !links.contains(&link) {
            links.push(link);
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
        for links in self.waiting.values_mut() {
            links.retain(|&waiting| waiting != link);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Step<P>> {
        self.steps.pop_front()
    }

    fn pass(&mut self, bundle: usize, link: ContextId) {
        if self.sent.entry(link).or_default().insert(bundle) {
            let parts = self.bundles[bundle].parts.iter().cloned();
            self.steps.extend(parts.map(|part| Step::Pass { link, part }));
        }
    }
}
