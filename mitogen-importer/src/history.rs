//! What was answered before, to whom, and on which grounds: what would be answered again needs no thought.

use crate::module::Found;
use crate::{Answer, Dialect, ModuleName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many answers are remembered. There are more only where neighbours ask for much in many orders.
const MOST: usize = 128;

/// What a link was sent so far, as a number: links with the same number were sent the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct History(u64);

impl History {
    /// Of a link by which nothing was sent.
    pub(crate) fn new(dialect: Dialect) -> History {
        match dialect {
            Dialect::Bundles => History(0),
            Dialect::Standard => History(1),
        }
    }
}

/// An answer that was given.
#[derive(Debug)]
pub(crate) struct Memo {
    pub(crate) after: History,
    /// All that links with the history `after` were sent.
    pub(crate) sent: Arc<BTreeSet<ModuleName>>,
    pub(crate) parts: Vec<Answer>,
    /// What was known of the world. As long as that is the same, so is the answer.
    pub(crate) grounds: Vec<(ModuleName, Found)>,
}

impl Memo {
    /// Whether it holds in a world of which this is known.
    pub(crate) fn holds(&self, known: &BTreeMap<ModuleName, Found>) -> bool {
        let same = |(name, old): &(ModuleName, Found)| match (old, known.get(name)) {
            (Found::Module(old), Some(Found::Module(new))) => Arc::ptr_eq(old, new),
            (Found::Absent(old), Some(Found::Absent(new))) => old == new,
            _ => false,
        };
        self.grounds.iter().all(same)
    }
}

/// The answers that are remembered.
#[derive(Debug)]
pub(crate) struct Memory {
    memos: BTreeMap<(History, ModuleName), Arc<Memo>>,
    /// Larger than all numbers given.
    next: u64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { memos: BTreeMap::new(), next: 2 }
    }
}

impl Memory {
    /// A history that no link has yet.
    pub(crate) fn fresh(&mut self) -> History {
        self.next += 1;
        History(self.next - 1)
    }

    /// What links with this history were answered to that.
    pub(crate) fn get(&self, history: History, name: &ModuleName) -> Option<Arc<Memo>> {
        self.memos.get(&(history, name.clone())).cloned()
    }

    /// Remembers what a link with the history `before` was answered.
    pub(crate) fn put(&mut self, before: History, name: ModuleName, memo: Memo) {
        let key = (before, name);
        if self.memos.len() >= MOST && !self.memos.contains_key(&key) {
            self.memos.clear();
        }
        self.memos.insert(key, Arc::new(memo));
    }
}
