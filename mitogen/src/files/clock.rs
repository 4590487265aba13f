//! Looks at the clock: receivers that acknowledge nothing any more, links that take nothing, senders from whom nothing
//! comes, agents that do not answer.

use super::server::{Server, lock};
use mitogen_wire::ContextId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// The time of a scheduler: that in which this program itself was stopped (Ctrl-Z) does not count, since what came
/// meanwhile was not read. While nothing is waited for it stands still.
pub(super) struct Clock {
    start: Instant,
    /// When it was last looked at, and how much time does not count.
    looked: Mutex<(Duration, Duration)>,
    /// How long a silence may be.
    pub(super) patience: Duration,
}

/// Of each link that files wait for how much waits in its queue, and since when that has not become less.
pub(super) type Queues = BTreeMap<ContextId, (usize, Duration)>;

impl Clock {
    pub(super) fn new(patience: Duration) -> Clock {
        Clock { start: Instant::now(), looked: Mutex::default(), patience }
    }

    /// Waits until nothing has come for so long, by this count.
    pub(super) async fn silence(&self, limit: Duration, came: impl Fn() -> u64) {
        let step = self.step().min(limit);
        let (mut since, mut seen) = (self.now(), came());
        loop {
            tokio::time::sleep(step).await;
            let (now, count) = (self.now(), came());
            if std::mem::replace(&mut seen, count) != count {
                since = now;
            } else if now.saturating_sub(since) >= limit {
                return;
            }
        }
    }

    /// How often it is looked at.
    fn step(&self) -> Duration {
        (self.patience / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    pub(super) fn now(&self) -> Duration {
        let now = self.start.elapsed();
        let mut looked = lock(&self.looked);
        let (before, stopped) = *looked;
        let gap = now.saturating_sub(before);
        // Somebody looks at every step. A machine that is busy is late, too.
        let lost = if gap > self.step() * 4 { gap - self.step() } else { Duration::ZERO };
        *looked = (now.max(before), stopped + lost);
        now.saturating_sub(stopped + lost)
    }
}

/// Looks until nothing is waited for.
pub(super) async fn watch(server: Weak<Server>) {
    let Some(step) = server.upgrade().map(|server| server.clock.step()) else { return };
    loop {
        tokio::time::sleep(step).await;
        let Some(server) = server.upgrade() else { return };
        if server.look() {
            return;
        }
    }
}

impl Server {
    /// Says whether nothing is waited for.
    fn look(self: &Arc<Self>) -> bool {
        let now = self.now();
        let busy: Vec<ContextId> = lock(&self.state).machine.busy().collect();
        let shared = self.shared();
        let queued = |link| shared.as_ref().and_then(|shared| shared.queue_of(link));
        let queued: Vec<(ContextId, usize)> =
            busy.into_iter().map(|link| (link, queued(link).map_or(0, |watch| watch.queued()))).collect();
        self.apply(|state| {
            state.machine.handle_time(now);
            let before = std::mem::take(&mut state.queues);
            for (link, queued) in queued {
                let since = match before.get(&link) {
                    Some(&(before, since)) if queued > 0 && queued >= before => since,
                    _ => now,
                };
                if now.saturating_sub(since) >= self.clock.patience {
                    state.machine.handle_blocked(link);
                } else {
                    state.queues.insert(link, (queued, since));
                }
            }
            let idle = state.machine.is_idle();
            state.watched = !idle;
            idle
        })
    }
}
