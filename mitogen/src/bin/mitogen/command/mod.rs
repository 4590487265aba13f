//! What each command does on one target.

pub(crate) mod call;
pub(crate) mod doctor;
pub(crate) mod exec;
pub(crate) mod generated;
pub(crate) mod get;
mod held;
pub(crate) mod listen;
pub(crate) mod ping;
pub(crate) mod put;
pub(crate) mod run;
mod together;
pub(crate) mod transfer;
pub(crate) mod tree;

use crate::{
    live::Live,
    outcome::{Answer, Failure},
};
use mitogen::{Context, Error, Router};
use std::time::Duration;

/// The work that a connected context is given.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// A function call.
    Call(mitogen::Call),
    /// A command.
    Exec {
        /// What to run.
        command: mitogen::Command,
        /// How it is called in messages.
        name: String,
        /// Where its output goes as it comes; `None` where it is gathered.
        live: Option<Live>,
    },
    /// So many round trips.
    Ping {
        /// How many.
        count: u32,
        /// The deadline of each.
        timeout: Option<Duration>,
    },
    /// A look at every context on the way.
    Tree {
        /// The deadline of each look.
        timeout: Option<Duration>,
    },
    /// Files to there.
    Put(std::sync::Arc<put::Put>),
    /// Files from there.
    Get(std::sync::Arc<get::Get>),
    /// One call of a function that does nothing worth mentioning.
    FirstCall {
        /// Its deadline.
        timeout: Option<Duration>,
    },
}

/// What work gave: an answer, a failure, or both.
pub(crate) type Gave = (Option<Answer>, Option<Failure>);

impl Work {
    /// Does it in the last of these contexts, which lead to each other and to this target.
    pub(crate) async fn run(&self, router: &Router, contexts: &[Context], target: &str) -> Gave {
        // Every target has a hop.
        let Some(context) = contexts.last() else { return (None, None) };
        let result = match self {
            Work::Tree { timeout } => tree::run(contexts, *timeout).await,
            Work::Call(call) => call::run(context, call.clone()).await,
            Work::Exec { command, name, live } => {
                let live = live.as_ref().map(|live| live.target(target));
                exec::run(context, command.clone(), name, live).await
            }
            Work::Ping { count, timeout } => ping::run(context, *count, *timeout).await,
            Work::Put(put) => put::run(router, contexts, put).await,
            Work::Get(get) => get::run(context, get, target).await,
            Work::FirstCall { timeout } => doctor::first_call(context, *timeout).await,
        };
        result.unwrap_or_else(|error: Error| (None, Some(Failure::from(&error))))
    }
}
