//! What login shells and profiles do before our command runs. A script stands in for ssh: it does to the command
//! what a remote account would.

mod support;

use mitogen_transport::{FailureKind, Process, SecretName, Ssh, connect};
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Direction, FrameFormat, Handle, Message};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{alone, preamble};

const DEADLINE: Duration = Duration::from_secs(20);

/// A script in the place of ssh; `$command` is what is to be run.
fn client(directory: &Path, script: &str) -> Ssh {
    let path = directory.join("ssh");
    // Written under another name: a file that is open for writing cannot be executed.
    let draft = directory.join("draft");
    let text = format!("#!/bin/sh\nfor command; do :; done\n{script}\n");
    std::fs::write(&draft, text).expect("written");
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("executable");
    std::fs::rename(&draft, &path).expect("renamed");
    Ssh::new("host").ssh_path(path.display().to_string())
}

async fn born(ssh: &Ssh, what: &str) {
    let connected = connect(&ssh.plan(), preamble().as_bytes(), DEADLINE)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let (mut reader, writer) =
        connected.stream.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    writer.send(&Message::new(ContextId::CONTROLLER, ContextId(1), Handle(106))).expect("sent");
    while let Ok(Some(_)) = reader.next().await {}
    Process::stop(&connected.process, Duration::from_secs(5), Duration::from_secs(1)).await;
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.exists())
}

#[test]
fn a_shell_that_traces_what_it_reads_and_runs() {
    let shells = ["bash", "dash", "zsh", "tcsh", "fish", "ksh", "mksh", "yash"];
    let shells: Vec<&str> = shells.into_iter().filter(|shell| in_path(shell).is_some()).collect();
    assert!(!shells.is_empty());
    for shell in shells {
        // fish has no such options, but an environment variable.
        let flags = if shell == "fish" { "" } else { "-x -v" };
        alone(|| async {
            let directory = tempfile::tempdir().expect("a directory");
            // All of it on the channel that frames are to use.
            let script = format!("export fish_trace=1\nexec {shell} {flags} -c \"$command\" 2>&1");
            born(&client(directory.path(), &script), shell).await;
        });
    }
}

#[test]
fn traces_that_are_handed_on_to_every_shell() {
    if in_path("bash").is_none() || !Path::new("/usr/bin/python3").exists() {
        return eprintln!("SKIPPED: there is no bash, or no /usr/bin/python3");
    }
    alone(|| async {
        let directory = tempfile::tempdir().expect("a directory");
        // A bash in the place of sh traces too, and on the channel that frames are to use.
        std::os::unix::fs::symlink(in_path("bash").expect("bash"), directory.path().join("sh"))
            .expect("a link");
        // Without what may stand in front of it: an interpreter that is a bash script itself could not work so.
        let script = "exec env SHELLOPTS=xtrace:verbose BASH_XTRACEFD=1 PATH=\"${0%/*}:/usr/bin:/bin\" \
                      bash -c \"$command\"";
        born(&client(directory.path(), script), "traces on stdout").await;
    });
}

#[test]
fn a_profile_that_says_what_ssh_says_when_it_fails() {
    alone(|| async {
        let directory = tempfile::tempdir().expect("a directory");
        let script = "
            echo 'bob@host: Permission denied (publickey).' >&2
            echo 'Host key verification failed.' >&2
            echo 'ssh: connect to host web1 port 22: Connection refused' >&2
            echo 'Your password has expired'
            echo \"bob@host's password: \"
            exec sh -c \"$command\"";
        born(&client(directory.path(), script), "without a secret").await;
        born(&client(directory.path(), script).password("hunter2"), "with a secret").await;
    });
}

#[test]
fn a_profile_that_prints_pieces_of_markers_and_lines_without_end() {
    alone(|| async {
        let directory = tempfile::tempdir().expect("a directory");
        let script = "printf 'EC1\\nEC2\\nEC0 \\nxEC\\r\\nEC'; head -c 60000 /dev/zero; printf 'E'; exec sh -c \"$command\"";
        born(&client(directory.path(), script), "pieces").await;
        let error = connect(
            &client(directory.path(), "head -c 70000 /dev/zero; exec sh -c \"$command\"").plan(),
            preamble().as_bytes(),
            DEADLINE,
        )
        .await
        .expect_err("too much");
        assert_eq!(error.kind, FailureKind::Noise);
    });
}

#[test]
fn a_profile_that_fails_is_shown() {
    alone(|| async {
        let directory = tempfile::tempdir().expect("a directory");
        let ssh = client(directory.path(), "echo 'quota exceeded' >&2; exit 3");
        let error = connect(&ssh.plan(), preamble().as_bytes(), DEADLINE).await.expect_err("a failure");
        assert_eq!(error.kind, FailureKind::NotRun, "{error}");
        assert!(error.to_string().contains("quota exceeded"), "{error}");
    });
}

/// Asks on its terminal as ssh does, and goes on when the answer is, byte for byte, what the file holds.
const ASKS: &str = r#"
exec python3 -c '
import os, sys, termios
tty = os.open("/dev/tty", os.O_RDWR)
mode = termios.tcgetattr(tty)
mode[3] &= ~(termios.ECHO | termios.ECHONL)
termios.tcsetattr(tty, termios.TCSAFLUSH, mode)
os.write(tty, b"bob@host: password, 100% sure? ")
answer = b""
while not answer.endswith(b"\n"):
    answer += os.read(tty, 1)
os.write(tty, b"\r\n")
os.close(tty)
wanted = open(os.path.dirname(sys.argv[1]) + "/wanted", "rb").read()
if answer != wanted + b"\n":
    sys.stderr.write("bob@host: Permission denied (password).\n")
    sys.exit(255)
os.execvp("sh", ["sh", "-c", sys.argv[2]])
' "$0" "$command"
"#;

#[test]
fn any_password_that_can_be_typed_arrives_as_it_is() {
    let long = "x".repeat(1000);
    let passwords = [
        " blanks around and inside ",
        "-o'single' \"double\" `back` $HOME ${IFS} $(id) !! back\\slash\\",
        "100% %s %n %% #;&|<>*?[]{}~^\ttab",
        "pässwörd ✓ 密码",
        &long,
    ];
    for password in passwords {
        alone(|| async {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::write(directory.path().join("wanted"), password).expect("written");
            born(&client(directory.path(), ASKS).password(password), password).await;
        });
    }
    alone(|| async {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("wanted"), "hunter2").expect("written");
        let ssh = client(directory.path(), ASKS).password("hunter2 ");
        let error = connect(&ssh.plan(), preamble().as_bytes(), DEADLINE).await.expect_err("wrong");
        assert_eq!(error.kind, FailureKind::WrongSecret(SecretName("password".into())), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    });
}
