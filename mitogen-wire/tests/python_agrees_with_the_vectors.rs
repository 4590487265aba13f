//! Python's own struct, hmac and pickle give the same golden bytes: see check_vectors.py.
#![allow(clippy::disallowed_types)]

use std::path::PathBuf;
use std::process::Command;

/// The interpreters of pyenv, and `python3` and `python2` of the PATH.
fn interpreters() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    let mut found: Vec<PathBuf> = root
        .and_then(|root| std::fs::read_dir(root.join("versions")).ok())
        .into_iter()
        .flatten()
        .filter_map(|version| Some(version.ok()?.path().join("bin/python")))
        .filter(|python| python.exists())
        .collect();
    found.extend(["python3", "python2"].map(PathBuf::from));
    found
}

#[test]
fn python_agrees_with_the_vectors() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check_vectors.py");
    for python in interpreters() {
        let starts = Command::new(&python).args(["-c", ""]).output().is_ok_and(|run| run.status.success());
        if !starts {
            eprintln!("skipped: there is no {}", python.display());
            continue;
        }
        let output = Command::new(&python).args(["-B", script]).output().expect("it has just started");
        let text = String::from_utf8_lossy(&output.stdout);
        eprintln!("{}: {}", python.display(), text.trim());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("agree"), "{text}");
    }
}
