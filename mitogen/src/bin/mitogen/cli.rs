//! The command line's grammar.
//!
//! The options common to all commands may stand before and behind the command's name. They are therefore declared
//! in both places and merged, what stands later winning (clap's own global options would drop the earlier ones).

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::{path::PathBuf, time::Duration};

const AFTER_HELP: &str = "\
Targets:
  local                           a context on this machine (when no target is given)
  local?python=python2.7          with another interpreter; a / in a value is written %2F
  ssh:alice@web1:2222             over the system's ssh client; ssh_config counts as for `ssh web1`
  ssh:web[01-20]                  twenty targets
  ssh:bastion/ssh:db1             a host behind another, to any depth; what targets share is connected once

Examples:
  mitogen call os.getpid
  mitogen -t ssh:web1 call os.uname
  mitogen -t 'ssh:web[01-20]' -b exec -- uname -r
  mitogen -t ssh:web1 doctor

Exit status:
  0    all well
  1    a call failed
  2    wrong usage
  4    a target was unreachable or lost
  5    authentication or host key refused
  6    a deadline passed
  70   a fault of mitogen's own
  130  interrupted
  Of several failures the highest of 4 to 6, else 1.
  exec on a single target: the status of the remote command.";

/// Run functions and commands on machines that have nothing but ssh and Python.
///
/// No package, no file and no open port is needed there: a small agent arrives over the connection, lives in
/// memory and is gone when the command ends.
#[derive(Parser, Debug)]
#[command(
    name = "mitogen",
    version,
    after_long_help = AFTER_HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 120
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
#[command(args_override_self = true)]
pub(crate) enum Command {
    Call(CallArgs),
    Exec(ExecArgs),
    Ping(PingArgs),
    Tree(TreeArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Cli {
    /// The command and the options of both places.
    pub(crate) fn settle(self) -> (Common, Command) {
        let Self { common, mut command } = self;
        let later = match &mut command {
            Command::Call(args) => std::mem::take(&mut args.common),
            Command::Exec(args) => std::mem::take(&mut args.common),
            Command::Ping(args) => std::mem::take(&mut args.common),
            Command::Tree(args) => std::mem::take(&mut args.common),
            Command::Doctor(args) => std::mem::take(&mut args.common),
            Command::Completions(_) | Command::Man(_) => Common::default(),
        };
        (common.merge(later), command)
    }
}

/// Call a Python function in every target.
///
/// FUNC is a dotted name: os.uname, json.dumps, builtins.float.fromhex. In doubt a colon ends the module's name:
/// builtins:float.fromhex. What the function returns is printed: a string as it is, anything else as JSON. Plain
/// values only: numbers, text, bytes, lists, dictionaries and the like, but no objects such as a datetime.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen call os.getpid
  mitogen call json.dumps '{\"a\": [1, 2]}' --kw indent=2
  mitogen call --str os.path.join 1 2                  all arguments are strings
  mitogen call math.fabs -5                            negative numbers need no care
  mitogen call subprocess.check_output -- '[\"id\"]'     behind -- nothing is an option
  mitogen -t 'local?python=python2.7' -t local call platform.python_version
  mitogen --json -t ssh:web1 call os.listdir /etc"
)]
pub(crate) struct CallArgs {
    /// The function: MODULE.FUNCTION, MODULE.Class.method, or MODULE:QUALIFIED.NAME
    pub(crate) func: String,
    /// An argument: JSON if it reads as JSON, else a string
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// A keyword argument; VALUE is read like an ARG
    #[arg(long, value_name = "NAME=VALUE", value_parser = keyword, allow_hyphen_values = true)]
    pub(crate) kw: Vec<(String, String)>,
    /// Take every ARG and VALUE as a string
    #[arg(long)]
    pub(crate) str: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Run a command in every target; its output and its status come back.
///
/// On a single target the remote command's stdout and stderr are relayed byte for byte, and its status is ours. A
/// command that a signal ended gives 128 plus the signal's number. On several targets each line carries the name
/// of its target. Everything behind the first word belongs to the remote command.
///
/// The output is gathered in memory and shown when the command has ended: one that never ends, or prints without
/// end, is none for this. Its stdin is empty.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 exec uname -a
  mitogen exec -- sh -c 'echo out; echo err >&2; exit 3'
  mitogen -t 'ssh:web[01-20]' -b exec --shell 'df -h / | tail -1'"
)]
pub(crate) struct ExecArgs {
    /// The command and its arguments, passed on as they are, without a shell
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "shell",
        value_hint = ValueHint::CommandWithArguments
    )]
    pub(crate) command: Vec<String>,
    /// Run STRING with the target's /bin/sh instead
    #[arg(long, value_name = "STRING", conflicts_with = "command", allow_hyphen_values = true)]
    pub(crate) shell: Option<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Measure round trips: one small call after the other.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 ping
  mitogen -t local -t ssh:web1 --json ping -c 1000"
)]
pub(crate) struct PingArgs {
    /// How many round trips
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Show the contexts on the way to every target.
///
/// For each its id, process id, user, host and interpreter; with --json also its parent and the whole way to it.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:bastion/ssh:db1 tree
  mitogen -t local/local?python=python2.7 --json tree"
)]
pub(crate) struct TreeArgs {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Connect phase by phase and say how each one went.
///
/// The phases: resolve, auth, interpreter, first stage, agent, first call. When one fails: what was seen, and what
/// to try.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 doctor
  mitogen -t ssh:web1 --python /opt/python/bin/python3 --json doctor"
)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Print the completions of a shell.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  mitogen completions bash > ~/.local/share/bash-completion/completions/mitogen
  mitogen completions zsh > ~/.zfunc/_mitogen
  mitogen completions fish > ~/.config/fish/completions/mitogen.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: clap_complete::Shell,
}

