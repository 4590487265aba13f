//! A handshake that is fed what tools say, cut anywhere, among noise.

use mitogen_bootstrap::handshake::{Exit, Failure, Handshake, Output};
use mitogen_transport::{BootPlan, FailureKind, Method, Source};
use proptest::prelude::*;

/// A machine, and what it has said so far.
pub(crate) struct Birth {
    pub(crate) machine: Handshake,
    pub(crate) plan: BootPlan,
    pub(crate) sent: Vec<String>,
    pub(crate) fetches: Vec<String>,
    pub(crate) failure: Option<Failure>,
}

impl Birth {
    pub(crate) fn new(method: impl Into<Method>) -> Birth {
        let plan = method.into().plan();
        let mut machine = Handshake::new(&plan);
        machine.handle_spawned();
        Birth { machine, plan, sent: Vec::new(), fetches: Vec::new(), failure: None }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::SendSecret(secret) => self.sent.push(secret.expose().to_owned()),
                Output::SendText(text) => self.sent.push(text),
                Output::FetchSecret { question, .. } => self.fetches.push(question),
                Output::Failed(failure) => self.failure = Some(*failure),
                _ => {}
            }
        }
    }

    pub(crate) fn say(&mut self, source: Source, text: &str, cuts: &[usize]) {
        for piece in pieces(text.as_bytes(), cuts) {
            match source {
                Source::Stdout => self.machine.handle_stdout(piece),
                Source::Stderr => self.machine.handle_stderr(piece),
                Source::Terminal => self.machine.handle_terminal(piece, true),
            }
            self.drain();
        }
    }

    pub(crate) fn end(mut self, status: i32) -> FailureKind {
        self.machine.handle_exit(Exit::Status(status));
        self.machine.handle_stdout_eof();
        self.machine.handle_stderr_eof();
        self.machine.handle_terminal_eof();
        self.machine.handle_settled();
        self.drain();
        self.failure.expect("a verdict").kind
    }
}

/// The bytes, cut into pieces of these lengths, and the rest.
pub(crate) fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut out = Vec::new();
    for &cut in cuts {
        let (piece, rest) = bytes.split_at(cut.min(bytes.len()));
        if !piece.is_empty() {
            out.push(piece);
        }
        bytes = rest;
    }
    out.extend(Some(bytes).filter(|rest| !rest.is_empty()));
    out
}

/// Lines that say nothing, with words in them that could be taken for something.
pub(crate) fn noise() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[ -~]{0,30}",
        Just("*** banner: password: Permission denied ***".to_owned()),
        Just("Last login: Mon from EC0 EC2".to_owned()),
        Just("Mot de passe\u{a0}: 密码： Passwort für bob:".to_owned()),
        Just("E".to_owned()),
        Just("\u{1b}[31mred\u{1b}[0m".to_owned()),
    ];
    proptest::collection::vec(line, 0..5)
        .prop_map(|lines| lines.iter().map(|line| format!("{line}\r\n")).collect())
}

pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1usize..9, 0..40)
}
