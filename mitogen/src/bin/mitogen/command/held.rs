//! The targets that a listener holds: which are connected, which were lost, and how those are had again.

use crate::{
    fleet::Place,
    grove::{Grove, Ways},
    outcome::{Failure, Kind},
};
use futures_util::future::join_all;
use mitogen::{Context, Event, RemoteError, Router, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc::UnboundedSender;

/// All targets, by their index.
pub(crate) struct Held {
    grove: Grove,
    places: Vec<Place>,
    ways: Vec<Ways>,
    state: Mutex<State>,
    /// Who hears which targets are there again. `None` if those that are lost stay so.
    regained: Option<UnboundedSender<String>>,
}

#[derive(Default)]
struct State {
    there: BTreeMap<usize, Context>,
    /// Why those that were tried are not there. None of them is among the others.
    missing: BTreeMap<usize, String>,
}

impl Held {
    /// None is connected yet.
    pub(crate) fn new(
        (grove, ways): (Grove, Vec<Ways>),
        places: Vec<Place>,
        regained: Option<UnboundedSender<String>>,
    ) -> Arc<Held> {
        Arc::new(Held { grove, places, ways, state: Mutex::default(), regained })
    }

    /// How many targets there are, connected or not.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// Whether no target is there, and none will be.
    pub(crate) fn is_deserted(&self) -> bool {
        self.regained.is_none() && self.is_empty()
    }

    /// Whether no target is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().there.is_empty()
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.places[index].target.to_string()
    }

    /// Connects a target, or waits until that is done.
    ///
    /// # Errors
    /// It cannot be had: why.
    pub(crate) async fn connect(&self, index: usize) -> Result<Context, Failure> {
        let place = &self.places[index];
        let result = match self.grove.contexts(place, &self.ways[index], place.methods.len()).await {
            Ok(mut contexts) => match contexts.pop() {
                Some(context) => Ok(context),
                None => Err(Failure::new(Kind::Internal, "a target without a hop")),
            },
            Err(failure) => Err(failure),
        };
        let mut state = self.state();
        match &result {
            Ok(context) => {
                // Two clients may have waited for the same.
                let was_missing = state.missing.remove(&index).is_some();
                state.there.insert(index, context.clone());
                drop(state);
                tracing::info!("{}: context {}", self.name(index), context.id());
                if let (true, Some(regained)) = (was_missing, &self.regained) {
                    // Nobody listens any more when it is about to end.
                    let _ = regained.send(self.name(index));
                }
            }
            Err(failure) => drop(state.missing.insert(index, failure.message.clone())),
        }
        result
    }

    /// What is gone, with the reason: the targets that an event tells the loss of.
    pub(crate) fn take_lost(&self, router: &Router, event: &Event) -> Vec<(String, String)> {
        let mut state = self.state();
        let reason = |context: &Context| match event {
            Event::Lost { context: lost, reason } => (lost.id == context.id()).then(|| reason.to_string()),
            Event::Missed(_) => router.context(context.id()).is_none().then(|| "it is gone".to_owned()),
            _ => None,
        };
        let gone: Vec<(usize, String)> =
            state.there.iter().filter_map(|(index, context)| Some((*index, reason(context)?))).collect();
        for (index, reason) in &gone {
            state.there.remove(index);
            state.missing.insert(*index, format!("it was lost: {reason}"));
        }
        drop(state);
        gone.into_iter().map(|(index, reason)| (self.name(index), reason)).collect()
    }

    /// The targets that are there, each with its name, in their order; lost ones are connected before, if they may be.
    pub(crate) async fn all(&self) -> Vec<(String, Context)> {
        if self.regained.is_some() {
            join_all((0..self.count()).map(|index| self.one(index))).await;
        }
        let there = self.state().there.clone();
        there.into_iter().map(|(index, context)| (self.name(index), context)).collect()
    }

    /// The context of a target, for a client: `None` if there is no such target. One that is being connected is
    /// waited for, one that was lost is connected again, if it may be.
    ///
    /// # Errors
    /// It is not there: why.
    pub(crate) async fn find(&self, target: &str) -> Result<Value, RemoteError> {
        let Some(index) = (0..self.count()).find(|index| self.name(*index) == target) else {
            return Ok(Value::None);
        };
        let context = self.one(index).await.map_err(|why| {
            let hint = match self.regained {
                Some(_) => "",
                None => " (`mitogen listen --reconnect` connects anew what was lost)",
            };
            RemoteError::new("mitogen.core.StreamError", format!("{target}: {why}{hint}"))
        })?;
        mitogen::to_value(&context).map_err(|error| RemoteError::new("mitogen.core.Error", error.to_string()))
    }

    async fn one(&self, index: usize) -> Result<Context, String> {
        let missing = {
            let state = self.state();
            match state.there.get(&index) {
                Some(context) if context.is_connected() => return Ok(context.clone()),
                // The news of its loss is still on its way.
                Some(_) => Some("it was lost".to_owned()),
                None => state.missing.get(&index).cloned(),
            }
        };
        if let Some(why) = missing {
            if self.regained.is_none() {
                return Err(why);
            }
            self.grove.forget_lost(&self.ways[index]);
        }
        self.connect(index).await.map_err(|failure| failure.message)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
