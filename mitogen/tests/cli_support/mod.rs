//! Runs the command as its users do.
#![allow(dead_code)] // Each test file uses its part.

use std::{
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// What a run of the command left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command, in a clean environment.
pub(crate) fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mitogen"));
    command.args(args).stdin(Stdio::null());
    for name in ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "NO_COLOR", "SSH_ASKPASS", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Runs the command and waits for its end.
#[track_caller]
pub(crate) fn mitogen<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    finish(command(args).output().expect("the command was built"))
}

pub(crate) fn finish(output: Output) -> Run {
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Run {
    /// The standard output of a run in which all went well and nothing else was said.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{self:?}");
        self.stdout
    }

    /// The results of the JSON document.
    #[track_caller]
    pub(crate) fn results(&self) -> Vec<serde_json::Value> {
        let document: serde_json::Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}: {self:?}"));
        assert_eq!(document["version"], 1);
        document["results"].as_array().unwrap_or_else(|| panic!("{self:?}")).clone()
    }

    /// The only result of the JSON document.
    #[track_caller]
    pub(crate) fn result(&self) -> serde_json::Value {
        match &self.results()[..] {
            [result] => result.clone(),
            _ => panic!("one result expected: {self:?}"),
        }
    }
}

/// An interpreter of this version, if pyenv has one.
pub(crate) fn pyenv(version: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("PYENV_ROOT") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".pyenv"),
    };
    let mut found: Vec<PathBuf> = fs::read_dir(root.join("versions"))
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{version}.")))
        .map(|entry| entry.path().join("bin/python"))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop()
}

/// The target of a local context with this interpreter.
pub(crate) fn local_with(python: &std::path::Path) -> String {
    format!("local?python={}", python.display().to_string().replace('%', "%25").replace('/', "%2F"))
}

/// Waits until the condition gives something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The directory of the ssh testbed; says so when there is none.
pub(crate) fn testbed(test: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("MITOGEN_TESTBED").map(PathBuf::from);
    match &directory {
        None => eprintln!("skipped: {test}: MITOGEN_TESTBED is not set (see `cargo xtask testbed up`)"),
        Some(path) => assert!(ssh_config(path).exists(), "{} holds no ssh_config", path.display()),
    }
    directory
}

/// The testbed's ssh_config.
pub(crate) fn ssh_config(testbed: &std::path::Path) -> PathBuf {
    let here = testbed.join("ssh_config");
    if here.exists() { here } else { testbed.join("ssh/ssh_config") }
}
