//! The birth of one context, seen from its parent, without IO.
//!
//! ```text
//!   Spawn -> Login -> Interpreter -> FirstStage -> Agent -> Ready{residue}
//!                               EC0           EC1      EC2
//! ```
//! The owner tells what it saw (`handle_*`) and does what [`Handshake::poll_output`] says, until
//! it says [`Output::Ready`] or [`Output::Failed`], which is the last output. What it decides does
//! not depend on how the input was split.
//!
//! Text that the tool prints is only evidence: it is judged when the tool has ended, by its last
//! words, so that a banner with the words "Permission denied" fails nothing.

mod question;
mod report;
mod verdict;

use crate::handshake_lines::Lines;
pub use crate::handshake_lines::{KEPT_BYTES, KEPT_LINES, SeenLine};
use crate::handshake_markers::{Found, Marker, Scanner};
use crate::plan::{BootPlan, Comms, FailureKind, FailureRule, Secret, SecretName, Source, Stderr};
use bytes::Bytes;
use question::{PromptState, Question};
pub use report::RunReport;
use std::collections::VecDeque;
use std::fmt;

/// How much may come on the comms channel, besides the markers, before the context is ready.
pub const NOISE_LIMIT: usize = 64 << 10;

/// How far a connection has come: what is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The tool is being started.
    Spawn,
    /// The tool connects and authenticates; the remote shell starts.
    Login,
    /// The shell looks for an interpreter and executes it.
    Interpreter,
    /// The first stage starts and reads the agent.
    FirstStage,
    /// The agent starts.
    Agent,
    /// The context speaks frames.
    Ready,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Spawn => "spawn",
            Phase::Login => "login",
            Phase::Interpreter => "interpreter",
            Phase::FirstStage => "first stage",
            Phase::Agent => "agent",
            Phase::Ready => "ready",
        })
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// Killed by this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Status(status) => write!(f, "ended with status {status}"),
            Exit::Signal(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// What the owner shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The connection has come further.
    Phase(Phase),
    /// Write the preamble to the comms channel. If that channel is a pty, make it raw first.
    SendPreamble,
    /// Write this secret and a line feed to the terminal.
    SendSecret(Secret),
    /// Get this secret from whoever has it, and tell [`Handshake::handle_secret`]. Everything else goes
    /// on meanwhile.
    FetchSecret {
        /// What it is for.
        name: SecretName,
        /// What the tool asks, as it stands on the terminal.
        question: String,
    },
    /// Write this text and a line feed to the terminal.
    SendText(String),
    /// The context speaks frames; these bytes of them came already. Nothing follows.
    Ready {
        /// What came behind the last marker.
        residue: Bytes,
    },
    /// The connection has failed. Nothing follows.
    Failed(Box<Failure>),
}

/// Why a context was not born.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was being waited for.
    pub phase: Phase,
    /// What went wrong.
    pub kind: FailureKind,
    /// How the tool ended, if it has.
    pub exit: Option<Exit>,
    /// The last lines seen, in the order of their arrival. Secrets that were sent are blotted out.
    pub lines: Vec<SeenLine>,
    /// What to try.
    pub hint: Option<String>,
}

/// The state machine of one birth.
#[derive(Debug)]
pub struct Handshake {
    state: State,
    logs_in: bool,
    /// Where noise on the comms channel was seen: on the terminal, where that is the channel.
    comms: Source,
    prompts: Vec<PromptState>,
    rules: Vec<FailureRule>,
    hint: Option<String>,
    lines: Lines,
    question: Question,
    /// The secrets that a refusal may be about, in the order of sending.
    sent: Vec<SecretName>,
    exit: Option<Exit>,
    /// Whether the shell has said that it found no interpreter.
    found_nothing: bool,
    /// Channels that may still bring something; all closed and the exit known = decided.
    open: Open,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Waiting { phase: Phase, scanner: Scanner },
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    stdout: bool,
    stderr: bool,
    terminal: bool,
}

impl Handshake {
    /// A handshake for `plan`, whose tool has not been started yet.
    pub fn new(plan: &BootPlan) -> Handshake {
        Handshake {
            state: State::Waiting { phase: Phase::Spawn, scanner: Scanner::new(NOISE_LIMIT) },
            logs_in: plan.logs_in,
            comms: if plan.wiring.comms == Comms::Pty { Source::Terminal } else { Source::Stdout },
            prompts: plan.prompts.iter().map(PromptState::new).collect(),
            rules: plan.failures.clone(),
            hint: plan.hint.clone(),
            lines: Lines::default(),
            question: Question::Open,
            sent: Vec::new(),
            exit: None,
            found_nothing: false,
            open: Open {
                stdout: true,
                stderr: plan.wiring.stderr == Stderr::Apart,
                terminal: plan.wiring.terminal && plan.wiring.comms != Comms::Pty,
            },
            outputs: VecDeque::new(),
        }
    }

    /// The tool runs.
    pub fn handle_spawned(&mut self) {
        if let State::Waiting { phase: Phase::Spawn, .. } = self.state {
            self.enter(if self.logs_in { Phase::Login } else { Phase::Interpreter });
        }
    }

