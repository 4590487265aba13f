//! No secret of any kind shows anywhere, whoever asks for it and whatever the tool makes of it: not in the arguments or the
//! environment of any process, not in logs of any level, not in errors. The tool here says aloud what it was told.
#![cfg(feature = "cli")] // for its reader of logs

mod common;

use futures_util::future::join_all;
use mitogen::{
    Context, Credential, Custom, Doas, Error, FailureKind, Local, LogLevel, Method, Router, Ssh, Su, Sudo,
};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Asks, on the terminal and without echo, what the file beside it says, repeats each answer everywhere, and runs the
/// command; or refuses.
const TOOL: &str = r#"#!/usr/bin/env python3
import os, subprocess, sys, termios
place = os.path.dirname(os.path.abspath(sys.argv[0]))
words = sys.argv[1:]
questions = open(os.path.join(place, 'questions')).read().splitlines()
if '-p' in words[:6]:
    questions = [words[words.index('-p') + 1]] * len(questions)
if '--' in words:
    command = words[words.index('--') + 1:]
else:
    command = ['sh', '-c', words[-1]]
tty = os.open('/dev/tty', os.O_RDWR)
mode = termios.tcgetattr(tty)
mode[3] &= ~(termios.ECHO | termios.ECHONL)
said = []
def aloud():
    for fd in 2, tty:
        os.write(fd, ('\nyou said %s\n' % ' and '.join(said)).encode())
def ask(question):
    termios.tcsetattr(tty, termios.TCSAFLUSH, mode)
    os.write(tty, question.encode())
    answer = b''
    while not answer.endswith(b'\n'):
        answer += os.read(tty, 1)
    said.append(answer.decode().strip())
    aloud()
for question in questions:
    ask(question)
if os.path.exists(os.path.join(place, 'refuse')):
    os.write(1, ('noise: %s\n' % said).encode())
    if 'again' in open(os.path.join(place, 'refuse')).read():
        ask(questions[-1])
    sys.exit(1)
status = subprocess.call(command)
aloud()
sys.exit(status)
"#;

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const KINDS: [&str; 4] = ["password", "code", "passphrase", "answer"];

fn secret(kind: &str) -> String {
    format!("{kind}-sesame-{}", std::process::id())
}

/// Where one of them stands in the arguments or the environment of a process.
fn exposed() -> Vec<String> {
    let secrets = KINDS.map(secret);
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        secrets.iter().any(|secret| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()))
    };
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    let files = processes.flat_map(|path| ["cmdline", "environ"].map(|name| path.join(name)));
    files.filter(|path| holds(path)).map(|path| path.display().to_string()).collect()
}

fn shows(text: &str) -> Option<String> {
    KINDS.iter().find(|kind| text.contains(&secret(kind))).map(|kind| (*kind).to_owned())
}

/// A secret as it is, and one that is fetched when it is asked for.
fn given(kind: &str, fetched: bool) -> Credential {
    let text = secret(kind);
    match fetched {
        true => Credential::fetch(move |_| {
            let text = text.clone();
            async move { Some(text) }
        }),
        false => text.into(),
    }
}

/// Every method that asks, with all that it can be told, and the questions of its tool.
fn methods(tool: &str, fetched: bool) -> Vec<(Method, Vec<&'static str>)> {
    let s = |kind: &str| given(kind, fetched);
    let ssh = Ssh::new("h")
        .ssh_path(tool)
        .passphrase(s("passphrase"))
        .password(s("password"))
        .second_factor(s("code"))
        .answer("maiden name", "maiden name", s("answer"));
    let twice = vec!["Password: ", "One-time password: "];
    vec![
        (
            ssh.into(),
            vec!["Enter passphrase for key '/k': ", "bob@h's password: ", "(bob@h) Code: ", "maiden name? "],
        ),
        (Sudo::new().sudo_path(tool).password(s("password")).second_factor(s("code")).into(), twice.clone()),
        (Su::new().su_path(tool).password(s("password")).second_factor(s("code")).into(), twice.clone()),
        (Doas::new().doas_path(tool).password(s("password")).second_factor(s("code")).into(), twice.clone()),
        (
            Custom::new(tool, ["--"])
                .prompts()
                .asks("Password", "password", s("password"))
                .asks("One", "code", s("code"))
                .into(),
            twice,
        ),
        (
            // A terminal throughout, and a secret that it asks for in the middle of a plain talk.
            Custom::new(tool, ["{line}"])
                .terminal()
                .says("login:", "bob")
                .hidden("password", s("password"))
                .into(),
            vec!["Password: "],
        ),
    ]
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn tool(&self) -> String {
        let (draft, path) = (self.path("draft"), self.path("tool"));
        std::fs::write(&draft, TOOL).expect("a script");
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        let copied = std::process::Command::new("cp").arg("-p").arg(&draft).arg(&path).status().expect("cp");
        assert!(copied.success());
        path.to_string_lossy().into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn asks(&self, questions: &[&str], refuses: Option<&str>) {
        std::fs::write(self.path("questions"), questions.join("\n")).expect("written");
        let _ = std::fs::remove_file(self.path("refuse"));
        if let Some(how) = refuses {
            std::fs::write(self.path("refuse"), how).expect("written");
        }
    }
}

async fn connect(router: &Router, via: Option<&Context>, method: Method) -> Result<Context, Error> {
    match via {
        Some(context) => context.connect(method).await,
        None => router.connect(method).await,
    }
}

/// A birth that goes well, one that the tool refuses, and one where it asks for the last secret again.
async fn story(router: &Router, via: Option<&Context>, which: usize, fetched: bool) {
    let place = Place { dir: tempfile::tempdir().expect("a directory") };
    let (method, questions) = methods(&place.tool(), fetched).swap_remove(which);
    let shown = format!("{method:?} {:?}", method.plan());
    assert_eq!(shows(&shown), None, "{}", method.hop());
    place.asks(&questions, None);
    let context = connect(router, via, method.clone()).await;
    let context = context.unwrap_or_else(|error| panic!("{} {via:?}: {error}", method.hop()));
    let found = exposed();
    assert!(found.is_empty(), "{}: {found:?}", method.hop());
    context.shutdown().await.expect("an orderly end");
    for how in ["ends", "asks again"] {
        place.asks(&questions, Some(how));
        let Err(Error::Connect(error)) = connect(router, via, method.clone()).await else {
            panic!("{}: it was refused", method.hop())
        };
        let told = format!("{error}\n{error:?}");
        assert_eq!(shows(&told), None, "{told}");
        assert!(told.contains("you said"), "its words were seen: {told}");
        if how == "asks again" {
            assert!(matches!(error.kind, FailureKind::WrongSecret(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_told_to_a_tool_is_told_to_nobody_else() {
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        return eprintln!("skipped: no python3 in PATH");
    }
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let router = Router::builder().log_level(LogLevel::Debug).build().expect("a router");
    let elsewhere = router.connect(Local::new()).await.expect("a context");
    let count = methods("tool", false).len();
    for fetched in [false, true] {
        let here = (0..count).map(|which| story(&router, None, which, fetched));
        let there = (0..count).map(|which| story(&router, Some(&elsewhere), which, fetched));
        futures_util::future::join(join_all(here), join_all(there)).await;
    }
    router.shutdown().await.expect("an orderly end");
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("TRACE") && log.contains("you said"), "the logs hold the tool's words");
    for kind in KINDS {
        let line = log.lines().find(|line| line.contains(&secret(kind)));
        assert_eq!(line, None, "{kind}");
    }
}
