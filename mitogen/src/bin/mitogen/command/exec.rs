//! `mitogen exec -- CMD [ARG]...` and `mitogen exec --shell STRING`

use super::{Gave, Work};
use crate::{
    cli::ExecArgs,
    live::{Lines, Live},
    outcome::{Answer, Failure, Kind},
};
use bytes::Bytes;
use mitogen::{Command, Context, Error, Output};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

/// The work that the arguments ask for; without `live` the output is gathered.
///
/// # Errors
/// Its input cannot be read, or is too much.
pub(crate) fn work(args: ExecArgs, timeout: Option<Duration>, live: Option<Live>) -> Result<Work, String> {
    let (mut command, name) = match args.shell {
        Some(text) => (Command::shell(text), "sh".to_owned()),
        None => {
            let mut words = args.command.into_iter();
            // The grammar demands one.
            let program = words.next().unwrap_or_default();
            let name = program.to_string_lossy().into_owned();
            (Command::new(program).args(words), name)
        }
    };
    if let Some(timeout) = timeout {
        command = command.timeout(timeout);
    }
    if let Some(path) = args.stdin {
        let input = input(&path).map_err(|error| format!("--stdin: {}: {error}", path.display()))?;
        command = command.stdin(input);
    }
    Ok(Work::Exec { command, name, live })
}

/// The most that a command may be given to read. It travels in one message to each target.
const LIMIT: u64 = 64 << 20;

fn input(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path == Path::new("-") {
        true => io::stdin().lock().take(LIMIT + 1).read_to_end(&mut bytes)?,
        false => File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?,
    };
    if bytes.len() as u64 > LIMIT {
        let why = format!("it holds more than {} MiB, the most that a command can be given", LIMIT >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Runs the command and waits for its end.
pub(super) async fn run(
    context: &Context,
    command: Command,
    name: &str,
    live: Option<Lines>,
) -> Result<Gave, Error> {
    let output = match live {
        Some(lines) => show(context, command, lines).await,
        None => {
            context.exec(command).await.map(|Output { status, stdout, stderr, .. }| (status, stdout, stderr))
        }
    };
    let (status, stdout, stderr) = match output {
        Ok(output) => output,
        Err(error) => return Ok((None, Some(not_run(&error, name)))),
    };
    let failure = match status {
        0 => None,
        status if status < 0 => Some(format!("{name} was killed by signal {}", status.unsigned_abs())),
        status => Some(format!("{name} ended with status {status}")),
    };
    let answer = Answer::Output { status, stdout: stdout.to_vec(), stderr: stderr.to_vec() };
    Ok((Some(answer), failure.map(|message| Failure::new(Kind::Call, message))))
}

/// Runs the command and shows what it prints; what is left to be shown of it is nothing.
async fn show(context: &Context, command: Command, mut lines: Lines) -> Result<(i32, Bytes, Bytes), Error> {
    let mut running = context.spawn(command)?;
    let end = loop {
        match running.next().await {
            Ok(Some(printed)) => lines.show(printed).await,
            Ok(None) => break Ok((running.status().unwrap_or_default(), Bytes::new(), Bytes::new())),
            Err(error) => break Err(error),
        }
    };
    lines.finish().await;
    end
}

/// Why there is no output, in terms of the command: how it is run over there is of no interest.
fn not_run(error: &Error, name: &str) -> Failure {
    let failure = Failure::from(error);
    match error {
        Error::Timeout { after, .. } => {
            Failure { message: format!("{name}: no end within {} s", after.as_secs_f64()), ..failure }
        }
        // What the system says when there is no such program, or it may not be run.
        Error::Call(remote) if remote.message.starts_with("[Errno ") => {
            Failure { traceback: None, ..failure }
        }
        _ => failure,
    }
}
