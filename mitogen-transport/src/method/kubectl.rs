//! A context in a container of a Kubernetes pod.

use super::options::option_table;
use super::rules::stderr;
use super::{Common, common_options};
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Wiring};

/// A process in a container of a Kubernetes pod, by kubectl.
#[derive(Clone, Debug)]
pub struct Kubectl {
    pub(super) common: Common,
    pod: String,
    namespace: Option<String>,
    container: Option<String>,
    kubectl_path: String,
    args: Vec<String>,
}

common_options!(Kubectl);

option_table!(Kubectl = "kubectl", this, opt, {
    "pod" | "argument" => { this.pod = opt.text()?; this },
    "namespace" => this.namespace(opt.text()?),
    "container" => this.container(opt.text()?),
    "kubectl_path" => this.kubectl_path(opt.text()?),
    "kubectl_args" => this.args(opt.words()?),
});

impl Kubectl {
    /// A context in this pod, or in one of `deployment/NAME` and the like.
    pub fn new(pod: impl Into<String>) -> Kubectl {
        Kubectl {
            common: Common::default(),
            pod: pod.into(),
            namespace: None,
            container: None,
            kubectl_path: "kubectl".to_owned(),
            args: Vec::new(),
        }
    }

    /// The pod's namespace (default: that of the kubeconfig's context).
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Kubectl {
        self.namespace = Some(namespace.into());
        self
    }

    /// Which of the pod's containers (default: the first, or what an annotation says).
    #[must_use]
    pub fn container(mut self, container: impl Into<String>) -> Kubectl {
        self.container = Some(container.into());
        self
    }

    /// Uses this kubectl (default: the one in `PATH`).
    #[must_use]
    pub fn kubectl_path(mut self, path: impl Into<String>) -> Kubectl {
        self.kubectl_path = path.into();
        self
    }

    /// Arguments for kubectl in front of `exec`: `--context`, `--kubeconfig` and the like.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Kubectl {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("kubectl:{}", self.pod.replace('/', "%2F"))
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let mut argv = vec![self.kubectl_path.clone()];
        argv.extend(self.args.iter().cloned());
        argv.extend(["exec".to_owned(), "--stdin".to_owned()]);
        argv.extend(self.namespace.iter().map(|namespace| format!("--namespace={namespace}")));
        argv.extend(self.container.iter().map(|container| format!("--container={container}")));
        argv.extend([self.pod.clone(), "--".to_owned()]);
        argv.extend(boot_command(&self.common.interpreter));
        BootPlan {
            hop: self.hop(),
            argv,
            env: Vec::new(),
            wiring: Wiring::PLAIN,
            logs_in: true,
            prompts: Vec::new(),
            failures: failures(),
            hint: Some("does `kubectl get pods` show it as running?".to_owned()),
        }
    }
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let missing = "check its name, its namespace and the cluster (kubectl config current-context)";
    let server = "check the cluster's address (kubectl cluster-info)";
    vec![
        stderr(&["Error from server (NotFound): "], Kind::TargetMissing, missing),
        stderr(&["error: ", "container not found"], Kind::TargetMissing, missing),
        stderr(&["container ", " is not valid for pod "], Kind::TargetMissing, missing),
        stderr(&["container ", " not found in pod "], Kind::TargetMissing, missing),
        stderr(&["in a completed pod"], Kind::TargetStopped, "it has ended: start another"),
        stderr(&["container ", "not running"], Kind::TargetStopped, "it does not run (yet)"),
        stderr(&["does not have a host assigned"], Kind::TargetStopped, "it waits to be scheduled"),
        stderr(
            &["Error from server (Forbidden): "],
            Kind::NotPermitted,
            "a role must allow `create pods/exec`",
        ),
        stderr(&["ou must be logged in to the server"], Kind::AuthRefused, "log in to the cluster"),
        stderr(&["The connection to the server ", " was refused"], Kind::Refused, server),
        stderr(&["Unable to connect to the server: ", "no such host"], Kind::Resolve, server),
        stderr(&["Unable to connect to the server: "], Kind::Unreachable, server),
        stderr(&["error: context ", " does not exist"], Kind::ToolUsage, "see `kubectl config get-contexts`"),
        stderr(&["Error in configuration: "], Kind::ToolUsage, "see `kubectl config get-contexts`"),
        stderr(&["rror: unknown flag"], Kind::ToolUsage, "check the arguments for kubectl"),
        stderr(&["executable file not found"], Kind::Exec, "a context needs a shell and Python there"),
    ]
}
