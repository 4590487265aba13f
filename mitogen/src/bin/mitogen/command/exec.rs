//! `mitogen exec -- CMD [ARG]...` and `mitogen exec --shell STRING`

use super::{Gave, Work};
use crate::{
    cli::ExecArgs,
    outcome::{Answer, Failure, Kind},
};
use mitogen::{Command, Context, Error};
use std::time::Duration;

/// The work that the arguments ask for.
pub(crate) fn work(args: ExecArgs, timeout: Option<Duration>) -> Work {
    let (mut command, name) = match args.shell {
        Some(text) => (Command::shell(text), "sh".to_owned()),
        None => {
            let mut words = args.command.into_iter();
            // The grammar demands one.
            let program = words.next().unwrap_or_default();
            (Command::new(program.clone()).args(words), program)
        }
    };
    if let Some(timeout) = timeout {
        command = command.timeout(timeout);
    }
    Work::Exec { command, name }
}

/// Runs the command and waits for its end.
pub(super) async fn run(context: &Context, command: Command, name: &str) -> Result<Gave, Error> {
    let output = match context.exec(command).await {
        Ok(output) => output,
        Err(error) => return Ok((None, Some(not_run(&error, name)))),
    };
    let failure = match output.status {
        0 => None,
        status if status < 0 => Some(format!("{name} was killed by signal {}", status.unsigned_abs())),
        status => Some(format!("{name} ended with status {status}")),
    };
    let answer = Answer::Output {
        status: output.status,
        stdout: output.stdout.to_vec(),
        stderr: output.stderr.to_vec(),
    };
    Ok((Some(answer), failure.map(|message| Failure::new(Kind::Call, message))))
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
