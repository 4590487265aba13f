//! A context by any command that runs another command: dzdo, `sudo su -`, a console, a tool that nobody
//! has heard of. What it asks and how it fails is said in the same terms in which our own methods are made.

use super::options::option_table;
use super::rules::{otherwise, rule};
use super::{Common, common_options};
use crate::credentials::Credential;
use crate::quote;
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{
    Answer, Ask, BootPlan, Comms, EnvChange, FailureKind, FailureRule, Pattern, Prompt, Stderr, Wiring,
};

/// A process that a command of the user's choice leads to.
///
/// The command is a template: a word `{command}` in it becomes the words of the boot command, and `{line}`,
/// within any word or answer, the same as one line for a shell. Where neither stands anywhere the words are
/// put at the end. The command must leave standard input and output alone.
///
/// ```
/// use mitogen_transport::{Custom, FailureKind};
///
/// let jailed = Custom::new("firejail", ["--net=none", "--quiet"]).python("python3");
/// assert_eq!(jailed.hop(), "custom:firejail");
/// assert_eq!(jailed.plan().argv[..4], ["firejail", "--net=none", "--quiet", "sh"]);
///
/// let root = Custom::new("sudo", ["-u", "root", "su", "-", "-c", "{line}"])
///     .hop_name("root-shell")
///     .prompts()
///     .hidden("password", "hunter2")
///     .fails("is not in the sudoers file", FailureKind::NotPermitted, "ask for membership");
/// assert!(root.plan().argv[6].starts_with("exec sh -c '"));
///
/// // A console: a terminal throughout, and questions that are no secrets.
/// let console = Custom::new("telnet", ["console1"])
///     .terminal()
///     .says("login:", "root")
///     .hidden("password", "hunter2")
///     .says("#", "stty raw -echo;{line}");
/// # let _ = console;
/// ```
#[derive(Clone, Debug)]
pub struct Custom {
    pub(super) common: Common,
    hop: Option<String>,
    argv: Vec<String>,
    env: Vec<EnvChange>,
    wiring: Wiring,
    prompts: Vec<(Ask, Say)>,
    failures: Vec<FailureRule>,
    hint: Option<String>,
}

#[derive(Clone, Debug)]
enum Say {
    /// The credential of this name.
    Secret(String),
    Text(String),
    Fail(FailureKind, String),
}

common_options!(Custom);

option_table!(Custom = "custom", this, opt, {
    "argv" | "argument" => { this.argv = opt.argv()?; this },
    "hop" => this.hop_name(opt.text()?),
    "merged" => if opt.flag()? { this.merged() } else { this },
    "terminal" => if opt.flag()? { this.terminal() } else { this },
    "password" => this.prompts().hidden("password", opt.secret()?),
});

impl Custom {
    /// Runs `program` with these arguments.
    pub fn new<S: Into<String>>(program: impl Into<String>, args: impl IntoIterator<Item = S>) -> Custom {
        Custom {
            common: Common::default(),
            hop: None,
            argv: [program.into()].into_iter().chain(args.into_iter().map(Into::into)).collect(),
            env: Vec::new(),
            wiring: Wiring::PLAIN,
            prompts: Vec::new(),
            failures: Vec::new(),
            hint: None,
        }
    }

    /// What the hop is called (default: `custom:` and the program).
    #[must_use]
    pub fn hop_name(mut self, hop: impl Into<String>) -> Custom {
        self.hop = Some(hop.into());
        self
    }

