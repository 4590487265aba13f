//! Errors of the library, as results and people see them.

use crate::outcome::{Failure, Kind};
use mitogen::{ConnectError, Error, FailureKind, LostReason, Phase, SecretName};

/// How many of the last lines seen are worth showing.
const SEEN: usize = 8;
/// The same of what ssh says of a host's key: that is a text of so many lines, and only whole is it of use.
const SEEN_OF_KEY: usize = 16;

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let kind = match error {
            Error::Connect(error) => return Failure::from(&**error),
            Error::Call(error) => {
                return Failure {
                    traceback: error.traceback.clone(),
                    type_name: Some(error.type_name.clone()).filter(|name| !name.is_empty()),
                    ..Failure::new(Kind::Call, error.message.clone())
                };
            }
            Error::Lost { hop, reason, .. } => {
                let kind = match reason {
                    LostReason::Corrupt(_) => Kind::Protocol,
                    _ => Kind::Lost,
                };
                let message = format!("the context was lost: {reason}");
                return Failure { hop: Some(hop.clone()), ..Failure::new(kind, message) };
            }
            Error::Timeout { what, after, .. } => {
                return Failure::new(
                    Kind::Timeout,
                    format!("{what}: no answer within {} s", after.as_secs_f64()),
                );
            }
            // Arguments that cannot be sent and results that cannot be read (a datetime, say) are faults of the call.
            Error::File(_)
            | Error::Refused { .. }
            | Error::Encode { .. }
            | Error::TooLarge { .. }
            | Error::CallsTooLarge { .. }
            | Error::Decode { .. } => Kind::Call,
            Error::BadName { .. } | Error::NotUpstream { .. } => Kind::Usage,
            _ => Kind::Internal,
        };
        Failure::new(kind, chain(error))
    }
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        let kind = if error.is_host_key() {
            Kind::HostKey
        } else if error.is_auth() {
            Kind::Auth
        } else if error.is_timeout() {
            Kind::Timeout
        } else {
            Kind::Connect
        };
        Failure {
            hop: Some(error.hop.clone()),
            phase: Some(phase_name(error).to_owned()),
            hint: hint(error),
            seen: seen(error),
            ..Failure::new(kind, error.kind.to_string())
        }
    }
}

/// The last lines that say something: frames and rulers do not.
fn seen(error: &ConnectError) -> Vec<String> {
    let limit = if error.is_host_key() { SEEN_OF_KEY } else { SEEN };
    let undressed = error.last_lines.iter().map(|line| line.text.trim_matches(['@', '*', '=', '#']));
    let speaking: Vec<&str> = undressed
        .zip(&error.last_lines)
        .filter(|(bare, _)| bare.chars().any(char::is_alphanumeric))
        // Of a framed line the words; any other as it is, since the blanks in front may mean something.
        .map(|(bare, line)| if line.text.starts_with('@') { bare.trim() } else { line.text.trim_end() })
        .collect();
    speaking[speaking.len().saturating_sub(limit)..].iter().map(|&line| line.to_owned()).collect()
}

/// What to try, with the options of ours that do it.
fn hint(error: &ConnectError) -> Option<String> {
    let becomes = ["sudo:", "su:", "doas:"].iter().any(|method| error.hop.starts_with(method));
    let options = match error.kind {
        FailureKind::SecretNeeded(SecretName(ref name)) if name == "second factor" => {
            "--ask-second-factor, --second-factor-command"
        }
        FailureKind::SecretNeeded(SecretName(ref name)) if name == "passphrase" => {
            "ssh-add, which gives the key to the agent"
        }
        FailureKind::AuthRefused | FailureKind::SecretNeeded(_) if becomes => {
            "--ask-become-pass, --become-password-file"
        }
        FailureKind::AuthRefused | FailureKind::SecretNeeded(_) => "--ask-pass, --password-file, --identity",
        FailureKind::HostKeyUnknown => "--host-keys accept-new",
        FailureKind::NoInterpreter | FailureKind::Exec => "--python",
        FailureKind::TimedOut => "--connect-timeout, and `mitogen doctor` for what ssh_config sets",
        FailureKind::NoInput | FailureKind::Background => "--ssh-option",
        _ => return error.hint.clone(),
    };
    Some(match &error.hint {
        Some(hint) => format!("{hint} (see {options})"),
        None => format!("see {options}"),
    })
}

/// The phase in the words of the manual: those that the doctor uses too.
pub(crate) fn phase_name(error: &ConnectError) -> &'static str {
    match error.phase {
        _ if error.kind == FailureKind::Resolve => "resolve",
        Phase::Spawn | Phase::Login => "auth",
        Phase::Interpreter => "interpreter",
        Phase::FirstStage => "first stage",
        Phase::Agent => "agent",
        Phase::Ready => "first call",
    }
}

/// An error with all that caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}
