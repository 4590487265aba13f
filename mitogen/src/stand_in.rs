//! Stands in for the transport until that has a public API.

use std::fmt;

/// How a context is started.
#[derive(Clone, Debug)]
pub struct Method(());

/// A context on this machine.
#[derive(Clone, Debug, Default)]
pub struct Local(());

impl Local {
    /// A context on this machine, by the first interpreter found.
    pub fn new() -> Local {
        Local(())
    }

    /// With this interpreter.
    #[must_use]
    pub fn python(self, _path: impl Into<String>) -> Local {
        self
    }
}

/// A context on another host.
#[derive(Clone, Debug)]
pub struct Ssh(());

impl Ssh {
    /// A context on this host.
    pub fn new(_host: impl Into<String>) -> Ssh {
        Ssh(())
    }
}

impl From<Local> for Method {
    fn from(_: Local) -> Method {
        Method(())
    }
}

impl From<Ssh> for Method {
    fn from(_: Ssh) -> Method {
        Method(())
    }
}

/// Why a context was not born.
#[derive(Debug)]
pub struct ConnectError(());

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stand-in")
    }
}

impl std::error::Error for ConnectError {}
