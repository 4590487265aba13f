//! The `mitogen` command: functions and commands on other machines, from the shell.
//!
//! It composes the public API of the library and holds no rule of the protocol:
//!
//! | what | where |
//! |---|---|
//! | the grammar of the command line | `cli` |
//! | targets, ranges, the ways there | `target`, `range`, `connect` |
//! | many targets at once, and what they share | `fleet`, `grove`, `interrupt` |
//! | what a command does on one target | `command` |
//! | results and failures, JSON, exit status | `outcome`, `failure`, `json` |
//! | showing them | `report`, `live`, `console`, `logs` |
//! | passwords, methods of the user's own | `password`, `methods` |
#![forbid(unsafe_code)]

mod agent;
mod cli;
mod command;
mod connect;
mod console;
mod destination;
mod failure;
mod fleet;
mod grove;
mod interrupt;
mod json;
mod live;
mod logs;
mod methods;
mod outcome;
mod password;
mod range;
mod report;
mod second;
mod target;

use clap::{CommandFactory, Parser, error::ErrorKind};
use cli::{Cli, Command, Common};
use command::listen::Hall;
use connect::Passwords;
use console::Console;
use fleet::{Fleet, Task};
use live::Live;
use methods::Methods;
use outcome::exit;
use password::{Password, Unasked};
use std::{io, path::PathBuf, process::ExitCode};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    let (common, command) = Cli::parse().settle();
    let console = Console::new(common.color.unwrap_or(cli::When::Auto), common.quiet);
    let status = match run(&console, common, command) {
        Ok(status) => status,
        Err(Fault::Usage(why)) => Cli::command().error(ErrorKind::ValueValidation, why).exit(),
        Err(Fault::Interrupted) => exit::INTERRUPTED,
        Err(Fault::Ours(why)) => {
            console.error(&why);
            exit::OUR_FAULT
        }
    };
    ExitCode::from(status)
}

/// Why nothing was done.
enum Fault {
    /// The command line asks for something that is not there.
    Usage(String),
    /// The user changed their mind at the password.
    Interrupted,
    /// Something on this side failed.
    Ours(String),
}

