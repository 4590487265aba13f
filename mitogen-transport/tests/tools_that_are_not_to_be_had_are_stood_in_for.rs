//! incus and jexec cannot be had where the tests run, lxd and kubectl not everywhere: scripts in their place read arguments as these do,
//! run the command, and refuse in their words. What a stand-in does not know it refuses too.

mod support;

use mitogen_transport::{FailureKind, Incus, Jail, Kubectl, Lxd, Method, Process, connect};
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Direction, FrameFormat, Handle, Message};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use support::{alone, preamble};

/// `lxc` of LXD and `incus` read alike.
const LXD: &str = r#"
[ "$1" = exec ] || { echo "Error: unknown command \"$1\" for \"lxc\"" >&2; exit 1; }
shift
while :; do case $1 in
  --mode=non-interactive|--mode=noninteractive) mode=ok;;
  --user=[0-9]*|--group=[0-9]*|--project=*|--cwd=*|--env=*) ;;
  --) shift; break;;
  -*) echo "Error: unknown flag: $1" >&2; exit 1;;
  *) [ -z "$name" ] || { break; }; name=$1;;
esac; shift; done
[ "$mode" = ok ] || { echo "Error: no mode for pipes" >&2; exit 1; }
case $name in
  good) exec "$@";;
  stopped) echo "Error: Instance is not running" >&2; exit 1;;
  *) echo "Error: Instance not found" >&2; exit 1;;
esac
"#;

const KUBECTL: &str = r#"
while :; do case $1 in --context=*|--kubeconfig=*) shift;; *) break;; esac; done
[ "$1" = exec ] || { echo "error: unknown command \"$1\" for \"kubectl\"" >&2; exit 1; }
shift
while :; do case $1 in
  -i|--stdin) stdin=yes;;
  --namespace=*|--container=*) ;;
  --) shift; break;;
  -*) echo "error: unknown flag: $1" >&2; exit 1;;
  *) pod=$1;;
esac; shift; done
echo 'Defaulted container "main" out of: main, side' >&2
[ "$stdin" = yes ] || exec </dev/null
case $pod in
  good) "$@"; rc=$?; [ $rc = 0 ] || echo "command terminated with exit code $rc" >&2; exit $rc;;
  done) echo "error: cannot exec into a container in a completed pod; current phase is Succeeded" >&2; exit 1;;
  mine) echo 'Error from server (Forbidden): pods "mine" is forbidden: User "x" cannot create resource "pods/exec"' >&2; exit 1;;
  *) echo "Error from server (NotFound): pods \"$pod\" not found" >&2; exit 1;;
esac
"#;

const JEXEC: &str = r#"
while getopts lu:U: option; do case $option in l) ;; u|U) user=$OPTARG;; *) echo "usage: jexec [-l] [-u username | -U username] jail [command ...]" >&2; exit 1;; esac; done
shift $((OPTIND-1))
jail=$1; shift
[ "$user" != nobody-here ] || { echo "jexec: $user: no such user" >&2; exit 1; }
case $jail in good|1) exec "$@";; *) echo "jexec: jail \"$jail\" not found" >&2; exit 1;; esac
"#;

async fn born(method: Method) {
    let (hop, plan) = (method.hop(), method.plan());
    let connected = connect(&plan, preamble().as_bytes(), Duration::from_secs(20)).await;
    let connected = connected.unwrap_or_else(|error| panic!("{hop}: {error}"));
    let (mut reader, writer) =
        connected.stream.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    writer.send(&Message::new(ContextId::CONTROLLER, ContextId(1), Handle(106))).expect("sent");
    while let Ok(Some(_)) = reader.next().await {}
    let exit = Process::stop(&connected.process, Duration::from_secs(5), Duration::from_secs(1)).await;
    assert!(exit.is_some(), "{hop}");
}

fn story(
    script: &str,
    births: impl Fn(&str) -> Vec<Method>,
    failures: impl Fn(&str) -> Vec<(Method, FailureKind)>,
) {
    let scratch = tempfile::tempdir().expect("a directory");
    let (draft, path) = (scratch.path().join("draft"), scratch.path().join("tool"));
    std::fs::write(&draft, format!("#!/bin/sh\n{script}")).expect("a script");
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let copied = std::process::Command::new("cp").arg("-p").arg(&draft).arg(&path).status().expect("cp");
    assert!(copied.success());
    let tool = path.to_string_lossy();
    for method in births(&tool) {
        alone(|| born(method));
    }
    for (method, kind) in failures(&tool) {
        alone(|| async {
            let error = connect(&method.plan(), preamble().as_bytes(), Duration::from_secs(20)).await;
            let error = error.expect_err("a failure");
            assert_eq!(error.kind, kind, "{error}");
        });
    }
}

#[test]
fn lxd_and_incus() {
    story(
        LXD,
        |tool| {
            vec![
                Lxd::new("good").tool_path(tool).into(),
                Lxd::new("good").uid(1000).project("p").tool_path(tool).into(),
                Incus::new("good").tool_path(tool).into(),
            ]
        },
        |tool| {
            vec![
                (Lxd::new("nope").tool_path(tool).into(), FailureKind::TargetMissing),
                (Lxd::new("stopped").tool_path(tool).into(), FailureKind::TargetStopped),
                (Incus::new("stopped").tool_path(tool).into(), FailureKind::TargetStopped),
                (Incus::new("good").args(["--odd"]).tool_path(tool).into(), FailureKind::ToolUsage),
                (Incus::new("good").python("/no/python").tool_path(tool).into(), FailureKind::Exec),
            ]
        },
    );
}

#[test]
fn kubectl() {
    story(
        KUBECTL,
        |tool| {
            let pod = || Kubectl::new("good").kubectl_path(tool);
            vec![pod().into(), pod().namespace("n").container("main").args(["--context=x"]).into()]
        },
        |tool| {
            let pod = |name| Kubectl::new(name).kubectl_path(tool);
            vec![
                (pod("nope").into(), FailureKind::TargetMissing),
                (pod("done").into(), FailureKind::TargetStopped),
                (pod("mine").into(), FailureKind::NotPermitted),
                (pod("good").python("/no/python").into(), FailureKind::Exec),
            ]
        },
    );
}

#[test]
fn jail() {
    story(
        JEXEC,
        |tool| {
            let jail = || Jail::new("good").jexec_path(tool);
            vec![jail().into(), jail().user("root").login(true).into()]
        },
        |tool| {
            vec![
                (Jail::new("nope").jexec_path(tool).into(), FailureKind::TargetMissing),
                (Jail::new("good").user("nobody-here").jexec_path(tool).into(), FailureKind::NoSuchUser),
            ]
        },
    );
}
