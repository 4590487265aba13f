//! The second factor: a code for each question of a tool, from the person at the terminal or from a command.

use crate::password;
use mitogen::{Credential, Question};
use std::{process::Stdio, sync::Arc};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// Asks on the terminal, one question after the other, as the tools come to put them.
pub(crate) fn from_terminal() -> Credential {
    let terminal = Arc::new(Mutex::new(()));
    Credential::fetch(move |question| {
        let terminal = Arc::clone(&terminal);
        async move {
            let _turn = terminal.lock().await;
            // The text is the far side's: it is not to play with this terminal.
            let shown: String = question.text.chars().filter(|c| !c.is_control()).take(200).collect();
            match password::ask(&format!("{} asks: {shown} ", question.hop)).await {
                Ok(code) => Some(Zeroizing::new(code.expose().to_owned())),
                Err(why) => {
                    eprintln!("--ask-second-factor: {why}");
                    None
                }
            }
        }
    })
}

/// Runs a command of the user's for each question: the first line that it prints is the answer.
pub(crate) fn from_command(command: &str) -> Credential {
    let command = command.to_owned();
    Credential::fetch(move |question| {
        let command = command.clone();
        async move {
            let answer = tokio::task::spawn_blocking(move || run(&command, &question)).await;
            answer.unwrap_or_else(|_| Err("it was cut short".to_owned())).map_or_else(
                |why| {
                    eprintln!("--second-factor-command: {why}");
                    None
                },
                Some,
            )
        }
    })
}

fn run(command: &str, question: &Question) -> Result<Zeroizing<String>, String> {
    let out = std::process::Command::new("sh")
        .args(["-c", command])
        .env("MITOGEN_HOP", &question.hop)
        .env("MITOGEN_QUESTION", question.text.replace('\0', ""))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|why| format!("sh: {why}"))?;
    let output = Zeroizing::new(out.stdout);
    if !out.status.success() {
        return Err(format!("it ended with {}", out.status));
    }
    let mut rest = output.as_slice();
    let code = password::first_line(|buffer| std::io::Read::read(&mut rest, buffer))
        .map_err(|why| why.to_string())?;
    Ok(Zeroizing::new(code.expose().to_owned()))
}
