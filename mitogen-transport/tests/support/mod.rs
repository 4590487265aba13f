//! What the tests of this crate share. They run one at a time, so that descriptors and children
//! can be counted.
#![allow(dead_code, unreachable_pub)]

use mitogen_bootstrap::plan::{BootPlan, Wiring};
use mitogen_bootstrap::{BootConfig, Preamble};
use mitogen_transport::{ConnectError, Connected, connect};
use mitogen_wire::ContextId;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static ALONE: Mutex<()> = Mutex::new(());

/// Runs a test's story, then demands that no process and no descriptor is left of it.
pub fn alone<F: Future<Output = ()>>(story: impl FnOnce() -> F) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The first runtime of a process opens what tokio keeps for ever: a pair of sockets for signals.
    drop(runtime());
    let (children_before, fds_before) = (children(), fds());
    runtime().block_on(story());
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        let left: Vec<_> = children().difference(&children_before).copied().collect();
        let fds = fds();
        if left.is_empty() && fds.is_subset(&fds_before) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "left behind: processes {left:?}, descriptors {:?}",
            fds.difference(&fds_before)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

/// All processes, dead ones included, that descend from this one.
pub fn children() -> BTreeSet<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|t| t.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut found = BTreeSet::from([std::process::id()]);
    loop {
        let before = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            found.remove(&std::process::id());
            return found;
        }
    }
}

/// The descriptors that this process was started with and hands on to any child: not ours.
pub fn inherited() -> BTreeSet<u32> {
    let passed_on = |fd: &u32| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|l| l.strip_prefix("flags:"));
        flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & 0o2_000_000 == 0)
    };
    fds().into_iter().filter(passed_on).collect()
}

fn fds() -> BTreeSet<u32> {
    let dir = std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd");
    dir.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// A plan that runs a shell script in the place of a tool.
pub fn script(script: &str) -> BootPlan {
    BootPlan {
        hop: "test".into(),
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: Vec::new(),
        wiring: Wiring::PLAIN,
        logs_in: true,
        prompts: Vec::new(),
        failures: Vec::new(),
        hint: None,
    }
}

pub async fn try_connect(plan: &BootPlan) -> Result<Connected, Box<ConnectError>> {
    connect(plan, b"preamble", Duration::from_secs(10)).await
}

pub async fn fail(plan: &BootPlan) -> Box<ConnectError> {
    let started = Instant::now();
    let error = try_connect(plan).await.expect_err("a failure");
    eprintln!("{error}\n");
    assert!(started.elapsed() < Duration::from_secs(9), "took until the deadline: {error}");
    error
}

/// The preamble of a real context.
pub fn preamble() -> Preamble {
    Preamble::new(&BootConfig::new(ContextId(1), vec![ContextId::CONTROLLER]), "tester@here:1")
}
