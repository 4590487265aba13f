//! What the end-to-end tests share.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part of this

use mitogen::{Context, Local, Router};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Every supported interpreter that this machine has: those of pyenv, then those in `PATH`.
/// Says out loud which are missing.
pub fn interpreters() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let versions = ["2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"];
    for version in versions {
        match interpreter(version) {
            Some(path) => found.push(path),
            None => eprintln!("SKIPPED: no python{version} on this machine"),
        }
    }
    assert!(!found.is_empty(), "no Python at all on this machine");
    found
}

/// The interpreter of this version (`3.11`), if this machine has it.
pub fn interpreter(version: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| Some(home()?.join(".pyenv")));
    let in_pyenv = root.as_deref().and_then(|root| in_pyenv(root, version));
    in_pyenv.or_else(|| which(&format!("python{version}")))
}

/// One interpreter of major version 2, if there is one.
pub fn python2() -> Option<PathBuf> {
    interpreters().into_iter().next().filter(|path| path.to_string_lossy().contains("2.7"))
}

fn in_pyenv(root: &Path, version: &str) -> Option<PathBuf> {
    let prefix = format!("{version}.");
    let mut candidates: Vec<PathBuf> = std::fs::read_dir(root.join("versions"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
        .map(|path| path.join("bin/python"))
        .filter(|path| path.exists())
        .collect();
    candidates.sort();
    candidates.pop()
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.exists())
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// A context under one interpreter.
pub async fn connect(router: &Router, python: &Path) -> Context {
    let method = Local::new().python(python.to_string_lossy());
    router.connect(method).await.unwrap_or_else(|error| panic!("{}: {error}", python.display()))
}

/// A router and a context under whichever interpreter is found first.
pub async fn one_context() -> (Router, Context) {
    let router = Router::new().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    (router, context)
}

/// Whether a process exists, be it only as a zombie.
pub fn process_exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Waits until a process is gone, zombie included.
pub fn wait_gone(pid: u32, limit: Duration) {
    let start = Instant::now();
    while process_exists(pid) {
        assert!(start.elapsed() < limit, "process {pid} still exists after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a process that is not our child runs no more. Its zombie is for init to reap.
pub fn wait_dead(pid: u32, limit: Duration) {
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state =
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next().map(str::to_owned));
        state.is_some_and(|state| !matches!(state.as_str(), "Z" | "X"))
    };
    let start = Instant::now();
    while runs() {
        assert!(start.elapsed() < limit, "process {pid} still runs after {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Open descriptors of this process.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// Pids of this process's children, zombies included.
pub fn children() -> Vec<u32> {
    let own = std::process::id().to_string();
    let parent_of = |pid: &str| -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name stands in parentheses and can hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1).map(str::to_owned)
    };
    std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| parent_of(pid).as_deref() == Some(&own))
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Has a context know a module of this source.
pub async fn define(context: &Context, module: &str, source: &str) {
    const MAKE: &str = "eval(compile(source, str(name), 'exec'), \
        __import__('sys').modules.setdefault(str(name), type(__import__('sys'))(str(name))).__dict__)";
    let version: String = context.call("platform.python_version", ()).await.expect("a version");
    let eval = if version.starts_with('2') { "__builtin__:eval" } else { "builtins:eval" };
    let names = std::collections::BTreeMap::from([("source", source), ("name", module)]);
    let () = context.call(eval, (MAKE, names)).await.unwrap_or_else(|error| panic!("{error:?}"));
}

/// Waits until it is so.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The names of what a directory holds, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
