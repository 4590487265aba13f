//! Answers in the form of the standard protocol, for peers that are no agents of ours: one module a message.

use crate::{Answer, Module, ModuleName};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How a neighbour wants its modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As our agents: all that belongs to a request in bundles, absences and their reasons among them.
    #[default]
    Bundles,
    /// As the standard protocol has it: each module by itself ([`Answer::deliveries`]).
    Standard,
}

/// One message of the standard protocol: a module, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The full name.
    pub name: ModuleName,
    /// The module; `None` if there is none of this name.
    pub module: Option<Arc<Module>>,
    /// What it will import of what the receiver has by then, sorted: what a receiver that passes the module on
    /// sends ahead of it.
    pub related: Vec<ModuleName>,
}

impl Answer {
    /// The messages of this answer, in their order: what was asked for comes last, because whoever waits for it
    /// imports it at once. Nothing if it had been sent before.
    ///
    /// Of absences only that of the module asked for is told. Unasked, the protocol knows none.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let sent = self.modules.iter().map(|module| &module.name);
        let there: BTreeSet<&ModuleName> = sent.chain(&self.before).collect();
        let (asked, others): (Vec<_>, Vec<_>) =
            self.modules.iter().partition(|module| module.name == self.name);
        let mut deliveries: Vec<Delivery> = others
            .into_iter()
            .map(|module| {
                let mut related: Vec<ModuleName> =
                    module.needs.iter().filter(|need| there.contains(need)).cloned().collect();
                related.sort();
                Delivery { name: module.name.clone(), module: Some(Arc::clone(module)), related }
            })
            .collect();
        if let Some(module) = asked.first() {
            let related = there.iter().filter(|&&name| *name != self.name).map(|&name| name.clone());
            deliveries.push(Delivery {
                name: self.name.clone(),
                module: Some(Arc::clone(module)),
                related: related.collect(),
            });
        } else if self.absent.iter().any(|(name, _)| *name == self.name) {
            deliveries.push(Delivery { name: self.name.clone(), module: None, related: Vec::new() });
        }
        deliveries
    }
}
