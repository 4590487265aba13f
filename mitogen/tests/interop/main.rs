//! The same scenarios, played against our agent and against the core of upstream's releases, are seen the same.
//!
//! `MITOGEN_UPSTREAM` names the packages, as `PATH` does directories; `cargo xtask interop` sets it.

#[path = "../common/mod.rs"]
mod common;
mod notation;
mod player;
mod records;

use mitogen::Agent;
use std::path::PathBuf;
use std::sync::Mutex;

/// Records of all routers of a process come to the same place: one at a time.
static TURN: Mutex<()> = Mutex::new(());

fn play(peer: &str, agents: &[(String, Agent)]) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut bad = Vec::new();
    let only = std::env::var("MITOGEN_INTEROP_PYTHON").ok();
    for (name, agent) in agents {
        for python in common::interpreters() {
            if only.as_ref().is_some_and(|only| !python.to_string_lossy().contains(only.as_str())) {
                continue;
            }
            let folder = tempfile::tempdir().expect("a directory");
            let complaints = runtime.block_on(player::play(peer, agent.clone(), &python, folder.path()));
            println!("{name} under {}: {} complaints", python.display(), complaints.len());
            bad.extend(
                complaints.into_iter().map(|text| format!("{name} under {}: {text}", python.display())),
            );
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn our_agent_plays_them() {
    play("agent", &[("our agent".to_owned(), Agent::Builtin)]);
}

#[test]
fn upstreams_core_plays_them() {
    let Some(packages) = std::env::var_os("MITOGEN_UPSTREAM") else {
        println!(
            "skipped: no releases of upstream's in MITOGEN_UPSTREAM (`cargo xtask interop` installs them)"
        );
        return;
    };
    let packages: Vec<PathBuf> = std::env::split_paths(&packages).collect();
    let agents: Vec<_> =
        packages.into_iter().map(|path| (path.display().to_string(), Agent::Upstream(path))).collect();
    play("upstream", &agents);
}
