//! Why a context was not born, told so that its reader can do something about it.

use mitogen_bootstrap::handshake::{Exit, Failure, Phase, SeenLine};
use mitogen_bootstrap::plan::{BootPlan, FailureKind};
use std::fmt;
use std::time::Duration;

/// How many of the last lines `Display` shows.
const SHOWN_LINES: usize = 12;

/// A connection that failed. `Display` takes several lines: what failed, where, what was seen last
/// and what to try. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectError {
    /// The hop as users write it: `ssh:alice@web1`.
    pub hop: String,
    /// The context that carried the plan out, if it was not this program: its name.
    pub via: Option<String>,
    /// What was being waited for.
    pub phase: Phase,
    /// What went wrong.
    pub kind: FailureKind,
    /// How the tool ended by itself, if it did.
    pub exit: Option<Exit>,
    /// What was run.
    pub argv: Vec<String>,
    /// The last lines seen, in the order of their arrival.
    pub last_lines: Vec<SeenLine>,
    /// What to try.
    pub hint: Option<String>,
    /// How long the attempt took.
    pub elapsed: Duration,
}

impl ConnectError {
    /// The error of a `plan` that failed so; `via` is the context that carried it out, if that was not
    /// this program.
    pub fn new(
        plan: &BootPlan,
        via: Option<String>,
        failure: Failure,
        elapsed: Duration,
    ) -> Box<ConnectError> {
        Box::new(ConnectError {
            hop: plan.hop.clone(),
            via,
            phase: failure.phase,
            kind: failure.kind,
            exit: failure.exit,
            argv: plan.argv.clone(),
            last_lines: failure.lines,
            hint: failure.hint,
            elapsed,
        })
    }

    /// Whether a login, or the right to become another user, was refused or wants something from the user.
    pub fn is_auth(&self) -> bool {
        matches!(
            self.kind,
            FailureKind::AuthRefused
                | FailureKind::WrongSecret(_)
                | FailureKind::SecretNeeded(_)
                | FailureKind::PasswordExpired
                | FailureKind::NotPermitted
                | FailureKind::AccountUnusable
                | FailureKind::NoSuchUser
                | FailureKind::UnexpectedPrompt
        )
    }

    /// Whether an ssh server hung up before it said who it is, as one does that has too many logins under way
    /// (sshd's `MaxStartups`): nothing was asked and nothing refused, and a later attempt may succeed.
    pub fn is_turned_away(&self) -> bool {
        let sign = |line: &SeenLine| {
            ["kex_exchange_identification: ", "ssh_exchange_identification: "]
                .iter()
                .any(|start| line.text.starts_with(start))
        };
        self.kind == FailureKind::Refused && self.last_lines.iter().any(sign)
    }

    /// Whether the host's key is unknown, changed or revoked.
    pub fn is_host_key(&self) -> bool {
        use FailureKind::{HostKeyChanged, HostKeyRevoked, HostKeyUnknown};
        matches!(self.kind, HostKeyUnknown | HostKeyChanged | HostKeyRevoked)
    }

    /// Whether the deadline passed.
    pub fn is_timeout(&self) -> bool {
        self.kind == FailureKind::TimedOut
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        write!(f, "cannot connect to {}", self.hop)?;
        if let Some(via) = &self.via {
            write!(f, " from {via}")?;
        }
        write!(f, ": {} ({} phase, after {seconds:.1} s", self.kind, self.phase)?;
        if let Some(exit) = self.exit {
            write!(f, "; {} {exit}", self.argv.first().map_or("the process", String::as_str))?;
        }
        f.write_str(")")?;
        let left_out = self.last_lines.len().saturating_sub(SHOWN_LINES);
        if self.last_lines.is_empty() {
            f.write_str("\n  nothing was printed")?;
        } else {
            f.write_str("\n  last lines seen:")?;
        }
        for line in &self.last_lines[left_out..] {
            write!(f, "\n    {}: {}", line.source, line.text)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  try: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}
