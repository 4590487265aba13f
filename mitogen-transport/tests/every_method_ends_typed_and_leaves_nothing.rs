//! Every method with a tool that misbehaves: a typed error in time, and nothing left. The tool is a script in the
//! tool's place.

mod support;

use mitogen_transport::{
    Buildah, ConnectError, Credential, Custom, Doas, Docker, Exit, FailureKind, Incus, Jail, Kubectl, Lxc,
    Lxd, Method, Phase, Podman, Setns, Ssh, Su, Sudo, connect, connect_observed,
};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use support::{alone, preamble};

/// All methods, by a program in the place of their tool.
fn methods(tool: &str) -> Vec<Method> {
    vec![
        Ssh::new("h").ssh_path(tool).into(),
        Ssh::new("h").ssh_path(tool).password("pw-secret").into(),
        Sudo::new().sudo_path(tool).into(),
        Sudo::new().sudo_path(tool).password("pw-secret").into(),
        Sudo::new().sudo_path(tool).terminal(false).into(),
        Ssh::new("h").ssh_path(tool).passphrase("pw-secret").second_factor("pw-secret").into(),
        Su::new().su_path(tool).into(),
        Su::new().su_path(tool).password("pw-secret").into(),
        Doas::new().doas_path(tool).into(),
        Doas::new().doas_path(tool).password("pw-secret").second_factor("pw-secret").into(),
        Docker::new("c").tool_path(tool).into(),
        Podman::image("i").tool_path(tool).into(),
        Buildah::new("c").tool_path(tool).into(),
        Lxc::new("c").lxc_attach_path(tool).into(),
        Lxd::new("c").tool_path(tool).into(),
        Incus::new("c").tool_path(tool).into(),
        Kubectl::new("p").kubectl_path(tool).into(),
        Jail::new("j").jexec_path(tool).into(),
        Setns::pid(1).nsenter_path(tool).into(),
        Custom::new(tool, [""; 0]).into(),
        Custom::new(tool, [""; 0]).terminal().hidden("password", "pw-secret").into(),
    ]
}

/// Those that ask a container's tool for a number first, with this program in its place.
fn leaders(tool: &str) -> Vec<Method> {
    let kinds: [fn(&'static str) -> Setns; 6] =
        [Setns::docker, Setns::podman, Setns::lxc, Setns::lxd, Setns::incus, Setns::machinectl];
    kinds.into_iter().map(|kind| kind("c").tool_path(tool).into()).collect()
}

/// Runs every method with this script as its tool, under this deadline.
fn with_tool(script: &str, deadline: Duration, check: impl Fn(&Method, &ConnectError)) {
    each_of(methods, script, deadline, check);
}

fn each_of(
    methods: fn(&str) -> Vec<Method>,
    script: &str,
    deadline: Duration,
    check: impl Fn(&Method, &ConnectError),
) {
    let scratch = tempfile::tempdir().expect("a directory");
    let tool = program(scratch.path(), script);
    alone(|| async {
        let mut attempts = tokio::task::JoinSet::new();
        for method in methods(&tool) {
            attempts.spawn(async move {
                let plan = method.plan();
                let error = connect(&plan, preamble().as_bytes(), deadline).await.expect_err("a failure");
                (method, error)
            });
        }
        for (method, error) in attempts.join_all().await {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("pw-secret"), "{shown}");
            assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()) || custom(&method), "{shown}");
            assert_eq!((&error.hop, &error.argv), (&method.hop(), &method.plan().argv));
            assert!(error.elapsed < deadline + Duration::from_secs(3), "{shown}");
            check(&method, &error);
        }
    });
}

fn program(dir: &Path, script: &str) -> String {
    // Nobody may have it open for writing when it is executed: a process of another test could have inherited that.
    let (draft, path) = (dir.join("draft"), dir.join("tool"));
    std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).expect("a script");
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let copied = std::process::Command::new("cp").arg("-p").arg(&draft).arg(&path).status().expect("cp");
    assert!(copied.success());
    path.to_string_lossy().into_owned()
}

const SOON: Duration = Duration::from_secs(15);

/// It has the hints that its user gives it.
fn custom(method: &Method) -> bool {
    matches!(method, Method::Custom(_))
}

