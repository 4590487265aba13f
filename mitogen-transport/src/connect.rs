//! Carries a plan out: moves bytes between a tool and the handshake until that has decided.

use crate::credentials::Credentials;
use crate::error::ConnectError;
use crate::fd::Fd;
use crate::link::Stream;
use crate::process::Process;
use crate::pty;
use crate::spawn::{Spawned, spawn};
use crate::tool::{ToolLines, drain};
use bytes::Bytes;
use mitogen_bootstrap::handshake::{Failure, Handshake, Output, Phase};
use mitogen_bootstrap::plan::{BootPlan, Comms, Secret};
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a tool that has closed its output may take to end.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);
/// How long, after the tool's end, its channels may take to bring what is left in them. Someone
/// else may hold them open for ever.
const DRAIN_PATIENCE: Duration = Duration::from_millis(250);
/// How long a tool whose attempt has failed may take to end after SIGTERM.
const TERM_PATIENCE: Duration = Duration::from_millis(200);
/// After how long a text without a line feed on the terminal is a question.
const QUIET: Duration = Duration::from_millis(400);

/// A context that speaks frames.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected {
    /// The hop as users write it.
    pub hop: String,
    /// Where its frames flow. The bytes behind the last marker are not lost.
    pub stream: Stream,
    /// The process that was started here: the context itself, or the tool that leads to it.
    pub process: Process,
    /// What the tool still prints.
    pub tool_lines: ToolLines,
    /// How long it took.
    pub elapsed: Duration,
}

/// Starts the tool of `plan` and brings its context to life. `preamble` is written when an
/// interpreter was found.
///
/// # Errors
/// A [`ConnectError`], after `deadline` at the latest (and the time, of milliseconds, that killing
/// takes). Nothing is left of the attempt then, nor when the future is dropped.
pub async fn connect(
    plan: &BootPlan,
    preamble: &[u8],
    deadline: Duration,
) -> Result<Connected, Box<ConnectError>> {
    connect_observed(plan, preamble, deadline, &Credentials::default(), &mut |_, _| {}).await
}

/// As [`connect`], with the secrets that the plan wants fetched, telling `observer` each phase as it
/// begins, with the time since the start.
///
/// # Errors
/// As [`connect`].
pub async fn connect_observed(
    plan: &BootPlan,
    preamble: &[u8],
    deadline: Duration,
    credentials: &Credentials,
    observer: &mut (dyn FnMut(Phase, Duration) + Send),
) -> Result<Connected, Box<ConnectError>> {
    let started = Instant::now();
    let mut handshake = Handshake::new(plan);
    observer(Phase::Spawn, Duration::ZERO);
    let spawned = match spawn(plan) {
        Ok(spawned) => spawned,
        Err((kind, text)) => {
            handshake.handle_spawn_error(kind, &text);
            return Err(spawn_error(plan, handshake, started));
        }
    };
    handshake.handle_spawned();
    let driver = Driver {
        plan,
        handshake,
        spawned,
        unsent: &[],
        timers: Timers { deadline: started + deadline, settle: None, quiet: None },
        open: Open { stdout: true, stderr: true, terminal: true, exited: false },
        sent: Vec::new(),
    };
    driver.run(preamble, started, credentials, observer).await
}

fn spawn_error(plan: &BootPlan, mut handshake: Handshake, started: Instant) -> Box<ConnectError> {
    loop {
        match handshake.poll_output() {
            Some(Output::Failed(failure)) => {
                return ConnectError::new(plan, None, *failure, started.elapsed());
            }
            Some(_) => {}
            None => handshake.handle_deadline(),
        }
    }
}

struct Driver<'a> {
    plan: &'a BootPlan,
    handshake: Handshake,
    spawned: Spawned,
    /// What of the preamble is still to be written.
    unsent: &'a [u8],
    timers: Timers,
    open: Open,
    /// The secrets that the tool was told.
    sent: Vec<Secret>,
}

