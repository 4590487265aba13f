//! `mitogen listen`, and the programs that come to it.

use crate::cli_support::{command, eventually};
use crate::upstream_support::program;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// `mitogen listen`, with what it tells.
pub(crate) struct Hall {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) lines: std::sync::mpsc::Receiver<String>,
    pub(crate) directory: tempfile::TempDir,
}

impl Hall {
    /// Holds these targets; returns when all are there.
    pub(crate) fn open(targets: &[String], more: &[&str]) -> Hall {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("socket");
        let options = targets.iter().flat_map(|target| ["-t".to_owned(), target.clone()]);
        let modules = directory.path().join("modules");
        std::fs::create_dir(&modules).expect("a new directory");
        std::fs::write(modules.join("guest.py"), GUEST).expect("a file");
        let mut listen = command(options);
        listen.arg("--path").arg(&modules);
        listen.args(["--output", "jsonl", "listen"]).args(more).arg("--socket").arg(&socket);
        let mut child =
            listen.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command was built");
        let (send, lines) = std::sync::mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let hall = Hall { child, socket, lines, directory };
        targets.iter().for_each(|_| drop(hall.line()));
        hall
    }

    /// The package, with the modules that programs of these tests bring along.
    pub(crate) fn with_guest(&self, package: &Path) -> PathBuf {
        let both = std::env::join_paths([package, &self.modules()]).expect("paths without a colon");
        PathBuf::from(both)
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.directory.path().join("modules")
    }

    /// The next line of its output.
    pub(crate) fn line(&self) -> Value {
        let line = self.lines.recv_timeout(LONG).expect("a line in time");
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"))
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Its status and what it said on stderr.
    pub(crate) fn finish(mut self) -> (i32, String) {
        let status = eventually("the command ends", LONG, || self.child.try_wait().expect("it is ours"));
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("it is piped");
        std::io::Read::read_to_string(&mut pipe, &mut stderr).expect("text");
        (status.code().unwrap_or(-1), stderr)
    }
}

impl Drop for Hall {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program on the socket; what it prints last is JSON.
#[track_caller]
pub(crate) fn run(python: &Path, package: &Path, source: &str, socket: &Path) -> Value {
    let socket = socket.to_str().expect("text");
    let mut child = program(python, package, &format!("{PRELUDE}{source}{FINALE}"), &[socket])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the interpreter runs");
    let reader = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.map(|mut pipe| pipe.read_to_string(&mut text));
            text
        })
    };
    let stdout = reader(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = reader(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let start = std::time::Instant::now();
    let status = loop {
        match child.try_wait().expect("it is ours") {
            Some(status) => break status,
            None if start.elapsed() > LONG => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{}: the program hangs: {}", python.display(), stderr.join().expect("text"));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let (stdout, stderr) = (stdout.join().expect("text"), stderr.join().expect("text"));
    assert!(status.success(), "{}: {status}\n{stdout}{stderr}", python.display());
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|why| panic!("{}: {why}: {stdout}{stderr}", python.display()))
}

/// What every program begins and ends with.
pub(crate) const PRELUDE: &str = r"
import json, logging, os, sys, time
import mitogen, mitogen.core, mitogen.master, mitogen.parent, mitogen.select, mitogen.service, mitogen.unix

class Records(logging.Handler):
    seen = []
    def emit(self, record):
        self.seen.append((record.name, record.levelno, record.getMessage()))

logging.getLogger().addHandler(Records())
logging.getLogger().setLevel(logging.INFO)

def text(value):
    if isinstance(value, bytes):
        return value.decode('latin-1')
    return value

def until(condition):
    limit = time.time() + 30
    while not condition() and time.time() < limit:
        time.sleep(.01)

router, controller = mitogen.unix.connect(sys.argv[1])
result = {}
try:
    targets = controller.call_service('mitogen.listen', 'targets')
    contexts = [context for _, context in targets]
";
pub(crate) const FINALE: &str = r"
finally:
    router.broker.shutdown()
    router.broker.join()
print(json.dumps(result))
";

/// What the programs call in contexts, which get it from the controller.
pub(crate) const GUEST: &str = r"
import logging
import mitogen.core

def echo(value):
    return value

def send_all(sender):
    for value in 1, u'two', [3]:
        sender.send(value)
    sender.close()

def flood(sender, count):
    for _ in range(count):
        sender.send(u'x' * 100000)

def speak(word):
    logging.getLogger('guest').warning('logged by %s', word)
    print('printed by %s' % word)

def try_to_end(context):
    try:
        return context.send_await(mitogen.core.Message(handle=mitogen.core.SHUTDOWN))
    except mitogen.core.ChannelError:
        import sys
        return str(sys.exc_info()[1])
";