#[test]
fn none_is_left_out() {
    let tried: Vec<String> = methods("tool").iter().map(Method::hop).collect();
    for name in Method::names().iter().filter(|name| **name != "local") {
        let starts = |hop: &String| hop.split([':', '?']).next() == Some(name);
        assert!(tried.iter().any(starts), "{name}");
    }
    // All that setns can be told of.
    let why = Method::from_options("setns", [("argument", "c".into()), ("kind", "no-such-kind".into())]);
    let why = why.expect_err("no kind").to_string();
    for hop in leaders("tool").iter().map(Method::hop) {
        let kind = hop.rsplit('=').next().expect("a kind");
        assert!(why.contains(kind), "{why}");
    }
    assert_eq!(
        why.matches([',', '&']).count() + why.matches(" and ").count() + 1,
        leaders("tool").len(),
        "{why}"
    );
}

#[test]
fn a_tool_that_is_to_name_a_container_s_first_process() {
    use FailureKind as Kind;
    let is = |kind: Kind| move |_: &Method, error: &ConnectError| assert_eq!(error.kind, kind, "{error}");
    let seen = |error: &ConnectError, text: &str| {
        assert!(error.last_lines.iter().any(|line| line.text.contains(text)), "{error}");
    };
    each_of(leaders, "echo some noise; echo other noise >&2; exit 42", SOON, |_, error| {
        assert_eq!(error.kind, Kind::TargetStopped, "{error}");
        seen(error, "other noise");
    });
    each_of(leaders, "kill -9 $$", SOON, is(Kind::TargetStopped));
    each_of(leaders, "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", SOON, is(Kind::TargetStopped));
    each_of(leaders, "while :; do printf xxxxxxxxxxxxxxxxxxxxxxxxxx; done", SOON, is(Kind::TargetStopped));
    each_of(leaders, "echo permission denied >&2; exit 1", SOON, is(Kind::NotPermitted));
    each_of(
        leaders,
        "echo \"Error: dial unix /s: connect: no such file\" >&2; exit 1",
        SOON,
        is(Kind::Refused),
    );
    let ask =
        "exec 2>/dev/null; printf 'Shall I go on? ' >/dev/tty || exit 9; read -r answer </dev/tty; sleep 60";
    each_of(leaders, ask, SOON, is(Kind::TargetStopped));
    let patience = Duration::from_millis(700);
    each_of(leaders, "trap '' TERM; sleep 60 & wait; sleep 60", patience, is(Kind::TimedOut));
    each_of(leaders, "exec <&- >&- 2>&-; exec sleep 60", patience, is(Kind::TimedOut));
    // A process that has gone meanwhile, and no nsenter to look for it.
    let gone = "echo 'PID: 4000000'; echo 'Leader=4000000'";
    each_of(leaders, gone, SOON, |method, error| {
        let finds = ["lxd", "incus", "machinectl"].iter().any(|kind| method.hop().ends_with(kind));
        assert_eq!(error.kind, if finds { Kind::TargetMissing } else { Kind::TargetStopped }, "{error}");
    });
    let scratch = tempfile::tempdir().expect("a directory");
    let tool = program(scratch.path(), "echo 1");
    alone(|| async {
        let setns = Setns::docker("c").tool_path(tool).nsenter_path("/no/nsenter");
        let error = connect(&setns.plan(), preamble().as_bytes(), SOON).await.expect_err("a failure");
        assert_eq!(error.kind, Kind::ToolMissing, "{error}");
        assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("nsenter")), "{error}");
    });
}

#[test]
fn a_tool_that_may_not_be_run() {
    let scratch = tempfile::tempdir().expect("a directory");
    let tool = program(scratch.path(), "true");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    for method in methods(&tool) {
        alone(|| async {
            let error = connect(&method.plan(), preamble().as_bytes(), SOON).await.expect_err("a failure");
            assert_eq!((error.phase, &error.kind), (Phase::Spawn, &FailureKind::ToolMissing), "{error}");
        });
    }
    for method in leaders(&tool) {
        alone(|| async {
            let error = connect(&method.plan(), preamble().as_bytes(), SOON).await.expect_err("a failure");
            assert_eq!(error.kind, FailureKind::NotPermitted, "{error}");
        });
    }
}

#[test]
fn a_tool_that_closes_its_input_alone() {
    let patience = Duration::from_millis(700);
    with_tool("exec <&-; sleep 60", patience, |_, error| {
        assert_eq!(error.kind, FailureKind::TimedOut, "{error}");
    });
    // What is sent then goes nowhere, and that is no reason to fail before the tool does.
    with_tool("exec <&-; echo EC0; sleep 0.3; echo no input >&2; exit 3", SOON, |_, error| {
        let known = matches!(error.kind, FailureKind::Ended | FailureKind::NoInput);
        assert!(known && error.phase == Phase::FirstStage, "{error}");
    });
}