struct Timers {
    deadline: Instant,
    /// When what may still come is given up.
    settle: Option<Instant>,
    /// When the terminal's silence means something.
    quiet: Option<Instant>,
}

struct Open {
    stdout: bool,
    stderr: bool,
    terminal: bool,
    exited: bool,
}

enum Event {
    Stdout(usize),
    Stderr(usize),
    Terminal(usize),
    Sent(usize),
    Exit(mitogen_bootstrap::handshake::Exit),
    Deadline,
    Settled,
    Quiet,
}

impl<'a> Driver<'a> {
    async fn run(
        mut self,
        preamble: &'a [u8],
        started: Instant,
        credentials: &Credentials,
        observer: &mut (dyn FnMut(Phase, Duration) + Send),
    ) -> Result<Connected, Box<ConnectError>> {
        let hop = self.plan.hop.as_str();
        let mut fetching: Option<Fetching<'_>> = None;
        let mut buffers = [vec![0; 8192], vec![0; 4096], vec![0; 4096]];
        loop {
            while let Some(output) = self.handshake.poll_output() {
                match output {
                    Output::Phase(phase) => observer(phase, started.elapsed()),
                    Output::SendPreamble => {
                        self.leave_terminal();
                        self.unsent = preamble;
                    }
                    Output::SendSecret(secret) => {
                        self.send_line(secret.expose()).await;
                        self.sent.push(secret);
                    }
                    Output::SendText(text) => self.send_line(&text).await,
                    // A question that came before it is not waited for any more.
                    Output::FetchSecret { name, question } => {
                        fetching =
                            Some(Box::pin(async move { credentials.get(hop, &name, &question).await }));
                    }
                    Output::Ready { residue } => return Ok(self.ready(residue, started)),
                    Output::Failed(failure) => return Err(self.failed(*failure, started).await),
                }
            }
            let event = tokio::select! {
                biased;
                event = self.next_event(&mut buffers) => event,
                secret = fetched(&mut fetching) => {
                    fetching = None;
                    self.handshake.handle_secret(secret);
                    continue;
                }
            };
            self.handle(event, &buffers);
        }
    }

    async fn next_event(&self, [out, err, tty]: &mut [Vec<u8>; 3]) -> Event {
        let Spawned { process, read, write, stderr, terminal } = &self.spawned;
        let on_pty = self.plan.wiring.comms == Comms::Pty;
        let master = terminal.as_ref().map(|terminal| &*terminal.master);
        let read = Some(&**read).filter(|_| self.open.stdout && !on_pty);
        tokio::select! {
            // What was said counts before the fact that it was the last.
            biased;
            count = read_from(read, out) => Event::Stdout(count),
            count = read_from(stderr.as_ref().filter(|_| self.open.stderr), err) => Event::Stderr(count),
            count = read_from(master.filter(|_| self.open.terminal), tty) => Event::Terminal(count),
            count = send(write, self.unsent), if !self.unsent.is_empty() => Event::Sent(count),
            exit = process.wait(), if !self.open.exited => Event::Exit(exit),
            () = at(Some(self.timers.deadline)) => Event::Deadline,
            () = at(self.timers.settle) => Event::Settled,
            () = at(self.timers.quiet) => Event::Quiet,
        }
    }

