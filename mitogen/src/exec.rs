//! Commands run in a context, without a call of one's own.

use crate::receiver::Receiver;
use crate::upstream::package::PROCESS;
use crate::{Call, Context, Error, PendingCall};
use bytes::Bytes;
use mitogen_router::Access;
use mitogen_router::credit::credit_handle;
use mitogen_wire::body::Dead;
use mitogen_wire::{Encoding, Handle, Value};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

/// A command to be run in a context: [`Context::exec`](crate::Context::exec) gathers its output, which
/// then has to fit in memory on both sides, and in one message; [`Context::spawn`](crate::Context::spawn)
/// hands it over as it comes.
///
/// It gets what [`Command::stdin`] holds on its standard input (nothing, by default).
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) what: What,
    pub(crate) stdin: Bytes,
    pub(crate) timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Argv(Vec<OsString>),
    Shell(OsString),
}

impl Command {
    /// Runs `program`, looked for in the context's `PATH`, without a shell in between.
    pub fn new(program: impl Into<OsString>) -> Command {
        Command { what: What::Argv(vec![program.into()]), stdin: Bytes::new(), timeout: None }
    }

    /// Gives `text` to the context's `/bin/sh`.
    pub fn shell(text: impl Into<OsString>) -> Command {
        Command { what: What::Shell(text.into()), stdin: Bytes::new(), timeout: None }
    }