    /// Sets a variable in the command's environment. No place for secrets: others can read it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Custom {
        self.env.push(EnvChange::Set(name.into(), value.into()));
        self
    }

    /// Takes what the command says on standard error for part of its standard output, for those that do
    /// not keep the two apart.
    #[must_use]
    pub fn merged(mut self) -> Custom {
        self.wiring = Wiring { stderr: Stderr::Merged, ..self.wiring };
        self
    }

    /// Gives the command two pipes in place of a socket, for those that hand their descriptors across a
    /// border where sockets may not pass.
    #[must_use]
    pub fn pipes(mut self) -> Custom {
        self.wiring = Wiring { comms: Comms::Pipes, ..self.wiring };
        self
    }

    /// Runs the command on a terminal altogether, for those that insist on it, or ask on their standard
    /// output.
    #[must_use]
    pub fn terminal(mut self) -> Custom {
        self.wiring = Wiring::PTY;
        self
    }

    /// Gives the command a terminal to ask on, beside its standard input and output.
    #[must_use]
    pub fn prompts(mut self) -> Custom {
        if self.wiring.comms != Comms::Pty {
            self.wiring.terminal = true;
        }
        self
    }

    /// Sends this secret, named so in errors, when the command asks anything without echo. Questions
    /// are compared in the order in which they are given here: this one comes last.
    #[must_use]
    pub fn hidden(self, name: impl Into<String>, secret: impl Into<Credential>) -> Custom {
        self.secret(Ask::Hidden, name.into(), secret.into())
    }

    /// Sends this secret when the command asks, without echo, a question with this text in it.
    #[must_use]
    pub fn asks(self, text: &str, name: impl Into<String>, secret: impl Into<Credential>) -> Custom {
        self.secret(Ask::HiddenLike(Pattern::contains(text)), name.into(), secret.into())
    }

    fn secret(mut self, ask: Ask, name: String, secret: Credential) -> Custom {
        self.common.add_secret(&name, secret);
        self.prompts.push((ask, Say::Secret(name)));
        self
    }

    /// Answers a question that ends with this text, trailing blanks aside. The answer is no secret: it is
    /// shown in errors.
    #[must_use]
    pub fn says(mut self, end: &str, answer: impl Into<String>) -> Custom {
        let ask = Ask::Like(Pattern::default().and_suffix(end.trim_end()));
        self.prompts.push((ask, Say::Text(answer.into())));
        self
    }

    /// Ends the attempt when the command asks a question with this text in it.
    #[must_use]
    pub fn refuses(mut self, text: &str, kind: FailureKind, advice: impl Into<String>) -> Custom {
        self.prompts.push((Ask::Like(Pattern::contains(text)), Say::Fail(kind, advice.into())));
        self
    }

    /// What it means when the command has ended and a line with this text was among its last words.
    #[must_use]
    pub fn fails(mut self, text: &str, kind: FailureKind, advice: impl Into<String>) -> Custom {
        self.failures.push(rule(&[text], kind, &advice.into()));
        self
    }

    /// What it means when the command has ended with this status, and nothing better is known.
    #[must_use]
    pub fn fails_with(mut self, status: i32, kind: FailureKind, advice: impl Into<String>) -> Custom {
        self.failures.push(otherwise(status, kind, &advice.into()));
        self
    }

    /// What to try when nothing better is known.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Custom {
        self.hint = Some(hint.into());
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        self.hop.clone().unwrap_or_else(|| format!("custom:{program}"))
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let command = boot_command(&self.common.interpreter);
        let line = format!("exec {}", quote::command(&command));
        let mut placed = self.prompts.iter().any(|(_, say)| matches!(say, Say::Text(t) if t.contains(LINE)));
        let mut argv = Vec::new();
        for word in &self.argv {
            placed |= word == COMMAND || word.contains(LINE);
            match word.as_str() {
                COMMAND => argv.extend(command.iter().cloned()),
                _ => argv.push(word.replace(LINE, &line)),
            }
        }
        if !placed {
            argv.extend(command);
        }
        let prompt = |(ask, say): &(Ask, Say)| Prompt {
            ask: ask.clone(),
            answer: match say {
                Say::Secret(name) => self.common.answer(name),
                Say::Text(text) => Answer::Say(text.replace(LINE, &line)),
                Say::Fail(kind, advice) => Answer::Fail(kind.clone(), advice.clone()),
            },
        };
        BootPlan {
            hop: self.hop(),
            argv,
            env: self.env.clone(),
            wiring: self.wiring,
            logs_in: true,
            prompts: self.prompts.iter().map(prompt).collect(),
            failures: self.failures.clone(),
            hint: self.hint.clone(),
        }
    }
}

const COMMAND: &str = "{command}";
const LINE: &str = "{line}";
