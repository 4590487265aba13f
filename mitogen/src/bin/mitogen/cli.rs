//! The command line's grammar.
//!
//! The options common to all commands may stand before and behind the command's name. They are therefore declared
//! in both places and merged, what stands later winning (clap's own global options would drop the earlier ones).

mod common;
mod files;
mod values;

use clap::{Args, Parser, Subcommand, ValueHint};
pub(crate) use common::{Common, Form, HostKeyPolicy, When};
pub(crate) use files::{GetArgs, PutArgs, TransferArgs};
use std::{ffi::OsString, path::PathBuf};
pub(crate) use values::is_identifier;
use values::keyword;

const AFTER_HELP: &str = "\
Targets:
  local                           a context on this machine (when no target is given)
  local?python=python2.7          with another interpreter; a / in a value is written %2F
  ssh:alice@web1:2222             over the system's ssh client; ssh_config counts as for `ssh web1`
  ssh:web[01-20]                  twenty targets
  ssh:web1/sudo:root              another account there: sudo, su, doas
  docker:billing0                 a container: docker podman buildah lxc lxd incus kubectl jail setns
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
    Run(RunArgs),
    Exec(ExecArgs),
    Put(PutArgs),
    Get(GetArgs),
    Ping(PingArgs),
    Tree(TreeArgs),
    Doctor(DoctorArgs),
    Listen(ListenArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

impl Cli {
    /// The command and the options of both places.
    pub(crate) fn settle(self) -> (Common, Command) {
        let Self { common, mut command } = self;
        let later = match &mut command {
            Command::Call(args) => std::mem::take(&mut args.common),
            Command::Run(args) => std::mem::take(&mut args.common),
            Command::Exec(args) => std::mem::take(&mut args.common),
            Command::Put(args) => std::mem::take(&mut args.common),
            Command::Get(args) => std::mem::take(&mut args.common),
            Command::Ping(args) => std::mem::take(&mut args.common),
            Command::Tree(args) => std::mem::take(&mut args.common),
            Command::Doctor(args) => std::mem::take(&mut args.common),
            Command::Listen(args) => std::mem::take(&mut args.common),
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

/// Run a function of a program in one file in every target.
///
/// SCRIPT becomes the targets' `__main__`, up to its line `if __name__ == "__main__":`, which it must have; FUNC is
/// called there. What it imports and a target does not have is sent there: from beside the script, from below every
/// --path, and from the active virtualenv. -v shows what was sent to whom.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 run install_app.py
  mitogen -t 'ssh:web[01-20]' run install_app.py install 1.4.2
  mitogen -t ssh:web1 -v --path lib run report.py main --kw days=7"
)]
pub(crate) struct RunArgs {
    /// The program
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) script: PathBuf,
    /// The function: FUNCTION or Class.method [default: main]
    pub(crate) func: Option<String>,
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
/// Output is shown as it comes, and the remote command waits while ours is not read. With --json and -b it is
/// gathered: up to 128 MiB of each target. The remote command ends when we do.
///
/// Its stdin is empty unless --stdin says otherwise: our own is never read unasked, so that a loop that reads a list
/// of hosts keeps its list. What is given is read whole, then sent to every target.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 exec uname -a
  mitogen exec -- sh -c 'echo out; echo err >&2; exit 3'
  mitogen -t 'ssh:web[01-20]' -b exec --shell 'df -h / | tail -1'
  mitogen -t 'ssh:web[01-20]' exec tail -Fn0 /var/log/syslog | grep error
  mitogen -t ssh:db1 exec --stdin dump.sql psql shop
  tar c . | mitogen -t ssh:web1 exec --stdin - -- tar x -C /srv/www"
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
    pub(crate) command: Vec<OsString>,
    /// Run STRING with the target's /bin/sh instead
    #[arg(long, value_name = "STRING", conflicts_with = "command", allow_hyphen_values = true)]
    pub(crate) shell: Option<OsString>,
    /// What the command reads: the bytes of FILE, up to 64 MiB; `-` is our own stdin [default: nothing]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) stdin: Option<PathBuf>,
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

/// Keep the targets connected and serve local Python programs over a UNIX socket.
///
/// The path is printed when every target is connected or has failed. From then on programs that use the mitogen
/// package from PyPI, `mitogen.unix.connect(PATH)`, call functions in the targets' contexts. The service
/// `mitogen.listen` says which there are: `context.call_service('mitogen.listen', 'targets')` gives pairs of a
/// target and its context; `context`, with `target=`, gives one of them. Modules that targets miss come from below every --path, as with call.
///
/// Only processes of the same user, and of root, are let in; they may do all that this command may. It ends with
/// Ctrl-C or a SIGTERM, or when the last target is lost; the socket is removed. With --reconnect it stays, and a
/// target that was lost is connected again when a program asks for it. With --output jsonl what happens is told on
/// stdout, a line each: clients that come and go, targets that are lost and regained.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 -t ssh:web2 listen --socket ~/.mitogen.sock
  mitogen -t ssh:web1 --path lib --output jsonl listen --socket /run/user/1000/mitogen.sock

In Python then, with the mitogen package:
  router, controller = mitogen.unix.connect('/run/user/1000/mitogen.sock')
  for target, context in controller.call_service('mitogen.listen', 'targets'):
      print(target, context.call(os.uname))
  router.broker.shutdown()"
)]
pub(crate) struct ListenArgs {
    /// Where the socket is to be
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) socket: PathBuf,
    /// Connect anew, when a program asks for it, what was lost; and stay when nothing is left
    #[arg(long)]
    pub(crate) reconnect: bool,
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

#[cfg(test)]
mod tests;
