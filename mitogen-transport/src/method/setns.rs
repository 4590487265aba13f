//! A context in the namespaces of another process: of one by its number, or of a container's first.
//!
//! The container's tool is only asked for that number; nsenter does the rest. So neither a daemon nor a
//! runtime is part of the connection, and it outlives the former's restart.

use super::options::option_table;
use super::rules::stderr;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Pattern, Wiring};

/// Whose namespaces.
#[derive(Clone, Debug)]
enum Leader {
    /// Those of the process with this number.
    Pid(u32),
    /// Those of a container's first process.
    Of { kind: ContainerKind, container: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContainerKind {
    Docker,
    Podman,
    Lxc,
    Lxd,
    Incus,
    Machinectl,
}

const KINDS: &[(&str, ContainerKind)] = &[
    ("docker", ContainerKind::Docker),
    ("podman", ContainerKind::Podman),
    ("lxc", ContainerKind::Lxc),
    ("lxd", ContainerKind::Lxd),
    ("incus", ContainerKind::Incus),
    ("machinectl", ContainerKind::Machinectl),
];

/// A process in the namespaces of another process, by nsenter (util-linux). Linux only; needs root, or a
/// user namespace of one's own.
#[derive(Clone, Debug)]
pub struct Setns {
    pub(super) common: Common,
    leader: Leader,
    tool: Option<String>,
    nsenter_path: String,
    uid: Option<u32>,
    gid: Option<u32>,
    args: Vec<String>,
}

common_options!(Setns);

option_table!(Setns = "setns", this, opt, {
    "container" => this.container(opt.text()?),
    "argument" => this.argument(opt.text()?),
    "pid" => { this.leader = Leader::Pid(opt.number("process id")?); this },
    "kind" => this.kind(opt.choice(KINDS, "one of docker, podman, lxc, lxd, incus and machinectl")?),
    "docker_path" | "podman_path" | "lxc_path" | "lxc_info_path" | "incus_path" | "machinectl_path" => this.tool_path(opt.text()?),
    "nsenter_path" => this.nsenter_path(opt.text()?),
    "uid" => this.uid(opt.number("user id")?),
    "gid" => this.gid(opt.number("group id")?),
    "nsenter_args" => this.args(opt.words()?),
});

/// Finds the number and enters: `$0` is nsenter, `$1` the container, `$2` the tool, and then come the words
/// for nsenter. A number that is none is 0 or empty, and said so. Of a tool that talks without end a little is enough.
macro_rules! find {
    ($command:literal) => {
        concat!(
            "n=$0 c=$1 t=$2;shift 2;p=$(",
            $command,
            "|head -c99);case $p in ''|0|*[!0-9]*)echo \"mitogen: no leader: $p\">&2;exit 1;esac;exec \"$n\" -t \"$p\" \"$@\""
        )
    };
}

impl ContainerKind {
    /// The tool, and the script that has it tell the number.
    fn script(self) -> (&'static str, &'static str) {
        match self {
            ContainerKind::Docker => ("docker", find!("\"$t\" inspect -f '{{.State.Pid}}' -- \"$c\"")),
            ContainerKind::Podman => ("podman", find!("\"$t\" inspect -f '{{.State.Pid}}' -- \"$c\"")),
            ContainerKind::Lxc => ("lxc-info", find!("\"$t\" -pHn \"$c\"")),
            ContainerKind::Lxd => {
                ("lxc", find!("\"$t\" info \"$c\"|head -c9999|sed -n 's/^P[iI][dD]: *//p'"))
            }
            ContainerKind::Incus => {
                ("incus", find!("\"$t\" info \"$c\"|head -c9999|sed -n 's/^P[iI][dD]: *//p'"))
            }
            ContainerKind::Machinectl => {
                ("machinectl", find!("\"$t\" show -p Leader \"$c\"|head -c9999|sed -n 's/^Leader=//p'"))
            }
        }
    }
}

impl Setns {
    /// A context in the namespaces of this process.
    pub fn pid(pid: u32) -> Setns {
        Setns::of(Leader::Pid(pid))
    }

    /// A context in those of the first process of this container of docker's.
    pub fn docker(container: impl Into<String>) -> Setns {
        Setns::of(Leader::Of { kind: ContainerKind::Docker, container: container.into() })
    }

    /// A context in those of the first process of this container of podman's.
    pub fn podman(container: impl Into<String>) -> Setns {
        Setns::of(Leader::Of { kind: ContainerKind::Podman, container: container.into() })
    }

    /// A context in those of the first process of this classic LXC container.
    pub fn lxc(container: impl Into<String>) -> Setns {
        Setns::of(Leader::Of { kind: ContainerKind::Lxc, container: container.into() })
    }

    /// A context in those of the first process of this LXD container.
    pub fn lxd(container: impl Into<String>) -> Setns {
        Setns::of(Leader::Of { kind: ContainerKind::Lxd, container: container.into() })
    }

    /// A context in those of the first process of this Incus container.
    pub fn incus(container: impl Into<String>) -> Setns {
        Setns::of(Leader::Of { kind: ContainerKind::Incus, container: container.into() })
    }

    /// A context in those of the first process of this machine of systemd's.
    pub fn machinectl(machine: impl Into<String>) -> Setns {
        Setns::of(Leader::Of { kind: ContainerKind::Machinectl, container: machine.into() })
    }

    fn of(leader: Leader) -> Setns {
        Setns {
            common: Common::default(),
            leader,
            tool: None,
            nsenter_path: "nsenter".to_owned(),
            uid: None,
            gid: None,
            args: Vec::new(),
        }
    }

    fn container(mut self, container: String) -> Setns {
        let kind = match self.leader {
            Leader::Of { kind, .. } => kind,
            Leader::Pid(_) => ContainerKind::Docker,
        };
        self.leader = Leader::Of { kind, container };
        self
    }

    /// What stands in a target: a number, or a container's name.
    fn argument(self, text: String) -> Setns {
        match (text.parse(), &self.leader) {
            // `kind=` may have come first, and then it is a name.
            (Ok(pid), Leader::Pid(_)) => Setns { leader: Leader::Pid(pid), ..self },
            _ => self.container(text),
        }
    }

    fn kind(mut self, kind: ContainerKind) -> Setns {
        let container = match self.leader {
            Leader::Of { container, .. } => container,
            // A name of digits only.
            Leader::Pid(pid) => pid.to_string(),
        };
        self.leader = Leader::Of { kind, container };
        self
    }

    /// Uses this program to find the container's first process.
    #[must_use]
    pub fn tool_path(mut self, path: impl Into<String>) -> Setns {
        self.tool = Some(path.into());
        self
    }

    /// Uses this nsenter (default: the one in `PATH`).
    #[must_use]
    pub fn nsenter_path(mut self, path: impl Into<String>) -> Setns {
        self.nsenter_path = path.into();
        self
    }

    /// Runs under this user id of the container (default: as who enters).
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Setns {
        self.uid = Some(uid);
        self
    }

    /// Runs under this group id of the container.
    #[must_use]
    pub fn gid(mut self, gid: u32) -> Setns {
        self.gid = Some(gid);
        self
    }

    /// Arguments for nsenter that say which namespaces to enter (default: `--all`).
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Setns {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        match &self.leader {
            Leader::Pid(pid) => format!("setns:{pid}"),
            Leader::Of { kind, container } => {
                let name = KINDS.iter().find(|(_, known)| known == kind).map_or("", |(name, _)| name);
                format!("setns:{container}?kind={name}")
            }
        }
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let mut argv = match &self.leader {
            Leader::Pid(pid) => vec![self.nsenter_path.clone(), "-t".to_owned(), pid.to_string()],
            Leader::Of { kind, container } => {
                let (tool, script) = kind.script();
                let tool = self.tool.clone().unwrap_or_else(|| tool.to_owned());
                let words = ["sh", "-c", script, &self.nsenter_path, container, &tool];
                words.map(str::to_owned).to_vec()
            }
        };
        match self.args.is_empty() {
            true => argv.push("--all".to_owned()),
            false => argv.extend(self.args.iter().cloned()),
        }
        argv.extend(self.uid.iter().map(|uid| format!("--setuid={uid}")));
        argv.extend(self.gid.iter().map(|gid| format!("--setgid={gid}")));
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
            hint: Some("is the process still there, and are you root?".to_owned()),
        }
    }
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let missing = "check its name or number";
    let root = "only root may enter the namespaces of others: put sudo:root in front";
    let stopped = "start the container; what its tool has said stands above";
    let no_leader = || stderr(&["mitogen: no leader"], Kind::TargetStopped, stopped);
    // What the container's tool has said before.
    let unknown = [
        "o such object",
        "o such container",
        "no container with name or ID",
        "nstance not found",
        "doesn't exist",
        "No machine ",
    ];
    let mut rules: Vec<FailureRule> = unknown
        .iter()
        .map(|text| FailureRule {
            also: Some(Pattern::contains(*text)),
            kind: Kind::TargetMissing,
            advice: missing.to_owned(),
            ..no_leader()
        })
        .collect();
    // Of the daemon, of lxc-info, of machinectl.
    rules.extend(["ermission denied", " privileges to control", "ccess denied"].iter().map(|text| {
        FailureRule {
            also: Some(Pattern::contains(*text)),
            kind: Kind::NotPermitted,
            advice: root.to_owned(),
            ..no_leader()
        }
    }));
    rules.extend([
        FailureRule {
            also: Some(Pattern::contains("Cannot connect to the Docker daemon")),
            kind: Kind::Refused,
            advice: "start the daemon".to_owned(),
            ..no_leader()
        },
        FailureRule {
            also: Some(Pattern::contains("unix").and_contains("connect: ")),
            kind: Kind::Refused,
            advice: "start the daemon".to_owned(),
            ..no_leader()
        },
        FailureRule {
            also: Some(Pattern::contains("not found")),
            kind: Kind::ToolMissing,
            advice: "install the container's tool, or name its path".to_owned(),
            ..no_leader()
        },
        // The shell's words, for nsenter.
        stderr(&["exec: ", "not found"], Kind::ToolMissing, "install nsenter (util-linux), or name its path"),
        no_leader(),
        stderr(&["nsenter: ", "No such file or directory", "/proc/"], Kind::TargetMissing, missing),
        stderr(&["nsenter: ", "Permission denied"], Kind::NotPermitted, root),
        stderr(&["nsenter: ", "Operation not permitted"], Kind::NotPermitted, root),
        stderr(&["nsenter: failed to execute"], Kind::Exec, "a context needs a shell and Python there"),
        stderr(&["nsenter: unrecognized option"], Kind::ToolUsage, "check the arguments for nsenter"),
        stderr(&["nsenter: invalid option"], Kind::ToolUsage, "check the arguments for nsenter"),
    ]);
    rules
}
