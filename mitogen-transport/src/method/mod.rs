//! Connection methods: options in, a plan out. Nothing here runs anything.

mod custom;
mod local;
mod ssh;

pub use custom::Custom;
pub use local::Local;
pub use ssh::{HostKeys, Ssh};

use mitogen_bootstrap::Interpreter;
use mitogen_bootstrap::plan::BootPlan;
use std::time::Duration;

/// Any connection method with its options.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Method {
    /// A process on this machine.
    Local(Local),
    /// A process on another host, by the system's ssh client.
    Ssh(Box<Ssh>),
    /// A process that a command of the user's leads to.
    Custom(Custom),
}

impl Method {
    /// The hop as users write it: `local`, `ssh:alice@web1:2222`.
    pub fn hop(&self) -> String {
        match self {
            Method::Local(local) => local.hop(),
            Method::Ssh(ssh) => ssh.hop(),
            Method::Custom(custom) => custom.hop(),
        }
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        match self {
            Method::Local(local) => local.plan(),
            Method::Ssh(ssh) => ssh.plan(),
            Method::Custom(custom) => custom.plan(),
        }
    }

    /// How long connecting may take, if its user has said so.
    pub fn connect_timeout(&self) -> Option<Duration> {
        match self {
            Method::Local(local) => local.common.connect_timeout,
            Method::Ssh(ssh) => ssh.common.connect_timeout,
            Method::Custom(custom) => custom.common.connect_timeout,
        }
    }

    /// The context's name, if its user has given one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Method::Local(local) => local.common.name.as_deref(),
            Method::Ssh(ssh) => ssh.common.name.as_deref(),
            Method::Custom(custom) => custom.common.name.as_deref(),
        }
    }

    /// Whether the process that is started is the context itself, and not a tool that leads to it.
    pub fn is_direct(&self) -> bool {
        matches!(self, Method::Local(_))
    }
}

impl From<Local> for Method {
    fn from(local: Local) -> Method {
        Method::Local(local)
    }
}

impl From<Ssh> for Method {
    fn from(ssh: Ssh) -> Method {
        Method::Ssh(Box::new(ssh))
    }
}

impl From<Custom> for Method {
    fn from(custom: Custom) -> Method {
        Method::Custom(custom)
    }
}

/// What all methods have.
#[derive(Clone, Debug, Default)]
struct Common {
    interpreter: Interpreter,
    connect_timeout: Option<Duration>,
    name: Option<String>,
}

/// The setters that all methods share.
macro_rules! common_options {
    ($method:ident) => {
        impl $method {
            /// Uses this Python interpreter (default: the first of the usual names that the target has).
            #[must_use]
            pub fn python(self, path: impl Into<String>) -> $method {
                self.python_argv([path])
            }

            /// Uses this command and its leading arguments as the interpreter.
            #[must_use]
            pub fn python_argv<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> $method {
                let words = words.into_iter().map(Into::into).collect();
                self.common.interpreter = mitogen_bootstrap::Interpreter::Named(words);
                self
            }

            /// How long connecting may take.
            #[must_use]
            pub fn connect_timeout(mut self, after: std::time::Duration) -> $method {
                self.common.connect_timeout = Some(after);
                self
            }

            /// Names the context, for logs.
            #[must_use]
            pub fn name(mut self, name: impl Into<String>) -> $method {
                self.common.name = Some(name.into());
                self
            }
        }
    };
}
use common_options;