#[test]
fn no_tool() {
    for method in methods("/no/such/tool") {
        alone(|| async {
            let error = connect(&method.plan(), preamble().as_bytes(), SOON).await.expect_err("a failure");
            assert_eq!((error.phase, &error.kind), (Phase::Spawn, &FailureKind::ToolMissing), "{error}");
        });
    }
    // A shell looks for the tool.
    for method in leaders("/no/such/tool") {
        alone(|| async {
            let error = connect(&method.plan(), preamble().as_bytes(), SOON).await.expect_err("a failure");
            assert_eq!(error.kind, FailureKind::ToolMissing, "{error}");
        });
    }
}

#[test]
fn a_tool_that_ends_at_once() {
    with_tool("echo some noise; echo other noise >&2; exit 42", SOON, |_, error| {
        assert!(matches!(error.kind, FailureKind::Ended | FailureKind::NotRun), "{error}");
        assert_eq!(error.exit, Some(Exit::Status(42)));
        assert!(error.last_lines.iter().any(|line| line.text == "other noise"), "{error}");
    });
}

#[test]
fn a_tool_that_hangs() {
    let patience = Duration::from_millis(700);
    with_tool("trap '' TERM; echo hello; sleep 60 & wait; sleep 60", patience, |_, error| {
        assert_eq!(error.kind, FailureKind::TimedOut, "{error}");
    });
    with_tool("echo EC0; exec sleep 60", patience, |_, error| {
        assert_eq!((error.phase, &error.kind), (Phase::FirstStage, &FailureKind::TimedOut), "{error}");
    });
}

#[test]
fn a_tool_that_prints_without_end() {
    with_tool(
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
        SOON,
        |_, error| {
            assert_eq!(error.kind, FailureKind::Noise, "{error}");
        },
    );
}

#[test]
fn a_tool_that_closes_all_that_it_has() {
    with_tool("exec <&- >&- 2>&-; exec sleep 60", SOON, |_, error| {
        // Who has a terminal has it still.
        let known = matches!(error.kind, FailureKind::Ended | FailureKind::TimedOut);
        assert!(known, "{error}");
        assert!(error.elapsed < SOON + Duration::from_secs(1));
    });
}

#[test]
fn a_tool_that_is_killed() {
    for (markers, phase) in
        [("", Phase::Login), ("echo EC0;", Phase::FirstStage), ("echo EC0; echo EC1;", Phase::Agent)]
    {
        with_tool(&format!("{markers} kill -9 $$"), SOON, |_, error| {
            assert_eq!((error.phase, &error.kind), (phase, &FailureKind::Ended), "{error}");
            assert_eq!(error.exit, Some(Exit::Signal(9)));
        });
    }
}

#[test]
fn a_target_without_python() {
    with_tool("echo EC9", SOON, |_, error| {
        assert_eq!((error.phase, &error.kind), (Phase::Interpreter, &FailureKind::NoInterpreter), "{error}");
    });
}

#[test]
fn a_tool_that_asks_something_else() {
    // Those with no terminal cannot be asked; the others fail at the question, which is shown.
    let ask = "exec 2>/dev/null; printf 'Shall I go on, %s? ' you >/dev/tty || exit 9; read -r answer </dev/tty; sleep 60";
    with_tool(ask, SOON, |method, error| {
        if method.plan().wiring.terminal {
            assert_eq!(error.kind, FailureKind::UnexpectedPrompt, "{error}");
            assert!(error.last_lines.iter().any(|line| line.text.contains("Shall I go on")), "{error}");
            assert!(error.elapsed < SOON - Duration::from_secs(3), "{error}");
        } else {
            assert!(matches!(error.kind, FailureKind::Ended | FailureKind::NotRun), "{error}");
        }
    });
}

#[test]
fn a_vault_that_does_not_answer_is_the_deadline_s_business() {
    let scratch = tempfile::tempdir().expect("a directory");
    let tool = program(scratch.path(), "stty -echo </dev/tty; printf 'Password: ' >/dev/tty; sleep 60");
    let doas = Doas::new()
        .doas_path(&tool)
        .password(Credential::fetch(|_| std::future::pending::<Option<String>>()));
    let method = Method::from(doas);
    alone(|| async {
        let deadline = Duration::from_millis(1500);
        let (plan, preamble, mut observe) = (method.plan(), preamble(), |_, _| {});
        let attempt =
            connect_observed(&plan, preamble.as_bytes(), deadline, method.credentials(), &mut observe);
        let error = attempt.await.expect_err("a failure");
        assert_eq!(error.kind, FailureKind::TimedOut, "{error}");
    });
}
