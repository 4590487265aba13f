//! Starts a plan's tool with its descriptors wired.
//!
//! Every descriptor of ours is close-on-exec from its first moment; the child has 0, 1 and 2 and
//! nothing else. It leads a session of its own, so that a Ctrl-C on the user's terminal is not its
//! business and it cannot ask there.

use crate::descriptors::limit_of_children;
use crate::fd::Fd;
use crate::process::Process;
use crate::pty::{self, Pty};
use mitogen_bootstrap::plan::{BootPlan, Comms, EnvChange, FailureKind, Stderr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A running tool and our ends of its channels.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) process: Process,
    pub(crate) read: Arc<Fd>,
    pub(crate) write: Arc<Fd>,
    pub(crate) stderr: Option<Fd>,
    pub(crate) terminal: Option<Terminal>,
}

/// Our end of the tool's controlling terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) master: Arc<Fd>,
    /// Kept open while the tool runs: if nobody had it open, the system would take the terminal
    /// away from its session. `None` where the tool itself holds it as its standard output.
    pub(crate) slave: Option<OwnedFd>,
}

/// Starts the tool.
///
/// # Errors
/// The kind of failure and its text.
pub(crate) fn spawn(plan: &BootPlan) -> Result<Spawned, (FailureKind, String)> {
    let program = plan.argv.first().map(String::as_str).unwrap_or_default();
    try_spawn(plan).map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => FailureKind::ToolMissing,
            _ => FailureKind::Io,
        };
        (kind, format!("{program}: {error}"))
    })
}

fn try_spawn(plan: &BootPlan) -> io::Result<Spawned> {
    let (program, arguments) = plan
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the plan has no command"))?;
    let wants_pty = plan.wiring.terminal || plan.wiring.comms == Comms::Pty;
    let pty = if wants_pty { Some(pty::open()?) } else { None };

    let (read, write, child_in, child_out) = wire_comms(plan.wiring.comms, pty.as_ref())?;
    let (stderr, child_err) = match (plan.wiring.stderr, &pty) {
        (Stderr::Merged, _) | (Stderr::Terminal, None) => (None, child_out.try_clone()?),
        (Stderr::Terminal, Some(pty)) => (None, pty.slave.try_clone()?),
        (Stderr::Apart, _) => {
            let (reader, writer) = io::pipe()?;
            (Some(Fd::new(reader.into())?), writer.into())
        }
    };

    let mut command = Command::new(program);
    command.args(arguments);
    command.stdin(Stdio::from(child_in)).stdout(Stdio::from(child_out)).stderr(Stdio::from(child_err));
    if std::env::var_os("PATH").is_none() {
        // A shell without it has one of its own, by which it finds a Python that does not know it and hence not
        // where it is itself.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    }
    for change in &plan.env {
        match change {
            EnvChange::Set(name, value) => command.env(name, value),
            EnvChange::Unset(name) => command.env_remove(name),
        };
    }
    let slave = pty.as_ref().map(|pty| pty.slave.try_clone()).transpose()?;
    let descriptors = limit_of_children();
    let prepare = move || {
        rustix::process::setsid()?;
        if let Some(limit) = &descriptors {
            // What it had before cannot be too much.
            let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, *limit);
        }
        if let Some(slave) = &slave {
            rustix::process::ioctl_tiocsctty(slave)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes three system calls and touches no memory but
    // its own: no allocation, no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
    let child = command.spawn()?;
    let process = Process::new(child);
    // Our copies of the child's ends go with the command and must be gone before anything is read.
    drop(command);

    let (read, write) = match (&pty, plan.wiring.comms) {
        (Some(_), Comms::Pty) => (None, None),
        _ => (read, write),
    };
    let terminal = match pty {
        None => None,
        Some(Pty { master, slave }) => {
            let slave = (plan.wiring.comms != Comms::Pty).then_some(slave);
            Some(Terminal { master: Arc::new(Fd::new(master)?), slave })
        }
    };
    let comms = |end: Option<OwnedFd>, other: Option<&Arc<Fd>>| match (end, other, &terminal) {
        (Some(end), _, _) => Fd::new(end).map(Arc::new),
        (None, Some(other), _) => Ok(Arc::clone(other)),
        (None, None, Some(terminal)) => Ok(Arc::clone(&terminal.master)),
        (None, None, None) => Err(io::ErrorKind::InvalidInput.into()),
    };
    let read = comms(read, None)?;
    let write = comms(write, Some(&read))?;
    Ok(Spawned { process, read, write, stderr, terminal })
}

type CommsEnds = (Option<OwnedFd>, Option<OwnedFd>, OwnedFd, OwnedFd);

/// Our reading end, our writing end if it is another, and the child's two.
fn wire_comms(comms: Comms, pty: Option<&Pty>) -> io::Result<CommsEnds> {
    match (comms, pty) {
        (Comms::Pty, Some(pty)) => Ok((None, None, pty.slave.try_clone()?, pty.slave.try_clone()?)),
        (Comms::Pipes, _) => {
            let (our_read, child_out) = io::pipe()?;
            let (child_in, our_write) = io::pipe()?;
            Ok((Some(our_read.into()), Some(our_write.into()), child_in.into(), child_out.into()))
        }
        (Comms::SocketPair | Comms::Pty, _) => {
            let (ours, childs) = UnixStream::pair()?;
            let child_out = childs.try_clone()?;
            Ok((Some(ours.into()), None, childs.into(), child_out.into()))
        }
    }
}
