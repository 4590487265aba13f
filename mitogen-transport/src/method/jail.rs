//! A context in a FreeBSD jail.

use super::options::option_table;
use super::rules::stderr;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Wiring};

/// A process in a FreeBSD jail, by jexec.
#[derive(Clone, Debug)]
pub struct Jail {
    pub(super) common: Common,
    jail: String,
    user: Option<String>,
    login: bool,
    jexec_path: String,
}

common_options!(Jail);

option_table!(Jail = "jail", this, opt, {
    "container" | "argument" => { this.jail = opt.text()?; this },
    "username" => this.user(opt.text()?),
    "login" => this.login(opt.flag()?),
    "jexec_path" => this.jexec_path(opt.text()?),
});

impl Jail {
    /// A context in this jail: its name or its number.
    pub fn new(jail: impl Into<String>) -> Jail {
        Jail {
            common: Common::default(),
            jail: jail.into(),
            user: None,
            login: false,
            jexec_path: "jexec".to_owned(),
        }
    }

    /// Runs as this user of the jail (`-U`).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Jail {
        self.user = Some(user.into());
        self
    }

    /// Starts with the clean environment of a login (`-l`).
    #[must_use]
    pub fn login(mut self, login: bool) -> Jail {
        self.login = login;
        self
    }

    /// Uses this jexec (default: the one in `PATH`).
    #[must_use]
    pub fn jexec_path(mut self, path: impl Into<String>) -> Jail {
        self.jexec_path = path.into();
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("jail:{}", self.jail)
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let mut argv = vec![self.jexec_path.clone()];
        argv.extend(self.login.then(|| "-l".to_owned()));
        argv.extend(self.user.iter().flat_map(|user| ["-U".to_owned(), user.clone()]));
        argv.push(self.jail.clone());
        argv.extend(boot_command(&self.common.interpreter));
        BootPlan {
            hop: self.hop(),
            argv,
            env: Vec::new(),
            wiring: Wiring::PLAIN,
            logs_in: true,
            prompts: Vec::new(),
            failures: failures(),
            hint: Some("does `jls` show it?".to_owned()),
        }
    }
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    vec![
        stderr(&["jexec: jail ", " not found"], Kind::TargetMissing, "check its name with `jls`"),
        stderr(
            &["jexec: ", "Operation not permitted"],
            Kind::NotPermitted,
            "only root may enter jails: put sudo:root in front",
        ),
        stderr(&["jexec: ", ": no such user"], Kind::NoSuchUser, "check the user's name in the jail"),
        stderr(&["jexec: execvp", "No such file"], Kind::Exec, "a context needs a shell and Python there"),
        stderr(&["usage: jexec"], Kind::ToolUsage, "check the options"),
    ]
}