fn run(console: &Console, common: Common, command: Command) -> Result<u8, Fault> {
    let timeout = common.timeout;
    let mut script = None;
    let mut socket = None;
    let (broken, breakage) = mpsc::unbounded_channel();
    // Once: one of the files may be a pipe.
    let targets = match &command {
        Command::Completions(args) => return print(console, &command::generated::completions(args)),
        Command::Man(args) => {
            return print(console, &command::generated::man(args).map_err(Fault::Usage)?);
        }
        Command::Exec(args) if is_stdin(&args.stdin) && is_stdin(&common.targets_file) => {
            let why = "stdin can be read only once: by --targets-file, or by --stdin";
            return Err(Fault::Usage(why.to_owned()));
        }
        _ => connect::targets(&common).map_err(Fault::Usage)?,
    };
    let task = match command {
        // Done.
        Command::Completions(_) | Command::Man(_) => return Ok(exit::OK),
        Command::Run(args) => {
            let (path, args) = command::run::call(args).map_err(Fault::Usage)?;
            script = Some(path);
            Task::Work(command::call::work(args, timeout).map_err(Fault::Usage)?)
        }
        Command::Call(args) => Task::Work(command::call::work(args, timeout).map_err(Fault::Usage)?),
        Command::Exec(args) => {
            // One document, and the comparison of all, need the whole of each.
            let live = match common.form() == cli::Form::Text && !common.gather {
                true => Some(Live::new(console, targets.len() > 1, broken).map_err(ours)?),
                false => None,
            };
            Task::Work(command::exec::work(args, timeout, live).map_err(Fault::Usage)?)
        }
        Command::Put(args) => {
            Task::Work(command::put::work(args, timeout, targets.len(), console).map_err(Fault::Usage)?)
        }
        Command::Get(args) => {
            Task::Work(command::get::work(args, timeout, &targets, console).map_err(Fault::Usage)?)
        }
        Command::Ping(args) => Task::Work(command::Work::Ping { count: args.count, timeout }),
        Command::Tree(_) => Task::Work(command::Work::Tree { timeout }),
        Command::Doctor(_) => Task::Doctor(command::doctor::Doctor::new(&common)),
        Command::Listen(args) => {
            socket = Some((args.socket, args.reconnect));
            Task::Work(command::Work::Ping { count: 0, timeout })
        }
    };
    let mut methods = Methods::default();
    for path in &common.methods {
        methods.read(path).map_err(Fault::Usage)?;
    }
    // Whatever is wrong with the targets is said before anybody is asked for a password.
    for target in &targets {
        connect::place(target.clone(), &common, &methods, &Passwords::default()).map_err(Fault::Usage)?;
    }
    fleet::check_descriptors().map_err(Fault::Ours)?;
    let names = logs::Names::default();
    logs::start(console, common.verbose, &names);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Ours(format!("no runtime: {error}")))?;
    let status = runtime.block_on(async {
        let login = password("--ask-pass", common.ask_pass, &common.password_file, "Password: ").await?;
        let file = &common.become_password_file;
        let become_ =
            password("--ask-become-pass", common.ask_become_pass, file, "Password of sudo, su or doas: ")
                .await?;
        let second = match &common.second_factor_command {
            Some(command) => Some(second::from_command(command)),
            None => common.ask_second_factor.then(second::from_terminal),
        };
        let passwords =
            Passwords { login: login.as_ref(), become_: become_.as_ref(), second: second.as_ref() };
        let interrupt = interrupt::Interrupt::watch();
        let agent = agent::agent(common.agent.as_ref()).await.map_err(Fault::Usage)?;
        let builtin = agent == mitogen::Agent::Builtin;
        let builder = mitogen::Router::builder().signed(!common.unsigned).agent(agent);
        let router = modules(builder, &common, script.as_deref()).build().map_err(|error| match builtin {
            true => ours(error),
            false => Fault::Usage(format!("--agent: {error}")),
        })?;
        let report = report::Report::new(console.clone(), common.form(), common.gather, targets.len());
        let places = targets
            .into_iter()
            .map(|target| connect::place(target, &common, &methods, &passwords))
            .collect::<Result<_, _>>()
            .map_err(Fault::Usage)?;
        let forks = fleet::affordable(common.forks.unwrap_or(32) as usize);
        let console = console.clone();
        if let Some((socket, reconnect)) = socket {
            let hall = Hall {
                router,
                places,
                forks,
                socket,
                reconnect,
                form: common.form(),
                names,
                console,
                interrupt,
            };
            return hall.run(report).await.map_err(Fault::Usage);
        }
        let fleet = Fleet { router, places, forks, task, names, console, interrupt, breakage };
        Ok(fleet.run(report).await)
    });
    // A thread that still waits for the terminal is no reason to wait.
    runtime.shutdown_background();
    status
}

/// Where modules for the targets are: beside the script, below each `--path`, in the active virtualenv.
fn modules(
    mut builder: mitogen::RouterBuilder,
    common: &Common,
    script: Option<&std::path::Path>,
) -> mitogen::RouterBuilder {
    for path in &common.path {
        builder = builder.module_path(path);
    }
    if let Some(root) = std::env::var_os("VIRTUAL_ENV") {
        builder = builder.virtualenv(root);
    }
    match script {
        Some(script) => builder.script(script),
        None => builder,
    }
}

/// A password, if one is to be used: asked once for all targets. `option` is the one that asks.
async fn password(
    option: &str,
    ask: bool,
    file: &Option<PathBuf>,
    prompt: &str,
) -> Result<Option<Password>, Fault> {
    let file_option =
        option.replace("ask-pass", "password-file").replace("ask-become-pass", "become-password-file");
    if let Some(path) = file {
        return match password::from_file(path) {
            Ok(password) => Ok(Some(password)),
            Err(error) => Err(Fault::Usage(format!("{file_option}: {}: {error}", path.display()))),
        };
    }
    if !ask {
        return Ok(None);
    }
    match password::ask(prompt).await {
        Ok(password) => Ok(Some(password)),
        Err(Unasked::Interrupted) => Err(Fault::Interrupted),
        Err(Unasked::Failed(error)) => Err(Fault::Usage(format!(
            "{option}: the terminal gave no password: {error}; there is {file_option}"
        ))),
    }
}

fn ours(error: impl ToString) -> Fault {
    Fault::Ours(error.to_string())
}

/// Whether one of these names our own standard input.
fn is_stdin<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> bool {
    paths.into_iter().any(|path| path.as_os_str() == "-")
}

fn print(console: &Console, text: &[u8]) -> Result<u8, Fault> {
    match console.result(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Fault::Ours(error.to_string())),
        _ => Ok(exit::OK),
    }
}
