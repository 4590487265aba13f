//! The same scenarios, played against our agent and against the core of upstream's releases, are seen the same.
//!
//! `MITOGEN_UPSTREAM` names the packages, as `PATH` does directories; `cargo xtask interop` sets it.

#[path = "../common/mod.rs"]
mod common;
mod notation;
mod player;
mod records;

use mitogen::Agent;
use std::sync::{Mutex, PoisonError};

/// Records of all routers of a process come to the same place: one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Plays under the interpreter of this version: `peer` as the scenarios call it.
fn play(peer: &str, version: &str, agents: &[(String, Agent)]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(python) = common::interpreter(version) else {
        println!("skipped: no python{version} on this machine");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut bad = Vec::new();
    for (name, agent) in agents {
        let folder = tempfile::tempdir().expect("a directory");
        let complaints = runtime.block_on(player::play(peer, agent.clone(), &python, folder.path()));
        println!("{name} under Python {version}: {} complaints", complaints.len());
        bad.extend(complaints.into_iter().map(|text| format!("{name} under Python {version}: {text}")));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn agent(version: &str) {
    play("agent", version, &[("our agent".to_owned(), Agent::Builtin)]);
}

fn upstream(version: &str) {
    let Some(packages) = std::env::var_os("MITOGEN_UPSTREAM") else {
        println!("skipped: optional releases of upstream's (`cargo xtask interop` installs them)");
        return;
    };
    let agents: Vec<_> = std::env::split_paths(&packages)
        .map(|path| (path.display().to_string(), Agent::Upstream(path)))
        .collect();
    play("upstream", version, &agents);
}

macro_rules! under {
    ($($name:ident $version:literal)*) => {
        mod our_agent_plays {
            $(#[test] fn $name() { super::agent($version) })*
        }
        mod upstreams_core_plays {
            $(#[test] fn $name() { super::upstream($version) })*
        }
    };
}

under! {
    under_2_7 "2.7" under_3_6 "3.6" under_3_7 "3.7" under_3_8 "3.8" under_3_9 "3.9" under_3_10 "3.10"
    under_3_11 "3.11" under_3_12 "3.12" under_3_13 "3.13"
}
