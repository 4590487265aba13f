//! What a pickle has numbered so that it can name it again.

use super::item::Item;
use std::collections::BTreeMap;

/// The memo. CPython 2 numbers from 1, CPython 3 from 0, both without gaps; other numbers are honoured
/// but never make the memory grow by more than the entry.
#[derive(Debug, Default)]
pub(super) struct Memo {
    dense: Vec<Option<Item>>,
    sparse: BTreeMap<u32, Item>,
}

impl Memo {
    pub(super) fn put(&mut self, index: u32, item: Item) {
        let at = index as usize;
        if let Some(slot) = self.dense.get_mut(at) {
            *slot = Some(item);
        } else if at <= self.dense.len() + 1 {
            self.dense.resize(at, None);
            self.dense.push(Some(item));
        } else {
            self.sparse.insert(index, item);
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<Item> {
        // `dense` may have grown over a sparse entry, never the other way round.
        match self.dense.get(index as usize) {
            Some(Some(item)) => Some(*item),
            _ => self.sparse.get(&index).copied(),
        }
    }
}
