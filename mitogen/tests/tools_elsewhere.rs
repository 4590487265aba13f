//! Every method behind another context, with a tool that misbehaves: the same verdicts as here, and nothing left
//! where the tool ran. The tool is a script in its place.

mod common;

use futures_util::future::join_all;
use mitogen::{ConnectError, Context, Error, FailureKind, Local, Method, OptionValue, Phase, Router};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const SOON: f64 = 20.0;

/// All methods that run a tool, with this one, under this deadline; those that can be asked know a password.
fn methods(tool: &str, seconds: f64) -> Vec<Method> {
    let named = Method::names().iter().filter(|name| **name != "local");
    let method = |name: &&'static str| {
        let path = match *name {
            "lxc" => "lxc_attach_path".to_owned(),
            "lxd" => "lxc_path".to_owned(),
            "jail" => "jexec_path".to_owned(),
            "setns" => "nsenter_path".to_owned(),
            "custom" => "argv".to_owned(),
            name => format!("{name}_path"),
        };
        let mut options = vec![("connect_timeout", OptionValue::from(seconds))];
        options.push(("argument", if *name == "setns" { "1" } else { "there" }.into()));
        options.push((&path, tool.into()));
        if Method::option_names(name).is_some_and(|known| known.contains(&"password")) {
            options.push(("password", OptionValue::Secret("pw-secret".into())));
        }
        Method::from_options(name, options).unwrap_or_else(|why| panic!("{name}: {why}"))
    };
    named.map(method).collect()
}

/// Those that ask a container's tool for a number first, with this program in its place.
fn leaders(tool: &str, seconds: f64) -> Vec<Method> {
    let kinds = ["docker", "podman", "lxc", "lxd", "incus", "machinectl"];
    let method = |kind: &str| {
        let path = format!("{}_path", if kind == "lxd" { "lxc" } else { kind });
        let options = [("argument", "c".into()), ("kind", kind.into()), (path.as_str(), tool.into())];
        let options = options.into_iter().chain([("connect_timeout", OptionValue::from(seconds))]);
        Method::from_options("setns", options).unwrap_or_else(|why| panic!("{kind}: {why}"))
    };
    kinds.into_iter().map(method).collect()
}

struct Elsewhere {
    router: Router,
    parent: Context,
    pid: u32,
    scratch: tempfile::TempDir,
}

impl Elsewhere {
    async fn new() -> Elsewhere {
        let router = Router::new().expect("a router");
        let parent = router.connect(Local::new()).await.expect("a context");
        let pid = parent.call("os.getpid", ()).await.expect("a call");
        Elsewhere { router, parent, pid, scratch: tempfile::tempdir().expect("a directory") }
    }

    /// A program, written elsewhere and then put in place: nobody may have it open for writing when it is run.
    fn tool(&self, name: &str, script: &str, mode: u32) -> String {
        let (draft, path) = (self.scratch.path().join("draft"), self.scratch.path().join(name));
        std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).expect("a script");
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode)).expect("a mode");
        let copied = std::process::Command::new("cp").arg("-p").arg(&draft).arg(&path).status().expect("cp");
        assert!(copied.success());
        path.to_string_lossy().into_owned()
    }

    async fn each(&self, tool: &str, seconds: f64, check: impl Fn(&Method, &ConnectError)) {
        self.all(methods(tool, seconds), check).await;
    }

    async fn all(&self, methods: Vec<Method>, check: impl Fn(&Method, &ConnectError)) {
        let attempts = methods.into_iter().map(async |method| {
            let error = match self.parent.connect(method.clone()).await {
                Err(Error::Connect(error)) => error,
                other => panic!("{}: {other:?}", method.hop()),
            };
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("pw-secret"), "{shown}");
            assert_eq!((&error.hop, &error.argv), (&method.hop(), &method.plan().argv), "{shown}");
            assert!(error.via.is_some(), "{shown}");
            assert!(error.hint.is_some() || matches!(method, Method::Custom(_)), "{shown}");
            check(&method, &error);
        });
        join_all(attempts).await;
        common::wait_for("the tools to go", || {
            children_of(self.pid).is_empty() && !runs(self.scratch.path())
        });
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    texts
        .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect::<Vec<_>>())
        .collect()
}

