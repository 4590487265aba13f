//! However a context ends, everybody who waits is told, and nothing of it stays behind.

mod common;

use common::{children, open_descriptors, wait_gone};
use mitogen::{Call, Error, Local, LostReason, Router, Value};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_child_killed_in_mid_call_fails_the_call_as_lost() {
    let (router, context) = common::one_context().await;
    let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
    let sleeping = context.start::<Value>(Call::new("time.sleep").arg(60));
    let start = Instant::now();
    std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill");
    let error = sleeping.await.expect_err("the context is gone");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    match &error {
        Error::Lost { hop, reason: LostReason::Ended { status: Some(status) }, .. } => {
            assert_eq!(hop, "local");
            assert!(status.contains('9') || status.contains("KILL"), "{status}");
        }
        other => panic!("{other:?}"),
    }
    let error = context.call::<Value>("os.getpid", ()).await.expect_err("still gone");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(!context.is_connected());
    context.shutdown().await.expect("shutting down what is gone succeeds");
    wait_gone(pid, Duration::from_secs(2));
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_shutdown_ends_the_process_and_fails_calls_under_way() {
    let (router, context) = common::one_context().await;
    let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
    let sleeping = context.start::<Value>(Call::new("time.sleep").arg(60));
    let start = Instant::now();
    context.shutdown().await.expect("a shutdown");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!common::process_exists(pid));
    let error = sleeping.await.expect_err("the context is gone");
    assert!(matches!(error, Error::Lost { reason: LostReason::ShutDown, .. }), "{error:?}");
    assert!(router.contexts().is_empty());
    router.shutdown().await.expect("a shutdown");
    let error = router.connect(Local::new()).await.expect_err("the router is closed");
    assert!(matches!(error, Error::Closed), "{error:?}");
}

#[tokio::test]
async fn a_context_that_ignores_its_shutdown_is_killed() {
    let router = Router::builder().shutdown_grace(Duration::from_millis(200)).build().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
    std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().expect("kill");
    let start = Instant::now();
    context.shutdown().await.expect("a shutdown");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(!common::process_exists(pid));
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn dropping_the_router_closes_everything() {
    let (router, context) = common::one_context().await;
    let other = router.connect(Local::new()).await.expect("a context");
    let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
    let other_pid: u32 = other.call("os.getpid", ()).await.expect("a pid");
    let sleeping = context.start::<Value>(Call::new("time.sleep").arg(60));
    let clone = router.clone();
    drop(router);
    let _pid: u32 = other.call("os.getpid", ()).await.expect("a clone keeps it open");
    drop(clone);
    let error = sleeping.await.expect_err("the router is gone");
    assert!(matches!(error, Error::Closed | Error::Lost { .. }), "{error:?}");
    let gone = tokio::task::spawn_blocking(move || {
        wait_gone(pid, Duration::from_secs(4));
        wait_gone(other_pid, Duration::from_secs(4));
    });
    gone.await.expect("both processes are gone");
    let error = other.call::<Value>("os.getpid", ()).await.expect_err("the router is gone");
    assert!(matches!(error, Error::Closed | Error::Lost { .. }), "{error:?}");
}

#[test]
fn a_runtime_that_ends_takes_its_contexts_along() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (router, pid) = runtime.block_on(async {
        let (router, context) = common::one_context().await;
        let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
        (router, pid)
    });
    drop(runtime);
    wait_gone(pid, Duration::from_secs(4));
    assert!(router.contexts().is_empty());
}

#[tokio::test]
async fn an_abandoned_connection_leaves_no_process() {
    let router = Router::new().expect("a router");
    for delay in [0, 2, 5, 10, 20, 40] {
        let attempt = router.connect(Local::new());
        let _ = tokio::time::timeout(Duration::from_millis(delay), attempt).await;
    }
    router.shutdown().await.expect("a shutdown");
    drop(router);
    tokio::time::sleep(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_timeout_ends_the_wait_and_not_the_context() {
    let (router, context) = common::one_context().await;
    let start = Instant::now();
    let after = Duration::from_millis(200);
    let call = Call::new("time.sleep").arg(1).timeout(after);
    let error = context.start::<Value>(call).await.expect_err("too slow");
    assert!(matches!(error, Error::Timeout { after: a, .. } if a == after), "{error:?}");
    assert!(
        start.elapsed() >= after && start.elapsed() < Duration::from_millis(900),
        "{:?}",
        start.elapsed()
    );
    let _pid: u32 = context.call("os.getpid", ()).await.expect("the context lives on");
    drop(context.start::<Value>(Call::new("os.getpid")));
    let _pid: u32 = context.call("os.getpid", ()).await.expect("a forgotten answer harms nobody");
    router.shutdown().await.expect("a shutdown");
}

/// A thousand with `MITOGEN_CYCLES=1000`.
#[test]
fn many_cycles_leave_no_zombie_and_no_descriptor_behind() {
    let cycles = std::env::var("MITOGEN_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    // In a process of its own, since other tests of this file have children and descriptors too.
    let own = std::env::current_exe().expect("a test");
    let status = std::process::Command::new(own)
        .args(["--exact", "cycles_in_a_process_of_their_own", "--ignored", "--nocapture"])
        .env("MITOGEN_CYCLES", cycles.to_string())
        .status()
        .expect("the same test program");
    assert!(status.success());
}

#[test]
#[ignore = "run by many_cycles_leave_no_zombie_and_no_descriptor_behind"]
fn cycles_in_a_process_of_their_own() {
    let cycles: usize = std::env::var("MITOGEN_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let router = mitogen::blocking::Router::new().expect("a router");
    let python = common::interpreters().pop().expect("at least one");
    let mut before = (0, 0);
    for cycle in 0..cycles {
        let method = Local::new().python(python.to_string_lossy());
        let context = router.connect(method).expect("a context");
        let pid: u32 = context.call("os.getpid", ()).expect("a pid");
        context.shutdown().expect("a shutdown");
        assert!(!common::process_exists(pid));
        // The first cycles make what is made once.
        if cycle == cycles / 3 {
            before = (open_descriptors(), resident_kib());
        }
    }
    assert_eq!(children(), [] as [u32; 0]);
    assert!(open_descriptors() <= before.0, "{} descriptors, {} before", open_descriptors(), before.0);
    let growth = resident_kib().saturating_sub(before.1);
    println!("{cycles} cycles; resident memory grew by {growth} KiB after the first third");
    assert!(growth < 4096, "resident memory grew by {growth} KiB");
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}
