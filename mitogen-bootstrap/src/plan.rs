//! A connection method as data: what to run, how to wire it, what it may ask and how it fails.
//!
//! A [`BootPlan`] is made by a pure function of a method's options, carried out by whoever starts
//! the process (this machine's transport, or a parent context elsewhere that got it as a message),
//! and read by the [`Handshake`](crate::handshake::Handshake). Its patterns are therefore plain
//! text comparisons that any language can do.

use std::fmt;
use zeroize::Zeroizing;

/// Everything that is needed to start one hop and to understand what its tool says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootPlan {
    /// The hop in the form users write it: `ssh:alice@web1:2222`.
    pub hop: String,
    /// The command line; the first word is looked up in `PATH`. Never contains a secret.
    pub argv: Vec<String>,
    /// Changes to the environment that the tool inherits, applied in order.
    pub env: Vec<EnvChange>,
    /// How the tool's descriptors are connected.
    pub wiring: Wiring,
    /// Whether the tool has to log in somewhere before it runs the boot command. When it has not,
    /// the handshake starts in the interpreter phase.
    pub logs_in: bool,
    /// What the tool may ask for, in the order in which the entries are tried.
    pub prompts: Vec<Prompt>,
    /// How to read the tool's last words. Consulted only once it has ended (or has asked for the
    /// same secret twice), so that a banner cannot pass for a failure.
    pub failures: Vec<FailureRule>,
    /// What to try when the hop fails and no rule knows better.
    pub hint: Option<String>,
}

/// One change to the tool's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvChange {
    /// Sets a variable.
    Set(String, String),
    /// Removes a variable.
    Unset(String),
}

/// How the tool's descriptors are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// What descriptors 0 and 1 are.
    pub comms: Comms,
    /// What descriptor 2 is.
    pub stderr: Stderr,
    /// Whether the tool gets a pty as its controlling terminal (for prompts only, unless `comms`
    /// is [`Comms::Pty`]). Without one it has no controlling terminal at all.
    pub terminal: bool,
}

impl Wiring {
    /// A socket pair and a pipe for standard error; no terminal.
    pub const PLAIN: Wiring = Wiring { comms: Comms::SocketPair, stderr: Stderr::Apart, terminal: false };
    /// As [`Wiring::PLAIN`], and a controlling terminal on which the tool can prompt.
    pub const HYBRID: Wiring = Wiring { terminal: true, ..Wiring::PLAIN };
    /// Everything on one pty, for tools that insist on it.
    pub const PTY: Wiring = Wiring { comms: Comms::Pty, stderr: Stderr::Merged, terminal: true };
}

/// What descriptors 0 and 1 of the tool are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comms {
    /// One end of an `AF_UNIX` stream socket pair.
    SocketPair,
    /// Two pipes, for tools that hand their descriptors across a security boundary.
    Pipes,
    /// The controlling pty's slave. It is switched to raw mode when the first marker comes.
    Pty,
}

/// What descriptor 2 of the tool is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// A pipe of its own.
    Apart,
    /// The same as descriptor 1.
    Merged,
    /// The controlling pty.
    Terminal,
}

/// Something the tool may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// How the question is recognised.
    pub ask: Ask,
    /// What to do about it.
    pub answer: Answer,
}

/// How a question is recognised. The text of a question is what stands on the terminal after its
/// last line feed, without carriage returns and surrounding blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Any text, while the terminal does not echo: the tool waits for a secret. Says nothing
    /// about the text, so that translations and custom prompts do not matter.
    Hidden,
    /// Text that matches, while the terminal does not echo.
    HiddenLike(Pattern),
    /// Text that matches, echo or not.
    Like(Pattern),
}

/// What to do about a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send this secret and a line feed, once. The same question again means that it was wrong, unless
    /// a later entry with the same `ask` has another secret for it.
    Secret(Secret),
    /// Have this secret fetched now, and send it and a line feed: once for each question, as its text
    /// tells them apart. The same question again means that it was wrong.
    Fetch(SecretName),
    /// Send this text, which is no secret, and a line feed, once.
    Say(String),
    /// Give up with this kind of failure.
    Fail(FailureKind, String),
}

/// What a secret is for, as shown to users: `password`, `passphrase`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName(pub String);

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret with its name. The value is wiped from memory when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: SecretName,
    value: Zeroizing<String>,
}

impl Secret {
    /// A secret for the purpose that `name` says.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Secret {
        Secret { name: SecretName(name.into()), value: Zeroizing::new(value.into()) }
    }

    /// As [`Secret::new`], of a value that is wiped already when it goes.
    pub fn from_zeroizing(name: impl Into<String>, value: Zeroizing<String>) -> Secret {
        Secret { name: SecretName(name.into()), value }
    }

    /// What it is for.
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// The value itself. Keep it out of logs and errors.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name)
    }
}

