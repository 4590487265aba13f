//! When the controller is killed its contexts are gone within two seconds, even if they are busy.

mod common;

use mitogen::blocking::Router;
use mitogen::{Call, Error, Local, Value};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_killed_controller_takes_its_sleeping_contexts_along() {
    for python in common::interpreters() {
        let mut controller = Command::new(std::env::current_exe().expect("a test"))
            .args(["--exact", "a_controller_to_be_killed", "--ignored", "--nocapture"])
            .env("MITOGEN_TEST_PYTHON", &python)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the same test program");
        let lines = BufReader::new(controller.stdout.take().expect("a pipe")).lines();
        let pid: u32 = lines
            .map_while(Result::ok)
            .find_map(|line| line.rsplit_once("child ")?.1.parse().ok())
            .unwrap_or_else(|| panic!("{}: no child", python.display()));
        std::thread::sleep(Duration::from_millis(100)); // it is asleep by now, or soon
        controller.kill().expect("a kill");
        controller.wait().expect("an end");
        common::wait_dead(pid, Duration::from_secs(2));
    }
}

#[test]
#[ignore = "run by a_killed_controller_takes_its_sleeping_contexts_along"]
fn a_controller_to_be_killed() {
    let python = std::env::var("MITOGEN_TEST_PYTHON").expect("set by the other test");
    let router = Router::new().expect("a router");
    let context = router.connect(Local::new().python(python)).expect("a context");
    let pid: u32 = context.call("os.getpid", ()).expect("a pid");
    println!("child {pid}");
    let _ = context.start::<Value>(Call::new("time.sleep").arg(60)).wait();
}

/// Forks in the context; the fork keeps the link open for a while.
const FORK: &str = "__import__('os').fork() or __import__('time').sleep(5)";

#[tokio::test]
async fn a_fork_that_holds_the_link_does_not_hide_that_its_context_has_ended() {
    let (router, context) = common::one_context().await;
    let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
    let _fork: u32 = context.call("builtins.eval", (FORK,)).await.expect("a pid");
    let sleeping = context.start::<Value>(Call::new("time.sleep").arg(60));
    let start = Instant::now();
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill");
    let error = sleeping.await.expect_err("the context is gone");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    router.shutdown().await.expect("a shutdown");
}

#[test]
fn a_runtime_that_ends_takes_the_commands_of_its_contexts_along() {
    let note = std::env::temp_dir().join(format!("mitogen-orphan-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let pid: u32 = runtime.block_on(async {
        let (_router, context) = common::one_context().await;
        let script = format!("echo $$ >{0}.new; mv {0}.new {0}; sleep 50; sleep 50", note.display());
        let exec = context.exec(mitogen::Command::shell(script));
        let told = async {
            while !note.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            output = exec => panic!("{output:?}"),
            () = told => std::fs::read_to_string(&note).expect("a note").trim().parse().expect("a pid"),
        }
    });
    drop(runtime);
    common::wait_dead(pid, Duration::from_secs(2));
    std::fs::remove_file(&note).expect("the note");
}