    fn handle(&mut self, event: Event, [out, err, tty]: &[Vec<u8>; 3]) {
        let now = Instant::now();
        let machine = &mut self.handshake;
        let exited = self.open.exited;
        let ended = |timers: &mut Timers| {
            if !exited {
                timers.settle.get_or_insert(now + EXIT_PATIENCE);
            }
        };
        match event {
            Event::Stdout(0) => {
                self.open.stdout = false;
                self.unsent = &[];
                ended(&mut self.timers);
                machine.handle_stdout_eof();
            }
            Event::Stdout(count) => machine.handle_stdout(&out[..count]),
            Event::Stderr(0) => {
                self.open.stderr = false;
                machine.handle_stderr_eof();
            }
            Event::Stderr(count) => machine.handle_stderr(&err[..count]),
            Event::Terminal(0) => {
                self.open.terminal = false;
                if self.plan.wiring.comms == Comms::Pty {
                    self.unsent = &[];
                    ended(&mut self.timers);
                    machine.handle_stdout_eof();
                }
                machine.handle_terminal_eof();
            }
            Event::Terminal(count) => {
                let echo = self.spawned.terminal.as_ref().is_none_or(|t| pty::echoes(t.master.as_fd()));
                machine.handle_terminal(&tty[..count], echo);
                self.timers.quiet = Some(now + QUIET);
            }
            Event::Sent(count) => self.unsent = &self.unsent[count..],
            Event::Exit(exit) => {
                self.open.exited = true;
                self.timers.settle = Some(now + DRAIN_PATIENCE);
                if let Some(terminal) = &mut self.spawned.terminal {
                    terminal.slave = None;
                }
                machine.handle_exit(exit);
            }
            Event::Deadline => machine.handle_deadline(),
            Event::Settled => machine.handle_settled(),
            Event::Quiet => {
                self.timers.quiet = None;
                if let Some(terminal) = &self.spawned.terminal {
                    machine.handle_terminal_quiet(pty::echoes(terminal.master.as_fd()));
                }
            }
        }
    }

    /// Frames are not text: a pty that carries them must not change them.
    fn leave_terminal(&self) {
        if let (Some(terminal), Comms::Pty) = (&self.spawned.terminal, self.plan.wiring.comms) {
            // Should it fail, the first stage does not get what it expects, and the deadline passes.
            let _ = pty::make_raw(terminal.master.as_fd());
        }
    }

    async fn send_line(&mut self, text: &str) {
        let mut line = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
        if let Some(terminal) = &self.spawned.terminal {
            // A tool that does not read its answer is the deadline's business.
            let left = self.timers.deadline.saturating_duration_since(Instant::now());
            let _ = tokio::time::timeout(left, terminal.master.write_all(&line)).await;
        }
    }

    fn ready(self, residue: Bytes, started: Instant) -> Connected {
        let Spawned { process, read, write, stderr, terminal } = self.spawned;
        // Where the terminal is the comms channel, its reader is the link.
        let terminal = terminal.filter(|_| self.plan.wiring.comms != Comms::Pty);
        let (tool_lines, drains) = drain(stderr, terminal, self.sent);
        process.keep_drains(drains);
        process.release_group();
        Connected {
            hop: self.plan.hop.clone(),
            stream: Stream::new(read, write, residue),
            process,
            tool_lines,
            elapsed: started.elapsed(),
        }
    }

    async fn failed(self, failure: Failure, started: Instant) -> Box<ConnectError> {
        let error = ConnectError::new(self.plan, None, failure, started.elapsed());
        let Spawned { process, .. } = self.spawned;
        // Politely at first: ssh may have a control socket to remove.
        process.stop(Duration::ZERO, TERM_PATIENCE).await;
        error
    }
}

type Fetching<'a> = Pin<Box<dyn Future<Output = Option<Secret>> + Send + 'a>>;

/// The secret that is being fetched, if one is.
async fn fetched(fetching: &mut Option<Fetching<'_>>) -> Option<Secret> {
    match fetching {
        Some(fetching) => fetching.await,
        None => std::future::pending().await,
    }
}

/// Reads from a channel that is there and open; a broken one has ended.
async fn read_from(fd: Option<&Fd>, buffer: &mut [u8]) -> usize {
    match fd {
        Some(fd) => fd.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// Writes some of `bytes`. A broken channel takes them all: that it is broken shows in what is
/// read.
async fn send(fd: &Fd, bytes: &[u8]) -> usize {
    fd.when_writable(|| fd.try_write(&[IoSlice::new(bytes)])).await.unwrap_or(bytes.len())
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