/// Plain text comparison with one line: all parts that are given must hold. Case matters; a
/// pattern without parts matches every line. In a question `whole` and `suffix` are looked for only once
/// the terminal has been silent for a moment: what stands at the end of a line that still grows is
/// chance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// The line is this (trailing white space left aside).
    pub whole: Option<String>,
    /// The line starts with this.
    pub prefix: Option<String>,
    /// Each of these stands somewhere in the line.
    pub contains: Vec<String>,
    /// The line ends with this (trailing white space left aside).
    pub suffix: Option<String>,
}

impl Pattern {
    /// Lines that contain `text`.
    pub fn contains(text: impl Into<String>) -> Pattern {
        Pattern::default().and_contains(text)
    }

    /// Lines that start with `text`.
    pub fn prefix(text: impl Into<String>) -> Pattern {
        Pattern { prefix: Some(text.into()), ..Pattern::default() }
    }

    /// Lines that are `text`.
    pub fn line(text: impl Into<String>) -> Pattern {
        Pattern { whole: Some(text.into()), ..Pattern::default() }
    }

    /// The same pattern, demanding `text` somewhere in the line.
    pub fn and_contains(mut self, text: impl Into<String>) -> Pattern {
        self.contains.push(text.into());
        self
    }

    /// The same pattern, demanding `text` at the line's end.
    pub fn and_suffix(mut self, text: impl Into<String>) -> Pattern {
        self.suffix = Some(text.into());
        self
    }

    /// Whether `line` matches.
    pub fn matches(&self, line: &str) -> bool {
        let line = line.trim_end();
        self.whole.as_deref().is_none_or(|w| line == w)
            && self.prefix.as_deref().is_none_or(|p| line.starts_with(p))
            && self.suffix.as_deref().is_none_or(|s| line.ends_with(s))
            && self.contains.iter().all(|c| line.contains(c.as_str()))
    }

    /// Whether nothing is demanded.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.prefix.is_none() && self.suffix.is_none() && self.contains.is_empty()
    }

    /// Whether the pattern says how the line ends.
    pub(crate) fn minds_end(&self) -> bool {
        self.whole.is_some() || self.suffix.is_some()
    }

    /// Whether `text`, which does not match and may still grow, may come to do so. How lines end is left aside.
    pub(crate) fn may_become(&self, text: &str) -> bool {
        let grows = |prefix: &str| prefix.len() > text.len() && prefix.starts_with(text);
        let prefix = self.prefix.as_deref();
        prefix.is_some_and(grows)
            || prefix.is_none_or(|prefix| text.starts_with(prefix))
                && self.contains.iter().any(|part| !text.contains(part.as_str()))
    }
}

/// Where a line was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Standard output (the comms channel), before the context was ready.
    Stdout,
    /// Standard error.
    Stderr,
    /// The controlling terminal.
    Terminal,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
            Source::Terminal => "terminal",
        })
    }
}

/// How to read one of the tool's last words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRule {
    /// Where the line must stand; `None` is anywhere.
    pub source: Option<Source>,
    /// The line that gives the verdict. Of all lines that match a rule the last counts; of the
    /// rules that match it, the first. A rule whose pattern has no parts is the last resort: it counts
    /// when something was printed and no other rule knows it (in another language, say).
    pub line: Pattern,
    /// A line that must have come before (or be) the verdict, in the same place.
    pub also: Option<Pattern>,
    /// The exit status that the tool must have ended with, where that tells it from the status of
    /// what it ran. Where rules name such statuses, any other is that of what the tool ran: the
    /// login went well.
    pub status: Option<i32>,
    /// What this means.
    pub kind: FailureKind,
    /// What to try.
    pub advice: String,
}

