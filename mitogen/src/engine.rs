//! What drives the runtime of a blocking router.
//!
//! Whoever waits drives: the answer to a call then wakes exactly the thread that wants it, with no
//! hand-over between threads. Somebody must drive between calls too, so that logs and output of
//! the contexts keep flowing and ended processes are reaped: that is a thread in the background,
//! which takes over when nobody has waited for [`QUIET`] and gives way when somebody does.
//!
//! ```text
//!   callers   ──block_on──┐       ┌──block_on──┐┌──block_on──┐
//!   idler     ··sleeps····└─QUIET─┤ drives IO  ├ gives way ...
//! ```

use crate::error::Error;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Notify;

/// How long after the last wait the background thread takes over.
const QUIET: Duration = Duration::from_millis(10);

/// A runtime with its background thread.
pub(crate) struct Engine {
    inner: Arc<Inner>,
    idler: Option<JoinHandle<()>>,
}

struct Inner {
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
    state: Mutex<State>,
    /// Wakes the background thread from its sleep; only for the end.
    wake: Condvar,
    /// Takes the background thread out of the runtime.
    give_way: Notify,
}

#[derive(Default)]
struct State {
    /// Threads inside [`Engine::block_on`].
    waiting: usize,
    /// How many times somebody has waited: tells a pause from a quick succession.
    turns: u64,
    /// Whether the background thread is inside the runtime.
    idler_drives: bool,
    ended: bool,
}

impl Engine {
    pub(crate) fn new() -> Result<Engine, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|source| Error::Local { what: "make a runtime", source })?;
        let inner = Arc::new(Inner {
            runtime: Some(runtime),
            state: Mutex::default(),
            wake: Condvar::new(),
            give_way: Notify::new(),
        });
        let for_idler = Arc::clone(&inner);
        let idler = std::thread::Builder::new()
            .name("mitogen-idle".to_owned())
            .spawn(move || for_idler.drive_while_idle())
            .map_err(|source| Error::Local { what: "start a thread", source })?;
        Ok(Engine { inner, idler: Some(idler) })
    }

    /// Drives the runtime until the future is ready.
    ///
    /// A thread that belongs to another runtime may not drive this one: another thread does it then,
    /// and this one waits.
    ///
    /// # Panics
    /// Where it would have to start a thread and cannot.
    pub(crate) fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let _turn = Turn::begin(&self.inner);
        if Handle::try_current().is_err() {
            return self.inner.runtime().block_on(future);
        }
        let waited = std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("mitogen-wait".to_owned());
            let helper = helper.spawn_scoped(scope, || self.inner.runtime().block_on(future));
            helper.expect("a blocking call inside an async runtime needs a thread").join()
        });
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs `body` with the runtime at hand, for what spawns tasks or makes timers.
    pub(crate) fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        let _entered = self.inner.runtime().enter();
        body()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.inner.state().ended = true;
        self.inner.wake.notify_one();
        self.inner.give_way.notify_one();
        if let Some(idler) = self.idler.take() {
            // It only fails when it panicked, which its thread has said already.
            let _ = idler.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A thread of another runtime may not wait for the last of its threads.
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only a drop takes the runtime")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drive_while_idle(&self) {
        let mut state = self.state();
        let mut seen = state.turns;
        while !state.ended {
            if state.waiting > 0 || state.turns != seen {
                seen = state.turns;
                state = self.wake.wait_timeout(state, QUIET).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.idler_drives = true;
            drop(state);
            self.runtime().block_on(self.give_way.notified());
            state = self.state();
            state.idler_drives = false;
        }
    }
}

/// One thread's stay inside `block_on`.
struct Turn<'a>(&'a Inner);

impl<'a> Turn<'a> {
    fn begin(inner: &'a Inner) -> Turn<'a> {
        let mut state = inner.state();
        state.waiting += 1;
        state.turns = state.turns.wrapping_add(1);
        if state.idler_drives {
            inner.give_way.notify_one();
        }
        Turn(inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