    /// The tool could not be started; `text` says why.
    pub fn handle_spawn_error(&mut self, kind: FailureKind, text: &str) {
        self.lines.feed(Source::Stderr, text.as_bytes());
        // EMFILE and ENFILE, as Rust and Python print them.
        let crowded = ["os error 24)", "os error 23)", "Errno 24]", "Errno 23]", "Too many open files"];
        let hint = match kind {
            _ if crowded.iter().any(|sign| text.contains(sign)) => {
                Some("raise the limit of open files (ulimit -n), or connect to fewer at once")
            }
            FailureKind::ToolMissing => {
                Some("install it where this hop starts, or name its path (`sudo_path` and the like)")
            }
            _ => None,
        };
        self.fail(kind, hint.map(str::to_owned));
    }

    /// Bytes came on the comms channel.
    pub fn handle_stdout(&mut self, mut input: &[u8]) {
        while let State::Waiting { scanner, .. } = &mut self.state {
            match scanner.scan(&mut input) {
                Found::Nothing => {
                    self.note_noise();
                    return;
                }
                Found::TooMuch => {
                    self.note_noise();
                    self.fail_noise();
                }
                Found::Marker(marker) => {
                    self.note_noise();
                    self.handle_marker(marker, input);
                }
            }
        }
    }

    /// Bytes came on standard error.
    pub fn handle_stderr(&mut self, input: &[u8]) {
        if self.is_waiting() {
            self.lines.feed(Source::Stderr, input);
        }
    }

    /// Bytes came on the terminal; `echo` tells whether it echoes now, after they were read.
    /// Where the terminal is the comms channel too, this takes the place of
    /// [`Handshake::handle_stdout`].
    pub fn handle_terminal(&mut self, input: &[u8], echo: bool) {
        if !self.is_waiting() {
            return;
        }
        match self.comms {
            Source::Terminal => self.handle_stdout(input),
            _ => self.lines.feed(Source::Terminal, input),
        }
        if input.contains(&b'\n') {
            self.end_question();
        }
        self.consider_question(echo, false);
    }

    /// The terminal has been silent for a moment; `echo` as in [`Handshake::handle_terminal`].
    /// Text without an end, at which the tool waits, is then a question.
    pub fn handle_terminal_quiet(&mut self, echo: bool) {
        if self.is_waiting() {
            self.consider_question(echo, true);
        }
    }

    /// The comms channel has ended.
    pub fn handle_stdout_eof(&mut self) {
        self.open.stdout = false;
        if self.found_nothing {
            return self.fail_no_interpreter();
        }
        self.conclude_if_over();
    }

    /// Standard error has ended.
    pub fn handle_stderr_eof(&mut self) {
        self.open.stderr = false;
        self.conclude_if_over();
    }

    /// The terminal has ended.
    pub fn handle_terminal_eof(&mut self) {
        self.open.terminal = false;
        self.conclude_if_over();
    }

    /// The tool has ended. What it wrote may still be on its way.
    pub fn handle_exit(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.conclude_if_over();
    }

    /// Enough time was given, after an end of file or the tool's exit, to what might still come.
    pub fn handle_settled(&mut self) {
        self.conclude();
    }

    /// The deadline has passed.
    pub fn handle_deadline(&mut self) {
        if self.found_nothing {
            return self.fail_no_interpreter();
        }
        let hint = self.hint.clone();
        let pending = self.lines.partial(Source::Terminal);
        if self.phase() == Phase::Login && !pending.trim().is_empty() && self.question == Question::Open {
            self.fail(FailureKind::UnexpectedPrompt, hint);
        } else {
            self.fail(FailureKind::TimedOut, hint);
        }
    }

    /// What to do next; `None` until more is told.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is being waited for.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Waiting { phase, .. } => *phase,
            State::Over => Phase::Ready,
        }
    }

    /// Whether the outcome is not known yet.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    fn enter(&mut self, next: Phase) {
        if let State::Waiting { phase, .. } = &mut self.state {
            debug_assert!(*phase < next);
            *phase = next;
            self.outputs.push_back(Output::Phase(next));
        }
    }

    fn note_noise(&mut self) {
        if let State::Waiting { scanner, .. } = &mut self.state {
            let noise = scanner.take_noise();
            self.lines.feed(self.comms, &noise);
        }
    }

    /// `rest` is what came behind the marker.
    fn handle_marker(&mut self, marker: Marker, rest: &[u8]) {
        match (self.phase(), marker) {
            (Phase::Spawn | Phase::Login | Phase::Interpreter, Marker::Ec0) => {
                if self.phase() < Phase::Interpreter {
                    self.enter(Phase::Interpreter);
                }
                self.enter(Phase::FirstStage);
                self.found_nothing = false;
                self.outputs.push_back(Output::SendPreamble);
            }
            // Not the last word yet: a shell that prints what it is about to run prints this, too.
            (phase, Marker::Ec9) if phase <= Phase::FirstStage => self.found_nothing = true,
            (Phase::FirstStage, Marker::Ec1) => self.enter(Phase::Agent),
            (Phase::Agent, Marker::Ec2) if self.exit.is_some() => self.fail_background(),
            (Phase::Agent, Marker::Ec2) => {
                self.enter(Phase::Ready);
                self.state = State::Over;
                self.outputs.push_back(Output::Ready { residue: Bytes::copy_from_slice(rest) });
            }
            // A marker out of its turn is noise: a shell that prints what it runs, for one.
            (_, marker) => self.lines.feed(self.comms, marker.text()),
        }
    }
}
