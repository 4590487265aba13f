//! A context in a classic LXC container.

use super::options::option_table;
use super::rules::stderr;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Wiring};

/// A process in a classic LXC container, by lxc-attach.
#[derive(Clone, Debug)]
pub struct Lxc {
    pub(super) common: Common,
    container: String,
    lxc_attach_path: String,
    lxc_path: Option<String>,
    args: Vec<String>,
}

common_options!(Lxc);

option_table!(Lxc = "lxc", this, opt, {
    "container" | "argument" => { this.container = opt.text()?; this },
    "lxc_attach_path" => this.lxc_attach_path(opt.text()?),
    "lxc_path" => this.lxc_path(opt.text()?),
    "lxc_args" => this.args(opt.words()?),
});

impl Lxc {
    /// A context in this container, which must run.
    pub fn new(container: impl Into<String>) -> Lxc {
        Lxc {
            common: Common::default(),
            container: container.into(),
            lxc_attach_path: "lxc-attach".to_owned(),
            lxc_path: None,
            args: Vec::new(),
        }
    }

    /// Uses this lxc-attach (default: the one in `PATH`).
    #[must_use]
    pub fn lxc_attach_path(mut self, path: impl Into<String>) -> Lxc {
        self.lxc_attach_path = path.into();
        self
    }

    /// Where the containers lie (`-P`), if not in the usual place.
    #[must_use]
    pub fn lxc_path(mut self, path: impl Into<String>) -> Lxc {
        self.lxc_path = Some(path.into());
        self
    }

    /// Further arguments for lxc-attach.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Lxc {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("lxc:{}", self.container)
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let mut argv = vec![self.lxc_attach_path.clone(), "--clear-env".to_owned()];
        argv.extend(self.lxc_path.iter().map(|path| format!("--lxcpath={path}")));
        argv.extend(self.args.iter().cloned());
        argv.push(format!("--name={}", self.container));
        argv.push("--".to_owned());
        argv.extend(boot_command(&self.common.interpreter));
        BootPlan {
            hop: self.hop(),
            argv,
            env: Vec::new(),
            wiring: Wiring::PLAIN,
            logs_in: true,
            prompts: Vec::new(),
            failures: failures(),
            hint: Some("does `lxc-ls -f` show it as running?".to_owned()),
        }
    }
}

const OWNER: &str = "only its owner may attach: go through that account (sudo:root in front, for root's)";

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let missing = "check its name, and `lxc_path` if it lies elsewhere";
    vec![
        stderr(&["lxc-attach: ", " is not defined"], Kind::TargetMissing, missing),
        stderr(&["No such container"], Kind::TargetMissing, missing),
        stderr(&["Insufficent privileges to control"], Kind::NotPermitted, OWNER),
        stderr(&["Insufficient privileges to control"], Kind::NotPermitted, OWNER),
        stderr(
            &["ailed to get init pid"],
            Kind::TargetStopped,
            "check its name (`lxc-ls -f`), and start it (`lxc-start`)",
        ),
        stderr(&["Failed to get lxc.", "ermission denied"], Kind::NotPermitted, OWNER),
        stderr(&["Failed to exec"], Kind::Exec, "a context needs a shell and Python in the container"),
        stderr(&["missing container name"], Kind::ToolUsage, "name the container"),
        stderr(&["unrecognized option"], Kind::ToolUsage, "check the arguments for lxc-attach"),
    ]
}