    /// Adds one argument. For a shell command it becomes one of the shell's `$0`, `$1`...
    #[must_use]
    pub fn arg(self, arg: impl Into<OsString>) -> Command {
        self.args([arg])
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Command {
        let args = args.into_iter().map(Into::into);
        match &mut self.what {
            What::Argv(argv) => argv.extend(args),
            What::Shell(text) => {
                let shell = ["sh".into(), "-c".into(), std::mem::take(text)];
                self.what = What::Argv(shell.into_iter().chain(args).collect());
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
    /// [`Error::Timeout`](crate::Error::Timeout). What `exec` started is left running; what `spawn` started
    /// ends with its [`Running`].
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

/// A command that runs: [`Context::spawn`](crate::Context::spawn).
///
/// What it prints is to be taken by [`Running::next`]; when 1 MiB waits to be taken, it waits in its
/// writing. Dropping this ends the command (SIGKILL, to it and its process group).
pub struct Running {
    context: Context,
    receiver: Receiver,
    /// `None` once it was answered.
    call: Option<PendingCall<i32>>,
    /// Where upstream's core runs it: all that it prints comes at its end.
    gathering: Option<PendingCall<Value>>,
    gathered: VecDeque<Printed>,
    status: Option<i32>,
    /// Where the far side hears that nobody listens any more; known with the first message.
    ear: Option<Handle>,
}

/// A piece of what a command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Printed {
    /// On standard output.
    Stdout(Bytes),
    /// On standard error.
    Stderr(Bytes),
}

impl Printed {
    fn bytes(&self) -> &Bytes {
        match self {
            Printed::Stdout(bytes) | Printed::Stderr(bytes) => bytes,
        }
    }
}

impl Running {
    pub(crate) fn start(context: &Context, command: Command) -> Result<Running, Error> {
        let receiver = Receiver::open(&context.shared, None, Access::Anyone)?;
        let (context, gathered) = (context.clone(), VecDeque::new());
        let (call, gathering) = match context.shared.upstream {
            None => {
                let call = command.call("mitogen.process.stream").arg(receiver.handle().0);
                (Some(context.start(call)), None)
            }
            Some(_) => (None, Some(context.start(command.call(&function(&context))))),
        };
        Ok(Running { context, receiver, call, gathering, gathered, status: None, ear: None })
    }

    /// What it prints next; `None` when it has ended and all was taken. The two streams come each in its own
    /// order. Cancel-safe.
    ///
    /// # Errors
    /// As [`Context::exec`](crate::Context::exec); [`Error::Timeout`](crate::Error::Timeout) when it has not
    /// ended in time. Behind an error nothing comes.
    pub async fn next(&mut self) -> Result<Option<Printed>, Error> {
        if let Some(call) = &mut self.gathering {
            let answer = call.await;
            self.gathering = None;
            let Output { status, stdout, stderr } = read(&answer?)?;
            self.status = Some(status);
            let pieces = [Printed::Stdout(stdout), Printed::Stderr(stderr)];
            self.gathered.extend(pieces.into_iter().filter(|piece| !piece.bytes().is_empty()));
        }
        if let Some(piece) = self.gathered.pop_front() {
            return Ok(Some(piece));
        }
        loop {
            let incoming = match &mut self.call {
                None if self.receiver.waits() => self.receiver.next().await?,
                None => return Ok(None),
                Some(call) => tokio::select! {
                    // What it printed comes ahead of its status, and of whatever ends the call.
                    biased;
                    incoming = self.receiver.next() => incoming?,
                    status = call => {
                        self.call = None;
                        self.status = Some(status?);
                        continue;
                    }
                },
            };
            let (_, message) = incoming.into_parts();
            // Nobody else's business.
            if message.src != self.context.id() || message.encoding != Encoding::Raw {
                continue;
            }
            self.ear = self.ear.or(credit_handle(&message));
            let mut bytes = message.payload;
            if bytes.len() > 1 {
                match bytes.split_to(1)[0] {
                    b'1' => return Ok(Some(Printed::Stdout(bytes))),
                    b'2' => return Ok(Some(Printed::Stderr(bytes))),
                    _ => {}
                }
            }
        }
    }

    /// Its exit status, once [`Running::next`] has said that it has ended; below zero, the number of the
    /// signal that ended it.
    pub fn status(&self) -> Option<i32> {
        self.status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let (None, Some(ear)) = (self.status, self.ear) {
            self.context.shared.send_dead(self.context.id(), ear, &Dead::ReceiverClosed);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("context", &self.context).field("status", &self.status).finish()
    }
}

impl Command {
    /// The call of a function of the agent, in a module that is sent when it is first needed.
    fn call(self, function: &str) -> Call {
        let call = Call::new(function);
        let call = match self.what {
            What::Argv(argv) => call.arg_value(Value::List(argv.into_iter().map(word).collect())).arg(false),
            What::Shell(text) => call.arg_value(word(text)).arg(true),
        }
        .arg_value(Value::Bytes(self.stdin));
        match self.timeout {
            Some(after) => call.timeout(after),
            None => call,
        }
    }
}

/// A word as the context's Python takes it: what is no text arrives byte for byte.
fn word(word: OsString) -> Value {
    match word.into_string() {
        Ok(text) => Value::Text(text),
        Err(word) => Value::Bytes(word.into_vec().into()),
    }
}

/// What runs a command and gathers its output.
fn function(context: &Context) -> String {
    match context.shared.upstream {
        None => "mitogen.process.run".to_owned(),
        Some(_) => format!("{PROCESS}.run"),
    }
}

/// Runs a command to its end.
pub(crate) async fn run(context: &Context, command: Command) -> Result<Output, Error> {
    let function = function(context);
    let answer: Value = context.start(command.call(&function)).await?;
    read(&answer)
}

/// What a command left behind, from the answer of the function that ran it.
fn read(answer: &Value) -> Result<Output, Error> {
    let Value::Tuple(fields) = answer else { return Err(unexpected(answer)) };
    let [status, stdout, stderr] = fields.as_slice() else { return Err(unexpected(answer)) };
    match (status.as_i64().and_then(|status| i32::try_from(status).ok()), bytes(stdout), bytes(stderr)) {
        (Some(status), Some(stdout), Some(stderr)) => Ok(Output { status, stdout, stderr }),
        _ => Err(unexpected(answer)),
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
