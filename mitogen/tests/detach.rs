//! Contexts that outlive the program that started them, with all that is behind them.

mod common;

use common::{connect, define, interpreters, process_exists, wait_dead};
use mitogen::{Call, Context, Error, Local, LostReason, Router, Value};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const USER: &str = r"
import os, time
from mitogen.core import takes_econtext

@takes_econtext
def become_monitoring_master(children, path, econtext):
    econtext.detach()
    beats = 0
    while beats < 3000:
        beats += 1
        line = ' '.join('%d:%d' % (child.context_id, child.call(os.getpid)) for child in children)
        fp = open(path, 'a')
        fp.write(line + '\n')
        fp.close()
        time.sleep(.01)
";

/// Waits until the monitor has written another line, and returns it.
fn next_line(path: &Path) -> String {
    let text = || std::fs::read_to_string(path).unwrap_or_default();
    let (before, start) = (text().len(), Instant::now());
    loop {
        let now = text();
        if now.len() > before && now.ends_with('\n') {
            return now.lines().next_back().expect("a line").to_owned();
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the monitor writes nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What has detached is nobody's: it must go even when its test fails.
struct Left(u32);

impl Left {
    fn end(&self) {
        std::process::Command::new("kill").arg(self.0.to_string()).status().expect("kill");
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if process_exists(self.0) {
            self.end();
        }
    }
}

async fn pid(context: &Context) -> u32 {
    context.call("os.getpid", ()).await.unwrap_or_else(|error| panic!("{}: {error}", context.target()))
}

/// Starts a monitor with two children, and waits until it has detached. Returns its process and theirs.
async fn start_monitor(
    router: &Router,
    parent: Option<&Context>,
    python: &Path,
    path: &Path,
) -> (Left, [u32; 2]) {
    let method = Local::new().python(python.to_string_lossy());
    let mut events = router.events();
    let monitor = match parent {
        Some(parent) => parent.connect(method).await,
        None => router.connect(method).await,
    };
    let monitor = monitor.expect("a context");
    define(&monitor, "user", USER).await;
    let children = [monitor.connect(Local::new()).await, monitor.connect(Local::new()).await];
    let children = children.map(|child| child.expect("a child"));
    let pids = (Left(pid(&monitor).await), [pid(&children[0]).await, pid(&children[1]).await]);
    let call = Call::new("user.become_monitoring_master").arg(&children).arg(path.to_str());
    let lost = monitor.start::<Value>(call).await.expect_err("it leaves");
    // Wherever it was, and with all that is behind it.
    assert!(matches!(lost, Error::Lost { reason: LostReason::Detached, .. }), "{lost:?}");
    let error = children[0].call::<Value>("os.getpid", ()).await.expect_err("no way leads there");
    assert!(matches!(error, Error::Lost { reason: LostReason::Detached, .. }), "{error:?}");
    let mut left = Vec::new();
    while left.len() < 3 {
        if let mitogen::Event::Lost { context, reason } = events.next().await.expect("an event") {
            assert!(matches!(reason, LostReason::Detached), "{context}: {reason:?}");
            left.push(context.id);
        }
    }
    left.sort();
    assert_eq!(left, [monitor.id(), children[0].id(), children[1].id()]);
    pids
}

#[tokio::test]
async fn a_monitor_polls_its_children_when_its_controller_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    for python in interpreters() {
        let router = Router::new().expect("a router");
        let path = folder.path().join("seen");
        let other = connect(&router, &python).await;
        let (monitor, children) = start_monitor(&router, None, &python, &path).await;
        next_line(&path);
        let other_pid = pid(&other).await;
        router.shutdown().await.expect("a shutdown");
        drop(router);
        assert!(!process_exists(other_pid), "what has not detached is gone");
        let line = next_line(&path);
        for child in children {
            assert!(line.contains(&format!(":{child}")), "{line}");
        }
        monitor.end();
        for pid in [monitor.0].into_iter().chain(children) {
            wait_dead(pid, Duration::from_secs(10));
        }
        std::fs::remove_file(&path).expect("removed");
    }
}

#[tokio::test]
async fn a_monitor_behind_another_context_outlives_that_one_too() {
    let folder = tempfile::tempdir().expect("a folder");
    for python in [interpreters().remove(0), interpreters().pop().expect("one")] {
        let router = Router::new().expect("a router");
        let path = folder.path().join("seen");
        let parent = connect(&router, &python).await;
        let (monitor, children) = start_monitor(&router, Some(&parent), &python, &path).await;
        let parent_pid = pid(&parent).await;
        router.shutdown().await.expect("a shutdown");
        assert!(!process_exists(parent_pid));
        next_line(&path);
        monitor.end();
        for pid in [monitor.0].into_iter().chain(children) {
            wait_dead(pid, Duration::from_secs(10));
        }
        std::fs::remove_file(&path).expect("removed");
    }
}

/// The controller of the next test.
#[tokio::test]
#[ignore = "run by a_monitor_outlives_a_controller_that_is_killed"]
async fn controller_that_will_be_killed() {
    let Some(path) = std::env::var_os("MITOGEN_TEST_MONITOR") else { return };
    let path = PathBuf::from(path);
    let router = Router::new().expect("a router");
    let bystander = router.connect(Local::new()).await.expect("a context");
    let python = interpreters().pop().expect("one");
    let (monitor, children) = start_monitor(&router, None, &python, &path).await;
    let pids = [pid(&bystander).await, monitor.0, children[0], children[1]];
    std::fs::write(path.with_extension("pids"), pids.map(|pid| pid.to_string()).join(" ")).expect("written");
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[test]
fn a_monitor_outlives_a_controller_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("seen");
    let mut controller = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "controller_that_will_be_killed"])
        .env("MITOGEN_TEST_MONITOR", &path)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a controller");
    let start = Instant::now();
    let pids: Vec<u32> = loop {
        let text = std::fs::read_to_string(path.with_extension("pids")).unwrap_or_default();
        let pids: Vec<u32> = text.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
        if pids.len() == 4 {
            break pids;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no monitor");
        std::thread::sleep(Duration::from_millis(10));
    };
    let monitor = Left(pids[1]);
    controller.kill().expect("killed");
    controller.wait().expect("reaped");
    wait_dead(pids[0], Duration::from_secs(10));
    next_line(&path);
    next_line(&path);
    monitor.end();
    for &pid in &pids {
        wait_dead(pid, Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_context_is_told_to_detach() {
    let router = Router::new().expect("a router");
    let parent = router.connect(Local::new()).await.expect("a context");
    let inner = parent.connect(Local::new()).await.expect("a context");
    let outer = router.connect(Local::new()).await.expect("a context");
    let child = outer.connect(Local::new()).await.expect("a context");
    let stays = router.connect(Local::new()).await.expect("a context");
    let mut pids = Vec::new();
    for context in [&inner, &outer, &child] {
        pids.push(pid(context).await);
    }
    let left = [Left(pids[0]), Left(pids[1])];
    for context in [&inner, &outer] {
        context.detach().await.unwrap_or_else(|error| panic!("{error:?}"));
        assert!(!context.is_connected());
        context.detach().await.expect("it has");
    }
    let error = child.call::<Value>("os.getpid", ()).await.expect_err("no way leads there");
    assert!(matches!(error, Error::Lost { reason: LostReason::Detached, .. }), "{error:?}");
    assert_eq!(router.contexts(), [parent, stays]);
    let start = Instant::now();
    router.shutdown().await.expect("a shutdown");
    assert!(start.elapsed() < Duration::from_secs(4), "it waited for those that left");
    for &pid in &pids {
        assert!(process_exists(pid), "{pids:?}: {pid}");
    }
    left.iter().for_each(Left::end);
    for &pid in &pids {
        wait_dead(pid, Duration::from_secs(10));
    }
}
