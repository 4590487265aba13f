//! Pseudo terminals, close-on-exec from their first moment.

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Both ends of a fresh pty.
#[derive(Debug)]
pub(crate) struct Pty {
    pub(crate) master: OwnedFd,
    pub(crate) slave: OwnedFd,
}

/// Opens a pty in the system's default mode, in which it echoes: a tool that asks for a secret
/// turns the echo off, and that is how it is known to ask.
pub(crate) fn open() -> io::Result<Pty> {
    #[cfg(target_os = "linux")]
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    #[cfg(not(target_os = "linux"))]
    let master = {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
        master
    };
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Pty { master, slave })
}

/// Whether the terminal echoes what is typed. (A master shows its slave's mode.)
pub(crate) fn echoes(master: impl AsFd) -> bool {
    tcgetattr(master).map_or(true, |mode| mode.local_modes.contains(LocalModes::ECHO))
}

/// Makes the terminal pass all bytes unchanged, both ways.
pub(crate) fn make_raw(master: impl AsFd) -> io::Result<()> {
    let mut mode = tcgetattr(&master)?;
    mode.make_raw();
    Ok(tcsetattr(&master, OptionalActions::Now, &mode)?)
}
