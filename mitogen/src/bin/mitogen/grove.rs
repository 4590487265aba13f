//! The contexts on the ways to all targets: what several share is connected once, and goes with the last
//! that needs it.

use crate::{
    connect::CONNECT_TIMEOUT,
    fleet::Place,
    logs::{Names, PHASES},
    outcome::{Failure, Kind},
    target::Target,
};
use mitogen::{Context, Error, Method, Phase, Router};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// A context that is connected when it is first wanted; a failure is everybody's, so that a wrong password is tried
/// once.
type Slot = Arc<OnceCell<Result<Context, Failure>>>;

/// All contexts that are wanted, by the way to each.
pub(crate) struct Grove {
    router: Router,
    names: Names,
    /// How many still want it, and the context.
    slots: Mutex<BTreeMap<String, (usize, Slot)>>,
}

/// The ways to a target's contexts, this machine's child first.
pub(crate) struct Ways(Vec<String>);

/// After how long it is tried again where a server has no room for another login: sshd lets ten be under way, and then
/// fewer and fewer more.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_millis(1500),
    Duration::from_secs(2),
];

impl Grove {
    /// Of these places; gives the ways of each, in their order.
    pub(crate) fn new(router: Router, names: Names, places: &[Place]) -> (Self, Vec<Ways>) {
        let mut slots: BTreeMap<String, (usize, Slot)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut all = Vec::with_capacity(places.len());
        for (index, place) in places.iter().enumerate() {
            let mut ways = prefixes(&place.target);
            // A target that is named twice is two contexts.
            if let Some(last) = ways.last_mut()
                && !seen.insert(last.clone())
            {
                *last = format!("{last} #{index}");
            }
            for way in &ways {
                slots.entry(way.clone()).or_default().0 += 1;
            }
            all.push(Ways(ways));
        }
        (Self { router, names, slots: Mutex::new(slots) }, all)
    }

    /// The contexts on the way to a place, connected as far as `count` hops.
    ///
    /// # Errors
    /// The failure of the first hop that cannot be had.
    pub(crate) async fn contexts(
        &self,
        place: &Place,
        ways: &Ways,
        count: usize,
    ) -> Result<Vec<Context>, Failure> {
        let mut contexts: Vec<Context> = Vec::with_capacity(count);
        for (at, way) in ways.0.iter().enumerate().take(count) {
            let slot = {
                let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
                slots.get(way).map(|(_, slot)| Arc::clone(slot)).unwrap_or_default()
            };
            let connect = async || {
                let target = Target::of(&place.target.hops()[..=at]).to_string();
                let connected = self.connect(contexts.last(), &place.methods[at], &target).await;
                match connected {
                    Ok(context) => {
                        self.names.learn(context.id(), &target);
                        Ok(context)
                    }
                    Err(error) => Err(named(Failure::from(&error), place, at)),
                }
            };
            contexts.push(slot.get_or_init(connect).await.clone()?);
        }
        Ok(contexts)
    }

    /// Has those contexts on the way to a place that are gone, or could not be had, connected anew when they are wanted
    /// next. What was refused for a password or a host's key stays refused: it is not for a program to insist.
    pub(crate) fn forget_lost(&self, ways: &Ways) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for way in &ways.0 {
            let Some((_, slot)) = slots.get_mut(way) else { continue };
            let is_stale = match slot.get() {
                Some(Ok(context)) => !context.is_connected(),
                Some(Err(failure)) => !matches!(failure.kind, Kind::Auth | Kind::HostKey),
                // It is being connected.
                None => false,
            };
            if is_stale {
                *slot = Slot::default();
            }
        }
    }

    /// Takes in a context that was connected elsewhere, so that it is shut down with the others.
    pub(crate) fn keep(&self, ways: &Ways, context: Context) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = ways.0.last().and_then(|way| slots.get(way)) {
            // Somebody else has connected it too: the router ends both.
            let _ = slot.set(Ok(context));
        }
    }

    /// The place is done: what nobody else wants is shut down, the farthest first.
    pub(crate) async fn release(&self, ways: &Ways) {
        for way in ways.0.iter().rev() {
            let unwanted = {
                let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
                match slots.get_mut(way) {
                    Some((users, _)) if *users > 1 => {
                        *users -= 1;
                        None
                    }
                    _ => slots.remove(way),
                }
            };
            if let Some((_, slot)) = unwanted
                && let Some(Ok(context)) = slot.get()
                && let Err(error) = context.shutdown().await
            {
                tracing::warn!("{way} could not be shut down in good order: {error}");
            }
        }
    }

    async fn connect(&self, via: Option<&Context>, method: &Method, target: &str) -> Result<Context, Error> {
        let mut observe = |phase: Phase, at: Duration| {
            tracing::info!(target: PHASES, "{target}: phase {phase} at {:.1} ms", at.as_secs_f64() * 1000.0);
        };
        let start = Instant::now();
        let patience = method.connect_timeout().unwrap_or(CONNECT_TIMEOUT);
        let mut pauses = PAUSES.iter();
        loop {
            let connected = match via {
                None => self.router.connect_observed(method.clone(), &mut observe).await,
                Some(via) => via.connect_observed(method.clone(), &mut observe).await,
            };
            match (&connected, pauses.next()) {
                (Err(Error::Connect(error)), Some(pause))
                    if error.is_turned_away() && start.elapsed() + *pause < patience =>
                {
                    tracing::info!(target: PHASES, "{target}: turned away; once more in {} s", pause.as_secs_f64());
                    tokio::time::sleep(*pause).await;
                }
                _ => {
                    if connected.is_ok() {
                        tracing::info!(target: PHASES, "{target}: connected");
                    }
                    return connected;
                }
            }
        }
    }
}

/// The failure with its hop as the target has it: the library knows it only as it would write it.
pub(crate) fn named(mut failure: Failure, place: &Place, at: usize) -> Failure {
    let hop = place.target.hops()[at].to_string();
    failure.hop = failure.hop.map(|_| hop);
    failure
}

fn prefixes(target: &Target) -> Vec<String> {
    (1..=target.hops().len()).map(|count| Target::of(&target.hops()[..count]).to_string()).collect()
}
