//! What came of a target: the answer or the failure, its JSON, and the exit status of all of them.

use crate::{
    command::{
        doctor::{self, Finding},
        ping::RoundTrips,
        transfer,
        tree::{self, Row},
    },
    console::Paint,
    json,
};
use mitogen::Value;
use std::time::Duration;

/// What came of the work on one target.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The target, as it is printed.
    pub(crate) target: String,
    /// What it gave. A failure may come with an answer (a command that ended with a status other than 0).
    pub(crate) answer: Option<Answer>,
    /// What went wrong.
    pub(crate) failure: Option<Failure>,
    /// How long it took, connecting included.
    pub(crate) elapsed: Duration,
}

/// What a target gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The result of a function.
    Value(Value),
    /// What a command left behind.
    Output {
        /// Its status; below zero, the number of the signal that ended it.
        status: i32,
        /// What it wrote.
        stdout: Vec<u8>,
        /// What it wrote there.
        stderr: Vec<u8>,
    },
    /// What files came to.
    Moved(transfer::Moved),
    /// How fast the target answered.
    RoundTrips(RoundTrips),
    /// The contexts on the way.
    Tree(Vec<Row>),
    /// How each phase went.
    Findings(Vec<Finding>),
}

/// What went wrong with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// One line, without a hint.
    pub(crate) message: String,
    /// Which hop failed, as it is printed.
    pub(crate) hop: Option<String>,
    /// Which phase of the connection failed.
    pub(crate) phase: Option<String>,
    /// The remote traceback.
    pub(crate) traceback: Option<String>,
    /// The class of the remote exception.
    pub(crate) type_name: Option<String>,
    /// The last lines that were seen.
    pub(crate) seen: Vec<String>,
    /// What to try.
    pub(crate) hint: Option<String>,
}

/// The kinds of failure that scripts may tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Usage,
    Connect,
    Auth,
    HostKey,
    Timeout,
    Call,
    Lost,
    Protocol,
    Internal,
}

/// The exit statuses that are not a remote command's.
pub(crate) mod exit {
    pub(crate) const OK: u8 = 0;
    pub(crate) const CALL: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const UNREACHABLE: u8 = 4;
    pub(crate) const REFUSED: u8 = 5;
    pub(crate) const TIMEOUT: u8 = 6;
    pub(crate) const OUR_FAULT: u8 = 70;
    pub(crate) const INTERRUPTED: u8 = 130;
}

impl Kind {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Usage => "usage",
            Kind::Connect => "connect",
            Kind::Auth => "auth",
            Kind::HostKey => "host-key",
            Kind::Timeout => "timeout",
            Kind::Call => "call",
            Kind::Lost => "lost",
            Kind::Protocol => "protocol",
            Kind::Internal => "internal",
        }
    }

    /// The exit status of a command that failed so.
    fn exit_status(self) -> u8 {
        match self {
            Kind::Call => exit::CALL,
            Kind::Usage => exit::USAGE,
            // A peer that breaks the protocol is lost to us.
            Kind::Connect | Kind::Lost | Kind::Protocol => exit::UNREACHABLE,
            Kind::Auth | Kind::HostKey => exit::REFUSED,
            Kind::Timeout => exit::TIMEOUT,
            Kind::Internal => exit::OUR_FAULT,
        }
    }
}

/// The exit status of all failures together: the highest of 4 to 6; else our own fault; else the lowest.
pub(crate) fn combine(failures: impl IntoIterator<Item = Kind>) -> u8 {
    let mut statuses: Vec<u8> = failures.into_iter().map(Kind::exit_status).collect();
    statuses.sort_unstable();
    let connection =
        statuses.iter().rev().find(|status| (exit::UNREACHABLE..=exit::TIMEOUT).contains(*status));
    let fault = statuses.iter().find(|status| **status == exit::OUR_FAULT);
    connection.or(fault).or(statuses.first()).copied().unwrap_or(exit::OK)
}

/// The status of a shell for a remote status: below zero is a signal.
pub(crate) fn shell_status(status: i32) -> u8 {
    match status {
        ..0 => u8::try_from(status.unsigned_abs().saturating_add(128)).unwrap_or(u8::MAX),
        // A status is 8 bits wide; should a peer claim more, it must not become a success.
        0..256 => status as u8,
        256.. => u8::MAX,
    }
}

impl Outcome {
    /// The RESULT of `--json`.
    pub(crate) fn json(&self) -> String {
        let mut out = String::from("{\"target\": ");
        json::write_string(&self.target, &mut out);
        out.push_str(if self.failure.is_none() { ", \"ok\": true" } else { ", \"ok\": false" });
        if let Some(answer) = &self.answer {
            out.push_str(", \"value\": ");
            answer.write_json(&mut out);
        }
        if let Some(failure) = &self.failure {
            out.push_str(", \"error\": ");
            failure.write_json(&mut out);
        }
        out.push_str(&format!(", \"seconds\": {:.6}}}", self.elapsed.as_secs_f64()));
        out
    }
}