/// What went wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The tool itself is not installed or not executable.
    ToolMissing,
    /// The tool could not be started, or its descriptors failed.
    Io,
    /// The tool did not accept its command line or its configuration.
    ToolUsage,
    /// The host's name has no address.
    Resolve,
    /// The host answered and refused, or closed, the connection.
    Refused,
    /// The host could not be reached.
    Unreachable,
    /// Both ends have no common protocol, cipher or key type.
    Incompatible,
    /// No key of the host is on record.
    HostKeyUnknown,
    /// The host's key differs from the one on record.
    HostKeyChanged,
    /// The host's key is marked as revoked.
    HostKeyRevoked,
    /// The login was refused.
    AuthRefused,
    /// This secret was sent and was not accepted.
    WrongSecret(SecretName),
    /// A secret is wanted and none was given.
    SecretNeeded(SecretName),
    /// The account's password must be changed before it can be used.
    PasswordExpired,
    /// Whoever runs the tool may not do this there, whatever secret is sent.
    NotPermitted,
    /// The account is locked, has expired, or has no shell.
    AccountUnusable,
    /// There is no such user.
    NoSuchUser,
    /// There is no such container, pod, jail, image or process.
    TargetMissing,
    /// It exists, and does not run.
    TargetStopped,
    /// The tool wants a terminal and has none.
    NoTerminal,
    /// The tool asks something that nobody can answer.
    UnexpectedPrompt,
    /// No Python interpreter was found.
    NoInterpreter,
    /// The shell or interpreter could not be executed (exit status 126 or 127).
    Exec,
    /// The login went well, but what it led to ended without running our command.
    NotRun,
    /// The interpreter started, and nothing that was sent to it came there.
    NoInput,
    /// The tool left to the background, where nobody can see to it.
    Background,
    /// Python ended with a traceback before the context was ready.
    AgentCrashed,
    /// Too much output came where a marker was expected.
    Noise,
    /// The tool ended, or closed its output, before the context was ready.
    Ended,
    /// The deadline passed.
    TimedOut,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::ToolMissing => f.write_str("the program to connect with was not found"),
            FailureKind::Io => f.write_str("the program to connect with could not be started"),
            FailureKind::ToolUsage => {
                f.write_str("the program to connect with refused its options or configuration")
            }
            FailureKind::Resolve => f.write_str("the host name could not be resolved"),
            FailureKind::Refused => f.write_str("the connection was refused or closed"),
            FailureKind::Unreachable => f.write_str("the host cannot be reached"),
            FailureKind::Incompatible => f.write_str("no common protocol with the host"),
            FailureKind::HostKeyUnknown => f.write_str("the host's key is not known"),
            FailureKind::HostKeyChanged => f.write_str("the host's key has changed"),
            FailureKind::HostKeyRevoked => f.write_str("the host's key is revoked"),
            FailureKind::AuthRefused => f.write_str("authentication was refused"),
            FailureKind::WrongSecret(name) => write!(f, "wrong {name}"),
            FailureKind::SecretNeeded(name) => write!(f, "a {name} is needed and none was given"),
            FailureKind::PasswordExpired => f.write_str("the account's password has expired"),
            FailureKind::NotPermitted => f.write_str("not permitted"),
            FailureKind::AccountUnusable => f.write_str("the account cannot be used"),
            FailureKind::NoSuchUser => f.write_str("there is no such user"),
            FailureKind::TargetMissing => f.write_str("there is no such container or process"),
            FailureKind::TargetStopped => f.write_str("the container does not run"),
            FailureKind::NoTerminal => f.write_str("the program to connect with wants a terminal"),
            FailureKind::UnexpectedPrompt => f.write_str("unexpected question"),
            FailureKind::NoInterpreter => f.write_str("no python interpreter found"),
            FailureKind::Exec => f.write_str("the interpreter could not be executed"),
            FailureKind::NotRun => f.write_str("logged in, but the account does not run our command"),
            FailureKind::NoInput => f.write_str("the interpreter got no input"),
            FailureKind::Background => f.write_str("the program to connect with went to the background"),
            FailureKind::AgentCrashed => f.write_str("python failed before the context was ready"),
            FailureKind::Noise => f.write_str("too much output before the context was ready"),
            FailureKind::Ended => f.write_str("the connection ended before the context was ready"),
            FailureKind::TimedOut => f.write_str("the deadline passed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_demands_all_its_parts() {
        let p = Pattern::contains("@").and_contains(": Permission denied (").and_suffix(").");
        assert!(p.matches("bob@h: Permission denied (publickey,password).\r"));
        assert!(!p.matches("*** banner: password: Permission denied"));
        assert!(!p.matches("sh: x: Permission denied"));
        assert!(Pattern::default().matches("anything"));
    }

    #[test]
    fn a_whole_line_is_not_matched_by_its_repetition() {
        let p = Pattern::line("abc");
        assert!(p.matches("abc"));
        assert!(p.matches("abc\r"));
        assert!(!p.matches("abcabc"));
        assert!(!p.matches("ab"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let plan = Prompt { ask: Ask::Hidden, answer: Answer::Secret(Secret::new("password", "hunter2")) };
        assert!(!format!("{plan:?} {plan:#?}").contains("hunter2"));
    }
}
