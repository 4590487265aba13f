//! Servers of a testbed, each known by a file with its process id: the process is ours while its command line names
//! something of ours.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sh::{self, Context, Result, fail};

const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a program that stays in the foreground, in a session of its own, unless it runs. What it prints goes to `log`.
pub(super) fn start(command: &mut Command, pid_file: &Path, mark: &str, log: &Path) -> Result<()> {
    if running(pid_file, mark).is_some() {
        return Ok(());
    }
    let output = File::create(log).context(log.display())?;
    // It takes no fork to lead a session, so the process id is the program's.
    let mut detached = Command::new("setsid");
    detached.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(name, value),
            None => detached.env_remove(name),
        };
    }
    let errors = output.try_clone().context(log.display())?;
    detached.current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
    let child = detached.spawn().context(sh::shown(command))?;
    sh::write(pid_file, format!("{}\n", child.id()), 0o644)
}

/// Waits until `ready` says so.
pub(super) fn wait_for(what: &str, log: &Path, mut ready: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        if Instant::now() > deadline {
            fail!("{what} does not start:\n{}", sh::tail(&sh::read(log).unwrap_or_default(), 5));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The process of this file, if its command line has `mark` in it.
pub(super) fn running(pid_file: &Path, mark: &str) -> Option<Pid> {
    let pid: i32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    String::from_utf8_lossy(&cmdline).contains(mark).then(|| Pid::from_raw(pid))?
}

/// Ends it, if it runs.
pub(super) fn stop(pid_file: &Path, mark: &str) -> Result<()> {
    let Some(pid) = running(pid_file, mark) else { return Ok(()) };
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while running(pid_file, mark).is_some() {
        if Instant::now() > deadline {
            fail!("{} (pid {}) does not end", pid_file.display(), pid.as_raw_nonzero());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
