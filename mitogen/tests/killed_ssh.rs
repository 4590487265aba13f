//! The ssh client is killed: before the login, and when the context lives.

mod common;

use mitogen::{Error, FailureKind, HostKeys, LostReason, Router, Ssh, Value};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn testbed(test: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("MITOGEN_TESTBED").map(PathBuf::from);
    if directory.is_none() {
        eprintln!("skipped: {test}: MITOGEN_TESTBED is not set (see `cargo xtask testbed up`)");
    }
    directory
}

/// Kills the only child of this process that runs ssh, as soon as there is one.
async fn kill_ssh() {
    let is_ssh = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"ssh\0"))
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(pid) = common::children().into_iter().find(is_ssh) {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
            return rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
        }
        assert!(Instant::now() < deadline, "ssh was never started");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn gone(pid: u32) {
    let gone = async {
        while common::process_exists(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .unwrap_or_else(|_| panic!("{pid} is still there"));
}

/// In one test: both look for the only ssh.
#[tokio::test]
async fn a_killed_client_is_told_at_once_and_takes_its_context_along() {
    // A server that says nothing: the login never ends by itself.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let router = Router::new().expect("a router");
    let ssh = Ssh::new("127.0.0.1").port(port).config("/dev/null").host_keys(HostKeys::Ignore);
    let (result, ()) = tokio::join!(router.connect(ssh), kill_ssh());
    match result {
        Err(Error::Connect(error)) => {
            assert_eq!(error.kind, FailureKind::Ended, "{error}");
            assert!(error.to_string().contains("was killed by signal 9"), "{error}");
        }
        // Without an ssh client nothing was killed either.
        other => panic!("{other:?}"),
    }
    assert!(common::children().is_empty());

    let Some(testbed) = testbed("a_killed_client_takes_its_context_along") else { return };
    let config = testbed.join("ssh_config").display().to_string();
    let context = router.connect(Ssh::new("tb_dash").config(config)).await.expect("a context");
    let pid: u32 = context.call("os.getpid", ()).await.expect("a pid");
    let under_way = context.start::<Value>(mitogen::Call::new("time.sleep").arg(60));
    kill_ssh().await;
    match under_way.await {
        Err(Error::Lost { hop, reason: LostReason::Ended { status }, .. }) => {
            assert_eq!((hop.as_str(), status.as_deref()), ("ssh:tb_dash", Some("was killed by signal 9")));
        }
        other => panic!("{other:?}"),
    }
    // Even though its main thread sleeps.
    gone(pid).await;
    router.shutdown().await.expect("a shutdown");
    assert!(common::children().is_empty());
}