/// Print the manual page.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  mitogen man > mitogen.1 && man ./mitogen.1
  mitogen man call > mitogen-call.1")]
pub(crate) struct ManArgs {
    /// The page of one command, instead of the whole
    pub(crate) command: Option<String>,
}

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
    /// The agent to start at the far end [default: builtin]
    #[arg(long, value_name = "AGENT", help_heading = "Connection")]
    pub(crate) agent: Option<Agent>,

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

/// The program at the far end.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agent {
    /// Our own
    Builtin,
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
    fn merge(mut self, later: Self) -> Self {
        self.target.extend(later.target);
        self.targets_file.extend(later.targets_file);
        self.ssh_option.extend(later.ssh_option);
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
        }
    }

    /// The form of the results.
    pub(crate) fn form(&self) -> Form {
        if self.json { Form::Json } else { self.output.unwrap_or(Form::Text) }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(time) if !time.is_zero() && number < 1e9 => Ok(time),
        _ => Err("not a time: more than 0 seconds and less than 1e9".to_owned()),
    }
}

fn keyword(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("the form is NAME=VALUE")?;
    match is_identifier(name) {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err(format!("`{name}` is no name of a Python argument")),
    }
}

fn ssh_option(text: &str) -> Result<String, String> {
    match text.split_once(['=', ' ']) {
        Some((key, _)) if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Ok(text.to_owned())
        }
        _ => Err("the form is KEYWORD=VALUE, as in ssh_config".to_owned()),
    }
}

/// Whether Python could take it for a name. Non-ASCII names exist in Python 3, so letters of any script pass.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
        && text.chars().all(|c| c == '_' || c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &[&str]) -> Result<(Common, Command), clap::Error> {
        Cli::try_parse_from([&["mitogen"], line].concat()).map(Cli::settle)
    }

    fn call(line: &[&str]) -> (Common, CallArgs) {
        match parse(line) {
            Ok((common, Command::Call(args))) => (common, args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_stand_on_either_side() {
        let (common, args) =
            call(&["-t", "a", "--json", "-v", "call", "-t", "b", "os.getpid", "-vv", "-f", "3"]);
        assert_eq!(common.target, ["a", "b"]);
        assert_eq!(common.form(), Form::Json);
        assert_eq!((common.verbose, common.forks), (3, Some(3)));
        assert_eq!(args.func, "os.getpid");
        let (common, args) = call(&["call", "f.g", "1", "x", "--timeout", "2.5", "y"]);
        assert_eq!(common.timeout, Some(Duration::from_millis(2500)));
        assert_eq!(args.args, ["1", "x", "y"]);
    }

    #[test]
    fn what_stands_later_wins() {
        let (common, _) = call(&["--json", "call", "--output", "jsonl", "f.g"]);
        assert_eq!(common.form(), Form::Jsonl);
        let (common, _) = call(&["--output", "text", "call", "f.g", "--json"]);
        assert_eq!(common.form(), Form::Json);
        let (common, _) = call(&["--timeout", "1", "--timeout", "2", "call", "f.g"]);
        assert_eq!(common.timeout, Some(Duration::from_secs(2)));
    }

    #[test]
    fn arguments_may_start_with_a_hyphen() {
        assert_eq!(call(&["call", "f.g", "-5", "-1.5e3"]).1.args, ["-5", "-1.5e3"]);
        assert_eq!(call(&["call", "f.g", "--", "-t", "--json"]).1.args, ["-t", "--json"]);
        assert_eq!(call(&["call", "f.g", "--kw", "a=-1"]).1.kw, [("a".into(), "-1".into())]);
        assert!(parse(&["call", "f.g", "--nonsense"]).is_err());
    }

    #[test]
    fn everything_behind_the_remote_command_is_its_own() {
        for line in [&["exec", "--", "ls", "-t", "--json"][..], &["exec", "ls", "-t", "--json"]] {
            match parse(line) {
                Ok((common, Command::Exec(args))) => {
                    assert_eq!(args.command, ["ls", "-t", "--json"]);
                    assert!(common.target.is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
        match parse(&["exec", "--shell", "-x | y", "-t", "a"]) {
            Ok((common, Command::Exec(args))) => {
                assert_eq!(
                    (args.shell.as_deref(), &common.target[..]),
                    (Some("-x | y"), &["a".to_owned()][..])
                );
            }
            other => panic!("{other:?}"),
        }
        assert!(parse(&["exec"]).is_err());
        assert!(parse(&["exec", "--shell", "x", "y"]).is_err());
    }

    #[test]
    fn values_are_checked() {
        for bad in [
            &["call", "f.g", "--kw", "x"][..],
            &["call", "f.g", "--kw", "1x=2"],
            &["call", "f.g", "--timeout", "0"],
            &["call", "f.g", "--timeout", "inf"],
            &["call", "f.g", "-f", "0"],
            &["ping", "-c", "0"],
            &["ping", "-q", "-v"],
            &["ping", "--ssh-option", "X"],
            &["ping", "--agent", "upstream"],
            &["run", "x.py"],
        ] {
            match parse(bad) {
                Err(error) => assert_eq!(error.exit_code(), 2, "{bad:?}"),
                Ok(parsed) => panic!("{bad:?} gave {parsed:?}"),
            }
        }
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
