//! A context by any command that runs another command.

use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, Comms, Stderr, Wiring};

/// A process that a command of the user's choice leads to: one that runs the words behind its own, in
/// another namespace, say, or under other limits. It must leave standard input and output alone and ask
/// nothing.
///
/// ```
/// use mitogen_transport::Custom;
///
/// let jailed = Custom::new("firejail", ["--net=none", "--quiet"]).python("python3");
/// assert_eq!(jailed.hop(), "custom:firejail");
/// assert_eq!(jailed.plan().argv[..4], ["firejail", "--net=none", "--quiet", "sh"]);
/// ```
#[derive(Clone, Debug)]
pub struct Custom {
    argv: Vec<String>,
    wiring: Wiring,
    pub(super) common: Common,
}

common_options!(Custom);

impl Custom {
    /// Runs `program` with these arguments and the boot command behind them.
    pub fn new<S: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = S>) -> Custom {
        let argv = [program.into()].into_iter().chain(args.into_iter().map(Into::into)).collect();
        Custom { argv, wiring: Wiring::PLAIN, common: Common::default() }
    }

    /// Takes what the command says on standard error for part of its standard output, for those that do
    /// not keep the two apart.
    #[must_use]
    pub fn merged(mut self) -> Custom {
        self.wiring = Wiring { stderr: Stderr::Merged, ..Wiring::PLAIN };
        self
    }

    /// Gives the command two pipes in place of a socket, for those that hand their descriptors across a
    /// border where sockets may not pass.
    #[must_use]
    pub fn pipes(mut self) -> Custom {
        self.wiring = Wiring { comms: Comms::Pipes, ..Wiring::PLAIN };
        self
    }

    /// Runs the command on a terminal, for those that insist on one.
    #[must_use]
    pub fn terminal(mut self) -> Custom {
        self.wiring = Wiring::PTY;
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("custom:{}", self.argv[0])
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        BootPlan {
            hop: self.hop(),
            argv: self.argv.iter().cloned().chain(boot_command(&self.common.interpreter)).collect(),
            env: Vec::new(),
            wiring: self.wiring,
            logs_in: true,
            prompts: Vec::new(),
            failures: Vec::new(),
            hint: None,
        }
    }
}
