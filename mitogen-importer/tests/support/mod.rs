//! Real interpreters as oracles.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The versions that every release is tested on.
pub const VERSIONS: [&str; 9] = ["2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"];

/// An interpreter of this machine.
#[derive(Clone, Debug)]
pub struct Python {
    /// For example `3.12`.
    pub version: String,
    pub path: PathBuf,
}

impl Python {
    /// Runs `script` with `input` on standard input; returns its standard output.
    ///
    /// Panics if it fails.
    pub fn run(&self, script: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(&self.path)
            .args(["-W", "ignore", "-c", script])
            .args(args)
            .env_remove("PYTHONPATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A script that fails early closes the pipe; its exit status says so.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().expect("the interpreter ends")
        });
        assert!(output.status.success(), "Python {} failed: {}", self.version, output.status);
        output.stdout
    }
}

/// Every interpreter of [`VERSIONS`] that this machine has: pyenv's, then those on `PATH`.
///
/// Those that it lacks are named on standard error.
pub fn pythons() -> Vec<Python> {
    let mut found = BTreeMap::new();
    for directory in pyenv_versions() {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = directory.join("bin/python");
        for version in VERSIONS {
            let patch = name.strip_prefix(version).is_some_and(|rest| rest.starts_with('.'));
            if patch && path.exists() {
                found.entry(version).or_insert(path.clone());
            }
        }
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    for version in VERSIONS {
        for directory in std::env::split_paths(&search) {
            let path = directory.join(format!("python{version}"));
            if path.exists() && !directory.ends_with("shims") {
                found.entry(version).or_insert(path);
            }
        }
        if !found.contains_key(version) {
            eprintln!("SKIPPED: Python {version} is not on this machine");
        }
    }
    VERSIONS
        .iter()
        .filter_map(|&version| {
            Some(Python { version: version.to_owned(), path: found.get(version)?.clone() })
        })
        .collect()
}

fn pyenv_versions() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let Some(entries) = root.and_then(|root| std::fs::read_dir(root.join("versions")).ok()) else {
        return Vec::new();
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// How many bytes of source to take from an interpreter's library: a sample, or all of it when
/// `MITOGEN_TEST_WHOLE` is set.
pub fn library_budget(sample: usize) -> String {
    if std::env::var_os("MITOGEN_TEST_WHOLE").is_some() { usize::MAX.to_string() } else { sample.to_string() }
}

/// Splits what a script wrote as records: decimal length, newline, that many bytes.
pub fn records(mut output: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some(newline) = output.iter().position(|&b| b == b'\n') {
        let length: usize = std::str::from_utf8(&output[..newline])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .expect("a record begins with its length");
        let (record, rest) = output[newline + 1..].split_at(length);
        records.push(record);
        output = rest;
    }
    records
}