impl Answer {
    /// What people are shown, without a line feed at its end.
    pub(crate) fn text(&self, paint: Paint) -> String {
        match self {
            Answer::Value(value) => json::to_text(value),
            // A command's output is shown as it is; this is for completeness.
            Answer::Output { stdout, .. } => String::from_utf8_lossy(stdout).into_owned(),
            Answer::Moved(moved) => moved.text(),
            Answer::RoundTrips(times) => times.text(),
            Answer::Tree(rows) => tree::text(rows),
            Answer::Findings(findings) => doctor::table(findings, paint),
        }
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Answer::Value(value) => out.push_str(&json::to_json(value)),
            Answer::Output { status, stdout, stderr } => {
                out.push_str(&format!("{{\"status\": {status}, \"stdout\": "));
                json::write_bytes(stdout, out);
                out.push_str(", \"stderr\": ");
                json::write_bytes(stderr, out);
                out.push('}');
            }
            Answer::Moved(moved) => moved.write_json(out),
            Answer::RoundTrips(times) => times.write_json(out),
            Answer::Tree(rows) => tree::write_json(rows, out),
            Answer::Findings(findings) => {
                out.push_str("{\"phases\": [");
                for (index, finding) in findings.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    finding.write_json(out);
                }
                out.push_str("]}");
            }
        }
    }
}

impl Failure {
    /// A failure of which only this much is known.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hop: None,
            phase: None,
            traceback: None,
            type_name: None,
            seen: Vec::new(),
            hint: None,
        }
    }

    fn write_json(&self, out: &mut String) {
        out.push_str(&format!("{{\"kind\": \"{}\"", self.kind.name()));
        let message = Some(&self.message);
        let fields = [
            ("message", message),
            ("hop", self.hop.as_ref()),
            ("phase", self.phase.as_ref()),
            ("traceback", self.traceback.as_ref()),
            ("type", self.type_name.as_ref()),
        ];
        for (name, text) in fields {
            out.push_str(&format!(", \"{name}\": "));
            match text {
                Some(text) => json::write_string(text, out),
                None => out.push_str("null"),
            }
        }
        // Not of the fixed shape, and only there when there is something to say.
        if let Some(hint) = &self.hint {
            out.push_str(", \"hint\": ");
            json::write_string(hint, out);
        }
        if !self.seen.is_empty() {
            out.push_str(", \"seen\": [");
            for (index, line) in self.seen.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                json::write_string(line, out);
            }
            out.push(']');
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_that_of_the_gravest_failure() {
        use Kind::*;
        for (failures, status) in [
            (&[][..], 0),
            (&[Call], 1),
            (&[Connect], 4),
            (&[Lost], 4),
            (&[Auth], 5),
            (&[HostKey], 5),
            (&[Timeout], 6),
            (&[Internal], 70),
            (&[Call, Call], 1),
            (&[Call, Connect], 4),
            (&[Auth, Call, Connect], 5),
            (&[Timeout, Auth], 6),
            (&[Internal, Call], 70),
            (&[Internal, Lost], 4),
        ] {
            assert_eq!(combine(failures.iter().copied()), status, "{failures:?}");
        }
    }

    #[test]
    fn a_signal_is_shown_as_a_shell_shows_it() {
        assert_eq!([shell_status(0), shell_status(3), shell_status(255)], [0, 3, 255]);
        assert_eq!([shell_status(-9), shell_status(-15)], [137, 143]);
        assert_eq!([shell_status(256), shell_status(i32::MAX), shell_status(i32::MIN)], [255, 255, 255]);
    }

    fn outcome(answer: Option<Answer>, failure: Option<Failure>) -> Outcome {
        Outcome { target: "ssh:web1".into(), answer, failure, elapsed: Duration::from_millis(123) }
    }

    #[test]
    fn a_result_has_the_documented_shape() {
        assert_eq!(
            outcome(Some(Answer::Value(Value::Int(1))), None).json(),
            r#"{"target": "ssh:web1", "ok": true, "value": 1, "seconds": 0.123000}"#
        );
        let failure = Failure { hop: Some("ssh:web1".into()), ..Failure::new(Kind::HostKey, "no \"key\"") };
        assert_eq!(
            outcome(None, Some(failure)).json(),
            r#"{"target": "ssh:web1", "ok": false, "error": {"kind": "host-key", "message": "no \"key\"", "hop": "ssh:web1", "phase": null, "traceback": null, "type": null}, "seconds": 0.123000}"#
        );
    }

    #[test]
    fn a_failed_command_keeps_its_output() {
        let answer = Answer::Output { status: 3, stdout: b"out\n".to_vec(), stderr: b"\xff".to_vec() };
        let text = outcome(Some(answer), Some(Failure::new(Kind::Call, "status 3"))).json();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["error"]["kind"], "call");
        assert_eq!(json["value"]["status"], 3);
        assert_eq!(json["value"]["stdout"], "out\n");
        assert_eq!(json["value"]["stderr"]["base64"], "/w==");
    }
}
