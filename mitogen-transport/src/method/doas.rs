//! A context of another account, by doas.

use super::options::option_table;
use super::rules::{otherwise, rule, starts};
use super::upstream::{self, Options};
use super::{Common, PASSWORD, account, common_options, second_factor_option};
use crate::credentials::Credential;
use mitogen_bootstrap::plan::{Ask, BootPlan, FailureKind, FailureRule, Pattern, SecretName, Wiring};

/// A process of another account, by doas.
#[derive(Clone, Debug)]
pub struct Doas {
    pub(super) common: Common,
    user: Option<String>,
    doas_path: String,
    args: Vec<String>,
}

common_options!(Doas);
second_factor_option!(Doas);

option_table!(Doas = "doas", this, opt, {
    "username" | "argument" => this.user(opt.text()?),
    "password" => this.password(opt.secret()?),
    "second_factor" => this.second_factor(opt.secret()?),
    "doas_path" => this.doas_path(opt.text()?),
    "doas_args" => this.args(opt.words()?),
});

impl Doas {
    /// As upstream names it.
    pub(super) fn for_upstream(&self) -> Options {
        let mut options = Options::new();
        upstream::add(&mut options, "username", self.user.as_deref());
        upstream::add(&mut options, "doas_path", Some(&self.doas_path));
        options
    }
}

impl Default for Doas {
    fn default() -> Doas {
        Doas::new()
    }
}

impl Doas {
    /// A context of root.
    pub fn new() -> Doas {
        Doas { common: Common::default(), user: None, doas_path: "doas".to_owned(), args: Vec::new() }
    }

    /// Becomes this user (default: root).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Doas {
        self.user = Some(user.into());
        self
    }

    /// The password of the account that runs doas.
    #[must_use]
    pub fn password(mut self, password: impl Into<Credential>) -> Doas {
        self.common.add_secret(PASSWORD, password);
        self
    }

    /// Uses this doas (default: `doas` in `PATH`).
    #[must_use]
    pub fn doas_path(mut self, path: impl Into<String>) -> Doas {
        self.doas_path = path.into();
        self
    }

    /// Further arguments for doas.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Doas {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("doas:{}", self.user.as_deref().unwrap_or("root"))
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let user = self.user.clone().unwrap_or_else(|| "root".to_owned());
        let mut argv = vec![self.doas_path.clone(), "-u".to_owned(), user];
        argv.extend(self.args.iter().cloned());
        argv.push("--".to_owned());
        argv.extend(account::command(&self.common.interpreter));
        BootPlan {
            hop: self.hop(),
            argv,
            env: account::environment(),
            wiring: Wiring::HYBRID,
            logs_in: true,
            prompts: self.common.questions(Ask::Hidden),
            failures: failures(),
            hint: Some("check doas.conf there with `doas -C`".to_owned()),
        }
    }
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let password = || SecretName(PASSWORD.to_owned());
    let allow = "doas.conf there must permit it: `permit ACCOUNT as USER`";
    let expired = "change it by hand once";
    vec![
        FailureRule {
            also: Some(Pattern::contains("our account has expired")),
            ..starts("doas: Authentication failed", Kind::AccountUnusable, "the account has expired")
        },
        rule(&["ou are required to change your password"], Kind::PasswordExpired, expired),
        // Where it has asked, this is about what was sent.
        starts("doas: Authentication failed", Kind::AuthRefused, "check the password"),
        starts("doas: Authorization failed", Kind::AuthRefused, "check the password"),
        starts("doas: Authentication required", Kind::SecretNeeded(password()), "give the password"),
        starts("doas: Authorization required", Kind::SecretNeeded(password()), "give the password"),
        starts("doas: Operation not permitted", Kind::NotPermitted, allow),
        starts("doas: a tty is required", Kind::NoTerminal, "let doas have a terminal"),
        starts("doas: unknown user", Kind::NoSuchUser, "check the user's name"),
        rule(&["doas: no passwd entry for "], Kind::NoSuchUser, "check the user's name"),
        rule(&["doas: ", "not enabled"], Kind::ToolUsage, "there is no doas.conf"),
        rule(&["doas: ", "not installed setuid"], Kind::ToolUsage, "doas is not installed as it must be"),
        starts("doas: syntax error", Kind::ToolUsage, "check doas.conf"),
        starts("usage: doas", Kind::ToolUsage, "check the arguments for doas"),
        rule(&["doas: ", ": command not found"], Kind::Exec, "check the path of the shell there"),
        otherwise(1, Kind::NotPermitted, allow),
    ]
}
