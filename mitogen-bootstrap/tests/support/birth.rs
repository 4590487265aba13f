//! A child being born, at the end of real pipes.
#![allow(dead_code, unreachable_pub, clippy::disallowed_types, clippy::disallowed_methods)]

use super::support::Python;
use mitogen_bootstrap::{BootConfig, Interpreter, Preamble, boot_command};
use mitogen_wire::ContextId;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a step may take before it counts as a hang; only a hang waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A preamble as most children get it.
pub fn preamble() -> Preamble {
    let mut config = BootConfig::new(ContextId(1), vec![ContextId::CONTROLLER]);
    config.name = "test".to_owned();
    Preamble::new(&config, "user@host:1")
}

/// The boot command for an interpreter.
pub fn command(python: &Python) -> Command {
    let argv = boot_command(&Interpreter::Named(vec![python.path.display().to_string()]));
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]);
    command
}

/// A process whose standard input is ours to write, and whose output is collected.
pub struct Birth {
    process: Child,
    stdin: Option<UnixStream>,
    output: Receiver<Vec<u8>>,
    errors: File,
    /// All that it wrote so far.
    pub seen: Vec<u8>,
}

impl Birth {
    /// Starts a command. Its standard input does not block if `nonblocking`.
    pub fn start(mut command: Command, nonblocking: bool) -> Birth {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        theirs.set_nonblocking(nonblocking).expect("a socket's mode can be set");
        // A file, not a pipe: what it says about its end is wanted only if a test fails.
        let errors = tempfile::tempfile().expect("a temporary file");
        let mut process = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().expect("a descriptor"))
            .spawn()
            .expect("the shell starts");
        drop(command);
        let mut stdout = process.stdout.take().expect("stdout is a pipe");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Birth { process, stdin: Some(ours), output, errors, seen: Vec::new() }
    }

    /// Writes to its standard input; says whether it still listens.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(bytes).is_ok())
    }

    /// Ends its standard input.
    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Waits for a line of its output.
    pub fn expect(&mut self, marker: &str) {
        let deadline = Instant::now() + PATIENCE;
        let line = format!("{marker}\n");
        while !self.seen.windows(line.len()).any(|window| window == line.as_bytes()) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend_from_slice(&bytes),
                Err(error) => panic!("no {marker} ({error}); {}", self.story()),
            }
        }
    }

    /// Waits until the process has ended and nobody holds its output any more: no orphan is left.
    pub fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.extend_from_slice(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("somebody still holds the output; {}", self.story())
                }
            }
        }
        self.process.wait().expect("our child can be awaited")
    }

    /// What is known of it, for a failed test.
    fn story(&mut self) -> String {
        let mut errors = String::new();
        let _ = self.errors.rewind().and_then(|()| self.errors.read_to_string(&mut errors));
        let seen = String::from_utf8_lossy(&self.seen);
        format!("it wrote {seen:?}, ended {:?}, and says {errors}", self.process.try_wait())
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        // A test that failed leaves no process behind; one that passed has awaited it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
