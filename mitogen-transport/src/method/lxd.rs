//! A context in a container of LXD or of Incus, its fork.

use super::options::option_table;
use super::rules::stderr;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Wiring};

macro_rules! lxd_like {
    ($(#[$doc:meta])* $method:ident, $name:literal, $tool:literal, $path:literal, $args:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $method {
            pub(super) common: Common,
            container: String,
            tool: String,
            user: Option<u32>,
            project: Option<String>,
            args: Vec<String>,
        }

        common_options!($method);

        option_table!($method = $name, this, opt, {
            "container" | "argument" => { this.container = opt.text()?; this },
            $path => this.tool_path(opt.text()?),
            "uid" => this.uid(opt.number("user id")?),
            "project" => this.project(opt.text()?),
            $args => this.args(opt.words()?),
        });

        impl $method {
            /// A context in this container, which must run; `REMOTE:CONTAINER` for one of another server.
            pub fn new(container: impl Into<String>) -> $method {
                $method {
                    common: Common::default(),
                    container: container.into(),
                    tool: $tool.to_owned(),
                    user: None,
                    project: None,
                    args: Vec::new(),
                }
            }

            /// Uses this client (default: the one in `PATH`).
            #[must_use]
            pub fn tool_path(mut self, path: impl Into<String>) -> $method {
                self.tool = path.into();
                self
            }

            /// Runs under this user id of the container (default: 0).
            #[must_use]
            pub fn uid(mut self, uid: u32) -> $method {
                self.user = Some(uid);
                self
            }

            /// The project that the container belongs to.
            #[must_use]
            pub fn project(mut self, project: impl Into<String>) -> $method {
                self.project = Some(project.into());
                self
            }

            /// Further arguments for the client's `exec`.
            #[must_use]
            pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> $method {
                self.args.extend(args.into_iter().map(Into::into));
                self
            }

            /// The hop as users write it.
            pub fn hop(&self) -> String {
                format!("{}:{}", $name, self.container)
            }

            /// What to run and how to read it.
            pub fn plan(&self) -> BootPlan {
                let mut argv =
                    vec![self.tool.clone(), "exec".to_owned(), "--mode=non-interactive".to_owned()];
                argv.extend(self.user.iter().map(|uid| format!("--user={uid}")));
                argv.extend(self.project.iter().map(|project| format!("--project={project}")));
                argv.extend(self.args.iter().cloned());
                argv.extend([self.container.clone(), "--".to_owned()]);
                argv.extend(boot_command(&self.common.interpreter));
                BootPlan {
                    hop: self.hop(),
                    argv,
                    env: Vec::new(),
                    wiring: Wiring::PLAIN,
                    logs_in: true,
                    prompts: Vec::new(),
                    failures: failures(),
                    hint: Some(format!("does `{} list` show it as running?", $tool)),
                }
            }
        }
    };
}

lxd_like! {
    /// A process in an LXD container, by its client `lxc`.
    Lxd, "lxd", "lxc", "lxc_path", "lxc_args"
}
lxd_like! {
    /// A process in an Incus container.
    Incus, "incus", "incus", "incus_path", "incus_args"
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let missing = "check its name, its project and the remote";
    let daemon = "start the daemon, or tell the client where it is (a remote in front of the name)";
    let group =
        "root and the daemon's group (lxd, incus-admin) may use it: join that, or put sudo:root in front";
    vec![
        stderr(&["Error: ", "nstance not found"], Kind::TargetMissing, missing),
        stderr(&["Error: not found"], Kind::TargetMissing, missing),
        stderr(&["Error: ", "roject not found"], Kind::TargetMissing, missing),
        stderr(&["Error: The remote ", "doesn't exist"], Kind::TargetMissing, missing),
        stderr(&["Error: ", "nstance is not running"], Kind::TargetStopped, "start it (`start NAME`)"),
        stderr(&["Error: ", "unix", "permission denied"], Kind::NotPermitted, group),
        stderr(&["Error: ", "not authorized"], Kind::NotPermitted, group),
        stderr(&["Error: ", "Forbidden"], Kind::NotPermitted, group),
        stderr(&["Error: ", "unix", "connect: "], Kind::Refused, daemon),
        stderr(&["The LXD daemon doesn't appear to be started"], Kind::Refused, daemon),
        stderr(&["The incus daemon doesn't appear to be started"], Kind::Refused, daemon),
        stderr(&["Error: ", "ommand not found"], Kind::Exec, "a context needs a shell and Python there"),
        stderr(&["Error: unknown flag"], Kind::ToolUsage, "check the arguments for the client"),
    ]
}
