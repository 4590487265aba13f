//! A birth that another context attended: what it saw, judged as if it had been seen here.

use super::{Exit, Failure, Handshake, Output, Phase};
use crate::handshake_markers::Marker;
use crate::plan::{Answer, BootPlan, FailureKind, Source};
use mitogen_wire::Value;
use mitogen_wire::body::BodyError;
use std::time::Duration;

/// The answer to a [`RunPlan`](crate::plan_message::RunPlan).
///
/// On the wire: a pickled dict with text keys. `ok` True comes with `elapsed` (seconds). `ok` False
/// comes with `elapsed`, `phase` (`spawn`, `login`, `interpreter`, `first-stage`, `agent`), `reason`
/// (`eof`, `timeout`, `asked`, `noise`, `no-python`, `spawn`), `status` (None; below zero, a signal),
/// `errno` and `message` (for `spawn`), `lines` (pairs of `stdout`, `stderr` or `tty`, and a line) and,
/// where known, `sent` (which of the plan's secrets were sent, as a list of indices), `echo` (whether
/// the terminal echoed at the last question) and `refused` (True when the secret that this question
/// wanted was to be fetched, and was not to be had).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// How long the attempt took.
    pub elapsed: Duration,
    /// Why no context was born, if none was.
    pub failure: Option<Box<Failure>>,
}

impl RunReport {
    /// Reads what came for `plan`. The verdict is that of the same rules, in the same machine, as for a
    /// tool that was started here.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when it is no such dict.
    pub fn read(plan: &BootPlan, value: &Value) -> Result<RunReport, BodyError> {
        let get = |key| value.get(key).unwrap_or(&Value::None);
        let ok = get("ok").as_bool().ok_or_else(|| malformed("it does not say whether it is `ok`"))?;
        let seconds = get("elapsed").as_f64().unwrap_or(0.0);
        let elapsed = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        let failure = if ok { None } else { Some(Box::new(judge(plan, value)?)) };
        Ok(RunReport { elapsed, failure })
    }
}

fn judge(plan: &BootPlan, value: &Value) -> Result<Failure, BodyError> {
    let get = |key| value.get(key).unwrap_or(&Value::None);
    let reason = get("reason").as_str().ok_or_else(|| malformed("it gives no `reason`"))?;
    let phase = match get("phase").as_str() {
        Some("spawn") => Phase::Spawn,
        Some("login") if plan.logs_in => Phase::Login,
        Some("login" | "interpreter") => Phase::Interpreter,
        Some("first-stage") => Phase::FirstStage,
        Some("agent") => Phase::Agent,
        _ => return Err(malformed("it names no `phase`")),
    };
    let mut machine = Handshake::new(plan);
    if reason == "spawn" {
        let kind = match get("errno").as_i64() {
            // ENOENT and EACCES are the same numbers everywhere.
            Some(2 | 13) => FailureKind::ToolMissing,
            _ => FailureKind::Io,
        };
        let program = plan.argv.first().map(String::as_str).unwrap_or_default();
        let text = get("message").as_str().unwrap_or("it could not be started");
        machine.handle_spawn_error(kind, &format!("{program}: {text}"));
        return machine.verdict();
    }
    machine.handle_spawned();
    machine.recall_sent(get("sent"), reason == "asked");
    machine.recall_lines(lines(get("lines")), reason == "asked");
    machine.recall_phase(phase);
    machine.exit = get("status")
        .as_i64()
        .and_then(|status| i32::try_from(status).ok())
        .map(|status| if status < 0 { Exit::Signal(status.saturating_neg()) } else { Exit::Status(status) });
    match reason {
        "timeout" => machine.handle_deadline(),
        "noise" => machine.fail_noise(),
        "no-python" => machine.fail_no_interpreter(),
        "asked" => {
            let echo = get("echo").as_bool().unwrap_or(false);
            machine.recall_question(echo, get("refused").as_bool().unwrap_or(false));
            machine.consider_question(echo, true);
            if machine.is_waiting() {
                machine.fail_asked();
            }
        }
        // `eof`, and whatever later agents may call it: the tool is gone, and its last words tell why.
        _ => {
            machine.handle_stdout_eof();
            machine.handle_settled();
        }
    }
    machine.verdict()
}

impl Handshake {
    /// These secrets were sent. Where the report does not say, a question that ended the attempt means
    /// that those which could be sent were.
    fn recall_sent(&mut self, sent: &Value, asked: bool) {
        let known = sent.as_slice().map(|items| {
            items.iter().filter_map(|item| item.as_u64().and_then(|at| usize::try_from(at).ok())).collect()
        });
        let sent: Vec<usize> = match known {
            Some(sent) => sent,
            None if asked => (0..self.prompts.len()).collect(),
            None => Vec::new(),
        };
        for at in sent {
            let Some(state) = self.prompts.get_mut(at) else { continue };
            state.sent = !matches!(state.prompt.answer, Answer::Fail(..));
            match state.prompt.answer.clone() {
                Answer::Secret(secret) => {
                    self.lines.blot(secret.expose());
                    self.note_sent(secret.name().clone());
                }
                // What was fetched was blotted out there.
                Answer::Fetch(name) => self.note_sent(name),
                Answer::Say(_) | Answer::Fail(..) => {}
            }
        }
    }

    /// Of an attempt that a question ended, the last line of the terminal is that question.
    fn recall_lines(&mut self, lines: Vec<(Source, &[u8])>, asked: bool) {
        let question = lines.iter().rposition(|(source, _)| *source == Source::Terminal).filter(|_| asked);
        for (at, (source, line)) in lines.into_iter().enumerate() {
            self.lines.feed(source, line);
            if Some(at) != question {
                self.lines.feed(source, b"\n");
            }
        }
    }

    fn recall_phase(&mut self, phase: Phase) {
        if phase >= Phase::FirstStage {
            self.handle_marker(Marker::Ec0, &[]);
        }
        if phase >= Phase::Agent {
            self.handle_marker(Marker::Ec1, &[]);
        }
        if phase > self.phase() {
            self.enter(phase);
        }
    }

    fn verdict(mut self) -> Result<Failure, BodyError> {
        while let Some(output) = self.poll_output() {
            if let Output::Failed(failure) = output {
                return Ok(*failure);
            }
        }
        Err(malformed("it is no failure"))
    }
}

fn lines(value: &Value) -> Vec<(Source, &[u8])> {
    value.as_slice().unwrap_or_default().iter().filter_map(line).collect()
}

fn line(pair: &Value) -> Option<(Source, &[u8])> {
    let [source, line] = pair.as_slice()? else { return None };
    let source = match source.as_str()? {
        "stdout" => Source::Stdout,
        "stderr" => Source::Stderr,
        "tty" => Source::Terminal,
        _ => return None,
    };
    match line {
        Value::Text(text) => Some((source, text.as_bytes())),
        other => Some((source, other.as_bytes()?)),
    }
}

fn malformed(problem: &'static str) -> BodyError {
    BodyError::Malformed { body: "answer to a plan", problem }
}
