//! The same scenarios, played against our agent, against the core of upstream's releases, and by programs that use
//! those releases on our listener, are seen the same.
//!
//! `MITOGEN_UPSTREAM` names the packages, as `PATH` does directories; `cargo xtask interop` sets it, and reads the
//! lines that begin with `played:`.

#[path = "../common/mod.rs"]
mod common;
mod notation;
mod player;
mod program;
mod records;

use mitogen::Agent;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Records of all routers of a process come to the same place: one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Has each of these play under the interpreter of this version.
fn play(
    version: &str,
    peers: Vec<(String, PathBuf)>,
    play: impl Fn(&Path, &Path, &Path) -> player::Complaints,
) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(python) = common::interpreter(version) else {
        println!("skipped: no python{version} on this machine");
        return;
    };
    let mut bad = Vec::new();
    for (name, package) in peers {
        let folder = tempfile::tempdir().expect("a directory");
        let complaints = play(&package, &python, folder.path());
        println!("played: {name} under Python {version}: {} complaints", complaints.len());
        bad.extend(complaints.into_iter().map(|text| format!("{name} under Python {version}: {text}")));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Our controller, with contexts under this interpreter.
fn controller(peer: &str, agent: Agent, python: &Path, folder: &Path) -> player::Complaints {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(player::play(peer, agent, python, folder))
}

fn agent(version: &str) {
    let ours = vec![("our agent".to_owned(), PathBuf::new())];
    play(version, ours, |_, python, folder| controller("agent", Agent::Builtin, python, folder));
}

fn core(version: &str) {
    play(version, releases("core"), |package, python, folder| {
        controller("upstream", Agent::Upstream(package.to_owned()), python, folder)
    });
}

fn program(version: &str) {
    play(version, releases("program"), program::play);
}

/// The releases that are there, each with its number behind `what`.
fn releases(what: &str) -> Vec<(String, PathBuf)> {
    let Some(packages) = std::env::var_os("MITOGEN_UPSTREAM") else {
        println!("skipped: releases of upstream's are not installed (`cargo xtask interop` does it)");
        return Vec::new();
    };
    std::env::split_paths(&packages).map(|path| (format!("{what} {}", release(&path)), path)).collect()
}

/// The number of a package's release, from its own words: `__version__ = (0, 3, 54)`.
fn release(package: &Path) -> String {
    let init = std::fs::read_to_string(package.join("mitogen/__init__.py")).expect("a package");
    let line = init.lines().find_map(|line| line.strip_prefix("__version__ = (")).expect("a version");
    let numbers = line.split(')').next().unwrap_or_default();
    numbers.split(',').map(str::trim).collect::<Vec<_>>().join(".")
}

macro_rules! under {
    ($($name:ident $version:literal)*) => {
        mod our_agent_plays {
            $(#[test] fn $name() { super::agent($version) })*
        }
        mod upstreams_core_plays {
            $(#[test] fn $name() { super::core($version) })*
        }
        mod upstreams_programs_play {
            $(#[test] fn $name() { super::program($version) })*
        }
    };
}

under! {
    under_2_7 "2.7" under_3_6 "3.6" under_3_7 "3.7" under_3_8 "3.8" under_3_9 "3.9" under_3_10 "3.10"
    under_3_11 "3.11" under_3_12 "3.12" under_3_13 "3.13"
}
