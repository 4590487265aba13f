//! A secret shows nowhere: in no process's arguments or environment, in no log of any level, in no error.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, eventually, finish, ssh_config, testbed};
use std::{fs, io::Write, path::Path, process::Stdio, time::Duration};

/// Where the text stands in the arguments or the environment of some process.
fn exposed(secret: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let holds = |path: &Path| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()))
    };
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.map(|entry| entry.path()).filter(|path| path.join("cmdline").exists());
    pids.filter(|path| !path.ends_with(&own))
        .flat_map(|path| [path.join("cmdline"), path.join("environ")])
        .filter(|path| holds(path))
        .map(|path| path.display().to_string())
        .collect()
}

/// A client in the place of ssh, that asks as ssh does, takes any answer, and runs the command here.
const CLIENT: &str = r#"#!/bin/sh
for command; do :; done
exec python3 -c '
import os, sys, termios
tty = os.open("/dev/tty", os.O_RDWR)
mode = termios.tcgetattr(tty)
mode[3] &= ~(termios.ECHO | termios.ECHONL)
termios.tcsetattr(tty, termios.TCSAFLUSH, mode)
os.write(tty, b"bob@host password: ")
answer = b""
while not answer.endswith(b"\n"):
    answer += os.read(tty, 1)
# A tool that talks too much.
os.write(tty, b"\r\nyou said " + answer)
os.execvp("sh", ["sh", "-c", sys.argv[1]])
' "$command"
"#;

#[test]
fn a_password_shows_nowhere_while_it_is_used() {
    let secret = format!("opensesame{}", std::process::id());
    let directory = tempfile::tempdir().unwrap();
    let client = directory.path().join("ssh");
    fs::write(directory.path().join("draft"), CLIENT).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path().join("draft"), executable).unwrap();
    fs::rename(directory.path().join("draft"), &client).unwrap();
    let password = directory.path().join("password");
    fs::write(&password, format!("{secret}\n")).unwrap();
    let started = directory.path().join("started");
    let path = std::env::var("PATH").unwrap_or_default();

    // At one hop and behind another, where the secret travels in a message.
    for target in ["ssh:web1", "local/ssh:web1"] {
        let script = format!("echo x > '{0}'; while [ -e '{0}' ]; do sleep 0.05; done", started.display());
        let child = command(["-vvv", "-t", target, "--password-file"])
            .arg(&password)
            .args(["exec", "--shell", &script])
            .env("PATH", format!("{}:{path}", directory.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the command was run", Duration::from_secs(30), || started.exists().then_some(()));
        let found = exposed(&secret);
        fs::remove_file(&started).unwrap();
        let run = finish(child.wait_with_output().unwrap());
        assert!(found.is_empty(), "{found:?}");
        assert!(run.stderr.contains("mitogen::frame") && run.stderr.contains("mitogen::protocol"), "{run:?}");
        assert!(!run.stderr.contains(&secret) && !run.stdout.contains(&secret), "{target}: {run:?}");
    }
}

#[test]
fn a_wrong_password_shows_in_no_error() {
    let Some(testbed) = testbed("a_wrong_password_shows_in_no_error") else { return };
    let config = ssh_config(&testbed).display().to_string();
    let secret = format!("wrongsesame{}", std::process::id());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{secret}").unwrap();
    let path = file.path().display().to_string();
    for form in [&["doctor"][..], &["--json", "ping"]] {
        let mut run = command(["-vvv", "-F", &config, "-t", "ssh:tb_pw", "-t", "local/ssh:tb_pw"]);
        let run = finish(run.args(["--password-file", &path]).args(form).output().unwrap());
        assert_eq!(run.status, 5, "{run:?}");
        assert!(!format!("{run:?}").contains(&secret), "{run:?}");
    }
}
