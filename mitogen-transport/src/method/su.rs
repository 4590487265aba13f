//! A context of another account, by su.
//!
//! su asks on standard error and reads the answer from standard input, whatever these are; only on a
//! terminal does it show, by the echo it turns off, that it asks. So it gets a terminal for all of them.

use super::options::option_table;
use super::rules::{otherwise, rule, starts};
use super::upstream::{self, Options};
use super::{Common, common_options};
use crate::credentials::Credential;
use crate::quote;
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{Ask, BootPlan, FailureKind, FailureRule, Pattern, Prompt, Wiring};

const PASSWORD: &str = "password";

/// A process of another account, by su.
#[derive(Clone, Debug)]
pub struct Su {
    pub(super) common: Common,
    user: Option<String>,
    su_path: String,
    login: bool,
    shell: Option<String>,
    args: Vec<String>,
}

common_options!(Su);

option_table!(Su = "su", this, opt, {
    "username" | "argument" => this.user(opt.text()?),
    "password" => this.password(opt.secret()?),
    "su_path" => this.su_path(opt.text()?),
    "login" => this.login(opt.flag()?),
    "shell" => this.shell(opt.text()?),
    "su_args" => this.args(opt.words()?),
});

impl Su {
    /// As upstream names it.
    pub(super) fn for_upstream(&self) -> Options {
        let mut options = Options::new();
        upstream::add(&mut options, "username", self.user.as_deref());
        upstream::add(&mut options, "su_path", Some(&self.su_path));
        options
    }
}

impl Default for Su {
    fn default() -> Su {
        Su::new()
    }
}

impl Su {
    /// A context of root.
    pub fn new() -> Su {
        Su {
            common: Common::default(),
            user: None,
            su_path: "su".to_owned(),
            login: false,
            shell: None,
            args: Vec::new(),
        }
    }

    /// Becomes this user (default: root).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Su {
        self.user = Some(user.into());
        self
    }

    /// The password of that user.
    #[must_use]
    pub fn password(mut self, password: impl Into<Credential>) -> Su {
        self.common.add_secret(PASSWORD, password);
        self
    }

    /// Uses this su (default: `su` in `PATH`).
    #[must_use]
    pub fn su_path(mut self, path: impl Into<String>) -> Su {
        self.su_path = path.into();
        self
    }

    /// Makes the shell a login shell (`-`).
    #[must_use]
    pub fn login(mut self, login: bool) -> Su {
        self.login = login;
        self
    }

    /// Runs this shell and not the account's (`-s`); only root may do that for accounts without a proper one.
    #[must_use]
    pub fn shell(mut self, path: impl Into<String>) -> Su {
        self.shell = Some(path.into());
        self
    }

    /// Further arguments for su.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Su {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("su:{}", self.user.as_deref().unwrap_or("root"))
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let mut argv = vec![self.su_path.clone()];
        argv.extend(self.login.then(|| "-".to_owned()));
        if let Some(shell) = &self.shell {
            argv.extend(["-s".to_owned(), shell.clone()]);
        }
        argv.extend(self.args.iter().cloned());
        // BSD's su passes what stands behind the user on to the shell, and GNU's takes options anywhere.
        argv.push(self.user.clone().unwrap_or_else(|| "root".to_owned()));
        argv.push("-c".to_owned());
        argv.push(format!("exec {}", quote::command(&boot_command(&self.common.interpreter))));
        BootPlan {
            hop: self.hop(),
            argv,
            env: Vec::new(),
            wiring: Wiring::PTY,
            logs_in: true,
            prompts: vec![Prompt { ask: Ask::Hidden, answer: self.common.answer(PASSWORD) }],
            failures: failures(),
            hint: Some("run su there by hand to see what it says".to_owned()),
        }
    }
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let again = "check the password";
    let expired = "change it by hand once";
    let shell = "give it a shell, or name one with the option `shell`";
    let gone = "the account has expired";
    vec![
        FailureRule {
            also: Some(Pattern::contains("our account has expired")),
            ..rule(&["su: ", "uthentication failure"], Kind::AccountUnusable, gone)
        },
        rule(&["su: ", "uthentication failure"], Kind::AuthRefused, again),
        rule(&["su: incorrect password"], Kind::AuthRefused, again),
        starts("su: Sorry", Kind::AuthRefused, again),
        rule(&["su: user ", " does not exist"], Kind::NoSuchUser, "check the user's name"),
        starts("su: unknown user", Kind::NoSuchUser, "check the user's name"),
        starts("su: unknown login", Kind::NoSuchUser, "check the user's name"),
        starts("No passwd entry for user", Kind::NoSuchUser, "check the user's name"),
        rule(
            &["su: Permission denied"],
            Kind::NotPermitted,
            "su is for members of a group there (pam_wheel)",
        ),
        rule(
            &["su: ", "you are not in the correct group"],
            Kind::NotPermitted,
            "su is for group wheel there",
        ),
        rule(&["This account is currently not available"], Kind::AccountUnusable, shell),
        rule(&["our account has expired"], Kind::AccountUnusable, gone),
        rule(&["su: User account has expired"], Kind::AccountUnusable, gone),
        rule(&["ou are required to change your password"], Kind::PasswordExpired, expired),
        rule(&["su: must be run from a terminal"], Kind::NoTerminal, "run su there by hand"),
        rule(&["su: ", "must be suid"], Kind::ToolUsage, "su is not installed as it must be"),
        rule(&["su: failed to execute "], Kind::Exec, shell),
        otherwise(1, Kind::AuthRefused, again),
    ]
}
