//! A child process that cannot be forgotten.

use crate::fd::Fd;
use crate::tool::Drains;
use mitogen_bootstrap::handshake::Exit;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a process that was sent SIGKILL is waited for.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a context whose handle was dropped may take to end by itself.
const DROP_PATIENCE: Duration = Duration::from_millis(900);

/// A tool's process, leader of a session and process group of its own.
///
/// Dropping it, unless it was [left](Process::leave), kills the group and reaps the process, without waiting and without a runtime. A
/// context gets a moment before that to end what it has started: it sees the end of its link.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    state: Mutex<State>,
    /// Becomes readable when the process ends. Absent where the system has no such thing.
    pidfd: Option<Fd>,
    /// Whether the rest of the group dies with its leader: as long as no context was born.
    group_dies: AtomicBool,
    /// Whether it is nobody's to end any more.
    left: AtomicBool,
    /// The tasks that read what the tool still prints; they end with this.
    drains: Mutex<Drains>,
}

#[derive(Debug)]
enum State {
    Running(Child),
    Reaped(Exit),
}

impl Process {
    /// Takes charge of a process that leads its own process group.
    pub(crate) fn new(child: Child) -> Process {
        let pid = Pid::from_child(&child);
        #[cfg(target_os = "linux")]
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
            .ok()
            .and_then(|fd| Fd::watch(fd).ok());
        #[cfg(not(target_os = "linux"))]
        let pidfd = None;
        Process {
            pid,
            state: Mutex::new(State::Running(child)),
            pidfd,
            group_dies: AtomicBool::new(true),
            left: AtomicBool::new(false),
            drains: Mutex::default(),
        }
    }

    /// The process id. It means nothing any more once the process was waited for.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, if it has.
    pub fn try_wait(&self) -> Option<Exit> {
        let mut state = self.state();
        match &mut *state {
            State::Reaped(exit) => Some(*exit),
            State::Running(child) => {
                if self.group_dies.load(Ordering::Relaxed) {
                    // Look without reaping: until then the group's number cannot be reused.
                    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
                    if !matches!(waitid(WaitId::Pid(self.pid), look), Ok(Some(_))) {
                        return None;
                    }
                    let _ = kill_process_group(self.pid, Signal::KILL);
                }
                let exit = exit_of(child.try_wait().ok().flatten()?);
                *state = State::Reaped(exit);
                Some(exit)
            }
        }
    }

    /// Waits for its end. Any number of callers can; cancel-safe.
    pub async fn wait(&self) -> Exit {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(exit) = self.try_wait() {
                return exit;
            }
            match &self.pidfd {
                // Readiness is never cleared: it says "ended", and that stays true.
                Some(pidfd) if pidfd.readable().await.is_ok() => {
                    if let Some(exit) = self.try_wait() {
                        return exit;
                    }
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Waits for its end for `grace`, then sends SIGTERM to its group, waits as long again, and
    /// sends SIGKILL. `None` if not even that helped (a process that changed its user cannot be
    /// killed; one in an uninterruptible system call dies when that ends).
    pub async fn stop(&self, grace: Duration, term_grace: Duration) -> Option<Exit> {
        if let Ok(exit) = tokio::time::timeout(grace, self.wait()).await {
            return Some(exit);
        }
        self.terminate();
        if let Ok(exit) = tokio::time::timeout(term_grace, self.wait()).await {
            return Some(exit);
        }
        self.kill();
        tokio::time::timeout(KILL_PATIENCE, self.wait()).await.ok()
    }

    /// Leaves it alone from now on: it is no longer ended, whatever happens to this program. As long as
    /// this program and its runtime live it is reaped when it ends. Call it inside a runtime.
    pub fn leave(self) {
        self.left.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            self.wait().await;
        });
    }

    /// Sends SIGTERM to its group.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL to its group.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Under the lock, so that it is not reaped, and its number not given away, meanwhile.
        if let State::Running(_) = &*self.state() {
            // EPERM: it runs as another user now. Its channels are closed instead.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// A context was born: what it starts may outlive it.
    pub(crate) fn release_group(&self) {
        self.group_dies.store(false, Ordering::Relaxed);
    }

    pub(crate) fn keep_drains(&self, drains: Drains) {
        *self.drains.lock().unwrap_or_else(PoisonError::into_inner) = drains;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.try_wait().is_some() || self.left.load(Ordering::Relaxed) {
            return;
        }
        let patience = if self.group_dies.load(Ordering::Relaxed) { Duration::ZERO } else { DROP_PATIENCE };
        if patience.is_zero() {
            self.kill();
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(child) = std::mem::replace(state, State::Reaped(Exit::Signal(9))) {
            reap(child, patience);
        }
    }
}

/// Waits for a process, and kills its group after `patience`, on a thread of its own: a future's
/// drop must not block, and the runtime may be going down.
fn reap(mut child: Child, patience: Duration) {
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    let pid = Pid::from_child(&child);
    let wait = move || {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // It is not reaped yet, so the number is still its own.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait();
    };
    let reaper = std::thread::Builder::new().name("mitogen-reaper".into()).stack_size(64 << 10);
    if reaper.spawn(wait).is_err() {
        // The process stays a zombie until this one ends: the least evil.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Status(-1),
    }
}
