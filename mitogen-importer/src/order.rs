//! In which order modules are sent: that in which they will be imported, as far as it can be seen.

use crate::{Module, ModuleName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Modules that are found and not yet sent, and who imports whom of all that were found.
#[derive(Debug, Default)]
pub(crate) struct Order {
    ids: BTreeMap<ModuleName, usize>,
    nodes: Vec<Node>,
    /// What the importing begins with.
    roots: Vec<usize>,
    /// How many bytes of source wait to be taken.
    waiting: usize,
    found: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// Until it is taken.
    module: Option<Arc<Module>>,
    /// In the order in which they are imported.
    needs: Vec<usize>,
}

impl Order {
    /// The importing begins with these, one after the other.
    pub(crate) fn new(roots: impl IntoIterator<Item = ModuleName>) -> Order {
        let mut order = Order::default();
        order.roots = roots.into_iter().map(|name| order.note(&name).0).collect();
        order
    }

    /// How many modules were found.
    pub(crate) fn found(&self) -> usize {
        self.found
    }

    /// A module was found. Calls `fresh` with those of its needs that nobody needed before.
    pub(crate) fn add(
        &mut self,
        module: &Arc<Module>,
        needs: &[ModuleName],
        mut fresh: impl FnMut(ModuleName),
    ) {
        let needs = needs
            .iter()
            .map(|need| {
                let (id, is_new) = self.note(need);
                if is_new {
                    fresh(need.clone());
                }
                id
            })
            .collect();
        let (id, _) = self.note(&module.name);
        self.waiting += module.source.len();
        self.found += 1;
        self.nodes[id] = Node { module: Some(Arc::clone(module)), needs };
    }

    /// Takes so many bytes of source, if there are so many: what is imported first, packages before their members.
    pub(crate) fn take(&mut self, enough: usize) -> Option<Vec<Arc<Module>>> {
        let mut taken = Vec::new();
        if self.waiting >= enough.max(1) {
            let mut size = 0;
            self.walk(|module| {
                size += module.source.len();
                taken.push(module);
                size < enough
            });
            self.waiting -= size;
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// Takes all that is left.
    pub(crate) fn rest(mut self) -> Vec<Arc<Module>> {
        let mut taken = Vec::new();
        self.walk(|module| {
            taken.push(module);
            true
        });
        taken
    }

    fn note(&mut self, name: &ModuleName) -> (usize, bool) {
        if let Some(&id) = self.ids.get(name) {
            return (id, false);
        }
        self.ids.insert(name.clone(), self.nodes.len());
        self.nodes.push(Node::default());
        (self.nodes.len() - 1, true)
    }

    /// Goes the way of the importing, and takes modules from the nodes as long as `more` wants.
    fn walk(&mut self, mut more: impl FnMut(Arc<Module>) -> bool) {
        let mut seen = vec![false; self.nodes.len()];
        let mut todo: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(id) = todo.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let node = &mut self.nodes[id];
            if let Some(module) = node.module.take()
                && !more(module)
            {
                return;
            }
            todo.extend(node.needs.iter().rev().filter(|need| !seen[**need]));
        }
    }
}
