//! The options that every command takes.

use super::values::{seconds, ssh_option};
use crate::agent::Choice;
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::{path::PathBuf, time::Duration};

/// The options that every command takes.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct Common {
    /// Where to work; repeatable, with ranges: ssh:web[01-20]
    #[arg(short, long, value_name = "TARGET", help_heading = "Targets")]
    pub(crate) target: Vec<String>,
    /// A file with a target a line (`-`: stdin); # starts a comment
    #[arg(long, value_name = "FILE", help_heading = "Targets", value_hint = ValueHint::FilePath)]
    pub(crate) targets_file: Vec<PathBuf>,
    /// How many targets at once [default: 32]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Targets")]
    pub(crate) forks: Option<u32>,
    /// The remote interpreter, at every hop [default: the first found of python3, python, python2, platform-python]
    #[arg(long, value_name = "PATH", help_heading = "Targets")]
    pub(crate) python: Option<String>,

    /// Where modules are looked for that a target imports and does not have; repeatable
    #[arg(long, value_name = "DIR", help_heading = "Modules", value_hint = ValueHint::DirPath)]
    pub(crate) path: Vec<PathBuf>,

    /// How long a connection may take [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true, help_heading = "Deadlines")]
    pub(crate) connect_timeout: Option<Duration>,
    /// How long a call may take [default: for ever]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true, help_heading = "Deadlines")]
    pub(crate) timeout: Option<Duration>,

    /// Ask for the login password, once, on the terminal
    #[arg(long, help_heading = "Connection")]
    pub(crate) ask_pass: bool,
    /// Read the login password from the first line of FILE
    #[arg(long, value_name = "FILE", help_heading = "Connection", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// Ask for the password of sudo, su and doas, once, on the terminal
    #[arg(long, help_heading = "Connection")]
    pub(crate) ask_become_pass: bool,
    /// Read the password of sudo, su and doas from the first line of FILE
    #[arg(long, value_name = "FILE", help_heading = "Connection", value_hint = ValueHint::FilePath)]
    pub(crate) become_password_file: Option<PathBuf>,
    /// A TOML file with connection methods of your own; repeatable
    #[arg(long, value_name = "FILE", help_heading = "Connection", value_hint = ValueHint::FilePath)]
    pub(crate) methods: Vec<PathBuf>,
    /// What to do about unknown and changed host keys [default: enforce]
    #[arg(long, value_name = "POLICY", help_heading = "Connection")]
    pub(crate) host_keys: Option<HostKeyPolicy>,
    /// The ssh_config to use instead of the user's
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "Connection", value_hint = ValueHint::FilePath)]
    pub(crate) ssh_config: Option<PathBuf>,
    /// An option for ssh, as in ssh_config; repeatable
    #[arg(short = 'o', long, value_name = "K=V", value_parser = ssh_option, help_heading = "Connection")]
    pub(crate) ssh_option: Vec<String>,
    /// The private key to log in with
    #[arg(short = 'i', long, value_name = "FILE", help_heading = "Connection", value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,
    /// Send frames without signatures
    #[arg(long, help_heading = "Connection")]
    pub(crate) unsigned: bool,
    /// What to run at the far end: builtin, or upstream[=PACKAGE_DIR], the core of an installed mitogen package [default: builtin]
    #[arg(long, value_name = "AGENT", help_heading = "Connection")]
    pub(crate) agent: Option<Choice>,

    /// The form of the results: text; one JSON document; a JSON line for each result as it arrives [default: text]
    #[arg(long, value_name = "FORM", help_heading = "Output")]
    pub(crate) output: Option<Form>,
    /// The same as --output json
    #[arg(long, help_heading = "Output", conflicts_with = "output")]
    pub(crate) json: bool,
    /// Gather identical results under one heading
    #[arg(short = 'b', long, help_heading = "Output")]
    pub(crate) gather: bool,
    /// When to use colours (NO_COLOR is honoured) [default: auto]
    #[arg(long, value_name = "WHEN", help_heading = "Output")]
    pub(crate) color: Option<When>,
    /// Show the phases of connections; -vv the protocol; -vvv frames, without payloads
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Show results and errors only: no progress, no logs, no remote output
    #[arg(short, long, help_heading = "Output", conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// What to do about unknown and changed host keys.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostKeyPolicy {
    /// Refuse both
    Enforce,
    /// Accept and remember unknown ones, refuse changed ones
    AcceptNew,
    /// Accept any, remember none
    Ignore,
}

/// The form of the results.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people
    Text,
    /// One document
    Json,
    /// One line for each result
    Jsonl,
}

/// When to use colours.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// On terminals, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Common {
    /// Options of two places: lists are joined, of single values the later wins.
    pub(super) fn merge(mut self, later: Self) -> Self {
        self.target.extend(later.target);
        self.targets_file.extend(later.targets_file);
        self.ssh_option.extend(later.ssh_option);
        self.methods.extend(later.methods);
        self.path.extend(later.path);
        // The form has two names: whichever stands later counts.
        let (output, json) = match (later.output, later.json) {
            (None, false) => (self.output, self.json),
            stated => stated,
        };
        Self {
            forks: later.forks.or(self.forks),
            python: later.python.or(self.python),
            connect_timeout: later.connect_timeout.or(self.connect_timeout),
            timeout: later.timeout.or(self.timeout),
            ask_pass: self.ask_pass || later.ask_pass,
            password_file: later.password_file.or(self.password_file),
            ask_become_pass: self.ask_become_pass || later.ask_become_pass,
            become_password_file: later.become_password_file.or(self.become_password_file),
            methods: self.methods,
            host_keys: later.host_keys.or(self.host_keys),
            ssh_config: later.ssh_config.or(self.ssh_config),
            identity: later.identity.or(self.identity),
            unsigned: self.unsigned || later.unsigned,
            agent: later.agent.or(self.agent),
            output,
            json,
            gather: self.gather || later.gather,
            color: later.color.or(self.color),
            verbose: self.verbose.saturating_add(later.verbose),
            quiet: self.quiet || later.quiet,
            target: self.target,
            targets_file: self.targets_file,
            ssh_option: self.ssh_option,
            path: self.path,
        }
    }

    /// The form of the results.
    pub(crate) fn form(&self) -> Form {
        if self.json { Form::Json } else { self.output.unwrap_or(Form::Text) }
    }
}
