//! Commands run in a context, without a call of one's own.

use crate::upstream::package::PROCESS;
use crate::{Call, Context, Error};
use bytes::Bytes;
use mitogen_wire::Value;
use std::time::Duration;

/// A command to be run in a context: [`Context::exec`](crate::Context::exec).
///
/// It gets what [`Command::stdin`] holds on its standard input (nothing, by default), and its whole
/// output is gathered; use it for commands whose output fits in memory on both sides, and in one
/// message.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) what: What,
    pub(crate) stdin: Bytes,
    pub(crate) timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Argv(Vec<String>),
    Shell(String),
}

impl Command {
    /// Runs `program`, looked for in the context's `PATH`, without a shell in between.
    pub fn new(program: impl Into<String>) -> Command {
        Command { what: What::Argv(vec![program.into()]), stdin: Bytes::new(), timeout: None }
    }

    /// Gives `text` to the context's `/bin/sh`.
    pub fn shell(text: impl Into<String>) -> Command {
        Command { what: What::Shell(text.into()), stdin: Bytes::new(), timeout: None }
    }

    /// Adds one argument. For a shell command it becomes one of the shell's `$0`, `$1`...
    #[must_use]
    pub fn arg(self, arg: impl Into<String>) -> Command {
        self.args([arg])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Command {
        let args = args.into_iter().map(Into::into);
        match &mut self.what {
            What::Argv(argv) => argv.extend(args),
            What::Shell(text) => {
                let argv = ["sh", "-c", text].into_iter().map(str::to_owned).chain(args).collect();
                self.what = What::Argv(argv);
            }
        }
        self
    }

    /// What the command reads from its standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Command {
        self.stdin = bytes.into();
        self
    }

    /// How long the command's end is waited for. When the time is up the caller gets
    /// [`Error::Timeout`](crate::Error::Timeout); the command itself is left running.
    #[must_use]
    pub fn timeout(mut self, after: Duration) -> Command {
        self.timeout = Some(after);
        self
    }
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// Its exit status; below zero, the number of the signal that ended it.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: Bytes,
    /// What it wrote to standard error.
    pub stderr: Bytes,
}

impl Output {
    /// Whether the status is 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

/// Runs a command by a function of the agent that is sent when it is first needed.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Output, Error> {
    let Command { what, stdin, timeout } = command;
    let call = Call::new(match context.shared.upstream {
        None => "mitogen.process.run".to_owned(),
        Some(_) => format!("{PROCESS}.run"),
    });
    let mut call = match what {
        What::Argv(argv) => call.arg(argv).arg(false),
        What::Shell(text) => call.arg(text).arg(true),
    }
    .arg_value(Value::Bytes(stdin));
    if let Some(after) = timeout {
        call = call.timeout(after);
    }
    let answer: Value = context.start(call).await?;
    let Value::Tuple(fields) = &answer else { return Err(unexpected(&answer)) };
    let [status, stdout, stderr] = fields.as_slice() else { return Err(unexpected(&answer)) };
    match (status.as_i64().and_then(|status| i32::try_from(status).ok()), bytes(stdout), bytes(stderr)) {
        (Some(status), Some(stdout), Some(stderr)) => Ok(Output { status, stdout, stderr }),
        _ => Err(unexpected(&answer)),
    }
}

/// Output is bytes whatever the context's Python calls them; not copied.
fn bytes(value: &Value) -> Option<Bytes> {
    match value {
        Value::Bytes(bytes) | Value::Str(bytes) | Value::Blob(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn unexpected(answer: &Value) -> Error {
    Error::Decode {
        what: "mitogen.process.run".to_owned(),
        message: format!("expected a status and two outputs, found {}", answer.kind()),
    }
}
