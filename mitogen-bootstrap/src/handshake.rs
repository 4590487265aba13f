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

mod report;

use crate::handshake_lines::Lines;
pub use crate::handshake_lines::{KEPT_BYTES, KEPT_LINES, SeenLine};
use crate::handshake_markers::{Found, Marker, Scanner};
use crate::plan::{
    Answer, Ask, BootPlan, Comms, FailureKind, FailureRule, Prompt, Secret, SecretName, Source, Stderr,
};
use bytes::Bytes;
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
    /// The secret that a refusal is about.
    last_sent: Option<SecretName>,
    exit: Option<Exit>,
    /// Channels that may still bring something; all closed and the exit known = decided.
    open: Open,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum State {
    Waiting { phase: Phase, scanner: Scanner },
    Over,
}

#[derive(Debug)]
struct PromptState {
    prompt: Prompt,
    sent: bool,
}

/// What stands on the terminal behind its last line feed.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    /// Maybe a question.
    Open,
    /// It was answered; the tool ends its line before it asks again.
    Answered,
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
            prompts: plan.prompts.iter().map(|p| PromptState { prompt: p.clone(), sent: false }).collect(),
            rules: plan.failures.clone(),
            hint: plan.hint.clone(),
            lines: Lines::default(),
            question: Question::Open,
            last_sent: None,
            exit: None,
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
        self.fail(kind, None);
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
            self.question = Question::Open;
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
                self.outputs.push_back(Output::SendPreamble);
            }
            (phase, Marker::Ec9) if phase <= Phase::FirstStage => {
                let hint = "install python3 on the target, or name its interpreter".to_owned();
                self.fail_in(Phase::Interpreter, FailureKind::NoInterpreter, Some(hint));
            }
            (Phase::FirstStage, Marker::Ec1) => self.enter(Phase::Agent),
            (Phase::Agent, Marker::Ec2) => {
                self.enter(Phase::Ready);
                self.state = State::Over;
                self.outputs.push_back(Output::Ready { residue: Bytes::copy_from_slice(rest) });
            }
            // A marker out of its turn is noise: a shell that prints what it runs, for one.
            (_, marker) => self.lines.feed(self.comms, marker.text()),
        }
    }

    fn consider_question(&mut self, echo: bool, quiet: bool) {
        // Behind the first marker nobody asks us any more.
        if self.phase() != Phase::Login && self.phase() != Phase::Interpreter
            || self.question == Question::Answered
        {
            return;
        }
        let text = self.lines.partial(Source::Terminal);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let mut undecided = false;
        let mut hit = None;
        for (index, state) in self.prompts.iter().enumerate() {
            let matches = match &state.prompt.ask {
                Ask::Hidden => !echo,
                Ask::HiddenLike(pattern) => !echo && pattern.matches(text),
                Ask::Like(pattern) => pattern.matches(text),
            };
            if matches {
                hit = Some(index);
                break;
            }
            undecided |= match &state.prompt.ask {
                Ask::Hidden => false,
                Ask::HiddenLike(p) | Ask::Like(p) => p.may_become(text),
            };
        }
        match hit {
            // A longer question may be growing here that an earlier entry wants.
            Some(_) if undecided && !quiet => {}
            Some(index) => self.answer(index),
            None if !echo => self.fail_asked(),
            None if quiet => {
                self.fail(
                    FailureKind::UnexpectedPrompt,
                    Some("answer it once by hand, or change the option that makes the tool ask".into()),
                );
            }
            None => {}
        }
    }

    fn answer(&mut self, index: usize) {
        let state = &mut self.prompts[index];
        match &state.prompt.answer {
            Answer::Fail(kind, advice) => {
                let (kind, advice) = (kind.clone(), advice.clone());
                self.fail(kind, Some(advice));
            }
            Answer::Secret(secret) if state.sent => {
                let name = secret.name().clone();
                // An expired password is asked for again, too; the text tells.
                match self.judge(|rule| rule.kind == FailureKind::PasswordExpired) {
                    Some((kind, advice)) => self.fail(kind, Some(advice)),
                    None => {
                        let hint = format!("check the {name}: it was asked for again after it had been sent");
                        self.fail(FailureKind::WrongSecret(name), Some(hint));
                    }
                }
            }
            Answer::Secret(secret) => {
                state.sent = true;
                let secret = secret.clone();
                self.last_sent = Some(secret.name().clone());
                self.question = Question::Answered;
                self.lines.blot(secret.expose());
                self.outputs.push_back(Output::SendSecret(secret));
            }
        }
    }

    fn fail_noise(&mut self) {
        let hint = "something prints a lot before the interpreter starts: look at the login scripts";
        self.fail(FailureKind::Noise, Some(hint.into()));
    }

    /// The tool waits for a secret that no prompt of the plan knows.
    fn fail_asked(&mut self) {
        let name = SecretName("password".into());
        self.fail(FailureKind::SecretNeeded(name), Some("give the secret that the tool asks for".into()));
    }

    fn conclude_if_over(&mut self) {
        if self.exit.is_some() && !self.open.stdout && !self.open.stderr && !self.open.terminal {
            self.conclude();
        }
    }

    /// The tool is gone: find out why.
    fn conclude(&mut self) {
        let exit = self.exit;
        let status = match exit {
            Some(Exit::Status(status)) => Some(status),
            _ => None,
        };
        let phase = self.phase();
        if phase <= Phase::Interpreter
            && let Some((kind, advice)) = self.judge(|rule| rule.status.is_none() || rule.status == status)
        {
            return match (kind, self.last_sent.clone()) {
                (FailureKind::AuthRefused | FailureKind::SecretNeeded(_), Some(name)) => {
                    let advice = format!("check the {name}, and what else the host demands");
                    self.fail(FailureKind::WrongSecret(name), Some(advice));
                }
                (kind, _) => self.fail(kind, Some(advice)),
            };
        }
        let crashed = phase >= Phase::FirstStage && self.lines.any(|l| l.starts_with("Traceback ("));
        match status {
            Some(126 | 127) if phase <= Phase::FirstStage => {
                let hint = "check the interpreter's path on the target".to_owned();
                self.fail_in(phase.min(Phase::Interpreter), FailureKind::Exec, Some(hint));
            }
            _ if crashed => {
                let hint = "the traceback above is the interpreter's; is its standard library whole?";
                self.fail(FailureKind::AgentCrashed, Some(hint.into()));
            }
            _ => {
                let hint = self.hint.clone();
                self.fail(FailureKind::Ended, hint);
            }
        }
    }

    /// The verdict of the last line that one of the admitted rules matches.
    fn judge(&self, admit: impl Fn(&FailureRule) -> bool) -> Option<(FailureKind, String)> {
        let lines = self.lines.merged();
        let at = |rule: &FailureRule, line: &SeenLine| {
            rule.source.is_none_or(|source| source == line.source) && rule.line.matches(&line.text)
        };
        lines.iter().enumerate().rev().find_map(|(index, line)| {
            let rule = self.rules.iter().find(|rule| {
                admit(rule)
                    && at(rule, line)
                    && rule
                        .also
                        .as_ref()
                        .is_none_or(|also| lines[..=index].iter().any(|l| also.matches(&l.text)))
            })?;
            Some((rule.kind.clone(), rule.advice.clone()))
        })
    }

    fn fail(&mut self, kind: FailureKind, hint: Option<String>) {
        self.fail_in(self.phase(), kind, hint);
    }

    fn fail_in(&mut self, phase: Phase, kind: FailureKind, hint: Option<String>) {
        if !self.is_waiting() {
            return;
        }
        self.note_noise();
        if let State::Waiting { scanner, .. } = &self.state {
            let held = scanner.held().to_vec();
            self.lines.feed(self.comms, &held);
        }
        self.state = State::Over;
        let hint = hint.filter(|h| !h.is_empty()).or_else(|| self.hint.clone());
        let lines = self.lines.merged();
        self.outputs.push_back(Output::Failed(Box::new(Failure {
            phase,
            kind,
            exit: self.exit,
            lines,
            hint,
        })));
    }
}