/// Whether any process was started from this directory: also one that nobody's child is any more.
fn runs(dir: &Path) -> bool {
    let name = dir.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(&name))
}

#[tokio::test]
async fn every_tool_that_misbehaves_elsewhere() {
    use FailureKind as Kind;
    let place = Elsewhere::new().await;
    place.each("/no/such/tool", SOON, |_, error| assert_eq!(error.kind, Kind::ToolMissing, "{error}")).await;
    let forbidden = place.tool("forbidden", "true", 0o644);
    place.each(&forbidden, SOON, |_, error| assert_eq!(error.kind, Kind::ToolMissing, "{error}")).await;

    let ends = place.tool("ends", "echo some noise; echo other noise >&2; exit 42", 0o755);
    place
        .each(&ends, SOON, |_, error| {
            assert!(matches!(error.kind, Kind::Ended | Kind::NotRun), "{error}");
            assert!(error.last_lines.iter().any(|line| line.text == "other noise"), "{error}");
        })
        .await;
    for (markers, phase) in
        [("", Phase::Login), ("echo EC0;", Phase::FirstStage), ("echo EC0; echo EC1;", Phase::Agent)]
    {
        let killed = place.tool("killed", &format!("{markers} kill -9 $$"), 0o755);
        place
            .each(&killed, SOON, |_, error| {
                assert_eq!((error.phase, &error.kind), (phase, &Kind::Ended), "{error}");
            })
            .await;
    }
    let noisy = place.tool("noisy", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", 0o755);
    place.each(&noisy, SOON, |_, error| assert_eq!(error.kind, Kind::Noise, "{error}")).await;
    let bare = place.tool("bare", "echo EC9", 0o755);
    place.each(&bare, SOON, |_, error| assert_eq!(error.kind, Kind::NoInterpreter, "{error}")).await;
    let asks =
        "exec 2>/dev/null; printf 'Shall I go on? ' >/dev/tty || exit 9; read -r x </dev/tty; sleep 60";
    let asks = place.tool("asks", asks, 0o755);
    place
        .each(&asks, SOON, |method, error| {
            if method.plan().wiring.terminal {
                assert_eq!(error.kind, Kind::UnexpectedPrompt, "{error}");
                assert!(error.last_lines.iter().any(|line| line.text.contains("Shall I go on")), "{error}");
            } else {
                assert!(matches!(error.kind, Kind::Ended | Kind::NotRun), "{error}");
            }
        })
        .await;
    let numbers: [(&str, &[Kind]); 4] = [
        ("/no/such/tool", &[Kind::ToolMissing]),
        (&ends, &[Kind::TargetStopped]),
        (&noisy, &[Kind::TargetStopped]),
        (&forbidden, &[Kind::NotPermitted]),
    ];
    for (tool, kinds) in numbers {
        let check = |_: &Method, error: &ConnectError| assert!(kinds.contains(&error.kind), "{error}");
        place.all(leaders(tool, SOON), check).await;
    }
    // These take all their time.
    let patience = Duration::from_secs_f64(1.5);
    // Its helper is known by the place, too, and outlives a polite word.
    let helper = format!("sh -c 'sleep 60; : {}'", place.scratch.path().display());
    let hangs = place.tool("hangs", &format!("trap '' TERM; echo hello; {helper} & wait; sleep 60"), 0o755);
    let closes = place.tool("closes", "exec <&- >&- 2>&-; exec sleep 60", 0o755);
    place
        .each(&hangs, patience.as_secs_f64(), |_, error| {
            assert_eq!(error.kind, Kind::TimedOut, "{error}");
            assert!(error.last_lines.iter().any(|line| line.text == "hello"), "{error}");
        })
        .await;
    let timed_out = |_: &Method, error: &ConnectError| assert_eq!(error.kind, Kind::TimedOut, "{error}");
    place.all(leaders(&hangs, patience.as_secs_f64()), timed_out).await;
    place
        .each(&closes, patience.as_secs_f64(), |_, error| {
            // Who has a terminal has it still.
            assert!(matches!(error.kind, Kind::Ended | Kind::TimedOut), "{error}");
        })
        .await;
    assert_eq!(place.parent.call::<u32>("os.getpid", ()).await.expect("it lives on"), place.pid);
    place.router.shutdown().await.expect("an orderly end");
}
