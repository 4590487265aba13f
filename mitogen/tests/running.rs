//! A command's output comes as it is printed, no faster than it is taken, and the command ends with whoever runs it.

mod common;

use mitogen::{Command, Context, Printed, Router, Running};
use std::path::PathBuf;
use std::time::Duration;

async fn text(running: &mut Running) -> String {
    match running.next().await.expect("output") {
        Some(Printed::Stdout(bytes)) => String::from_utf8(bytes.to_vec()).expect("text"),
        other => panic!("{other:?}"),
    }
}

async fn each_python(mut check: impl AsyncFnMut(Context)) {
    for python in common::interpreters() {
        let router = Router::new().expect("a router");
        check(common::connect(&router, &python).await).await;
        router.shutdown().await.expect("a shutdown");
    }
}

#[tokio::test]
async fn output_comes_while_the_command_runs() {
    each_python(async |context: Context| {
        let flag = tempfile::tempdir().expect("a directory");
        let path = flag.path().join("go");
        let script = "echo one; while ! [ -e \"$1\" ]; do sleep .01; done; echo two >&2; exit 3";
        let command = Command::shell(script).args(["sh", &path.display().to_string()]);
        let mut running = context.spawn(command).expect("a command");
        assert_eq!(text(&mut running).await, "one\n");
        assert_eq!(running.status(), None);
        std::fs::write(&path, "").expect("a file");
        assert_eq!(running.next().await.expect("output"), Some(Printed::Stderr("two\n".into())));
        assert_eq!(running.next().await.expect("the end"), None);
        assert_eq!(running.status(), Some(3));
        assert_eq!(running.next().await.expect("the end"), None);
        // What it is given, and what cannot be run.
        let mut running = context.spawn(Command::new("cat").stdin("given")).expect("a command");
        assert_eq!(text(&mut running).await, "given");
        let error = context.spawn(Command::new("/nonexistent")).expect("it is tried").next().await;
        assert!(error.expect_err("there is none").to_string().contains("No such file"));
    })
    .await;
}

#[tokio::test]
async fn a_command_waits_for_whoever_takes_its_output() {
    const BYTES: usize = 24 << 20;
    let (router, context) = common::one_context().await;
    let directory = tempfile::tempdir().expect("a directory");
    let done = directory.path().join("done");
    let script = format!("head -c {BYTES} /dev/zero; : > \"$1\"");
    let command = Command::shell(script).args(["sh", &done.display().to_string()]);
    let mut running = context.spawn(command).expect("a command");
    let mut taken = text(&mut running).await.len();
    // As long as it likes: more than the window does not come.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!done.exists(), "it has ended, and nobody has taken what it printed");
    let received = context.stats().expect("a link").bytes_received;
    assert!(received < 4 << 20, "{received} bytes have come");
    while let Some(printed) = running.next().await.expect("output") {
        let Printed::Stdout(bytes) = printed else { panic!("{printed:?}") };
        taken += bytes.len();
    }
    assert_eq!((taken, running.status()), (BYTES, Some(0)));
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_command_that_says_nothing_ends_when_it_is_dropped() {
    each_python(async |context: Context| {
        let mut running = context.spawn(Command::shell("echo $$; exec sleep 50")).expect("a command");
        let pid = text(&mut running).await.trim().parse().expect("a pid");
        drop(running);
        common::wait_dead(pid, Duration::from_secs(10));
        let output = context.exec(Command::new("echo")).await.expect("the context lives on");
        assert_eq!(output.stdout, "\n");
    })
    .await;
}

#[tokio::test]
async fn a_context_that_is_killed_takes_its_commands_along() {
    each_python(async |context: Context| {
        let agent: u32 = context.call("os.getpid", ()).await.expect("a pid");
        // One that has ended is not looked for any more.
        context.exec(Command::new("true")).await.expect("a command");
        let mut running = context.spawn(Command::shell("echo $$; sleep 50; sleep 50")).expect("a command");
        let pid = text(&mut running).await.trim().parse().expect("a pid");
        std::process::Command::new("kill").args(["-KILL", &agent.to_string()]).status().expect("kill");
        common::wait_dead(pid, Duration::from_secs(10));
        assert!(running.next().await.is_err());
    })
    .await;
}

#[test]
fn programs_without_async_have_it_too() {
    let router = mitogen::blocking::Router::new().expect("a router");
    let context = router.connect(mitogen::Local::new()).expect("a context");
    let mut running = context.spawn(Command::shell("echo out; exit 4")).expect("a command");
    assert_eq!(running.next().expect("output"), Some(Printed::Stdout("out\n".into())));
    assert_eq!(running.next().expect("the end"), None);
    assert_eq!(running.status(), Some(4));
    let path = PathBuf::from("/nonexistent");
    drop(context.spawn(Command::new(path.display().to_string())).expect("it is tried"));
    router.shutdown().expect("a shutdown");
}
