//! The mitogen package from PyPI, installed below the target directory, for tests that run it unmodified.
#![allow(dead_code)] // Each test file uses its part.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Releases that tests use: the oldest that installs everywhere, and one that knows the newer frames.
pub(crate) const OLD: &str = "0.3.7";
pub(crate) const NEW: &str = "0.3.54";

/// The directory that holds this release's package: for `PYTHONPATH`. `None`, said out loud, where it cannot be
/// had; an error under `CI=true`.
pub(crate) fn package(test: &str, release: &str) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mitogen-{release}"));
    if place.join("mitogen/unix.py").exists() {
        return Some(place);
    }
    match install(release, &place) {
        Ok(()) => Some(place),
        Err(why) if std::env::var("CI").as_deref() == Ok("true") => panic!("mitogen {release}: {why}"),
        Err(why) => {
            eprintln!("skipped: {test}: mitogen {release} cannot be installed: {why}");
            None
        }
    }
}

/// Installs it beside its place first: tests of other processes may look.
fn install(release: &str, place: &Path) -> Result<(), String> {
    let beside = place.with_extension(format!("{}.new", std::process::id()));
    let mut last = "no Python 3 with pip".to_owned();
    for python in pythons().into_iter().filter(|(version, _)| version != "2.7").rev() {
        let pip = Command::new(&python.1)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-compile",
                "--disable-pip-version-check",
            ])
            .args(["--root-user-action", "ignore", "--retries", "1", "--target"])
            .arg(&beside)
            .arg(format!("mitogen=={release}"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output();
        match pip {
            Ok(output) if output.status.success() => {
                // Another process may have been faster.
                let moved = std::fs::rename(&beside, place);
                let _ = std::fs::remove_dir_all(&beside);
                return if place.exists() { Ok(()) } else { moved.map_err(|error| error.to_string()) };
            }
            Ok(output) => last = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// The interpreters of this machine that the package runs on, by version.
pub(crate) fn pythons() -> Vec<(String, PathBuf)> {
    let root = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let in_pyenv = |version: &str| {
        let entries = std::fs::read_dir(root.as_ref()?.join("versions")).ok()?;
        let prefix = format!("{version}.");
        let mut found: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path().join("bin/python"))
            .filter(|path| path.exists())
            .collect();
        found.sort();
        found.pop()
    };
    let in_path = |version: &str| {
        let name = format!("python{version}");
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join(&name))
            .find(|path| path.exists())
    };
    let versions = ["2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"];
    let found =
        |version: &&str| Some(((*version).to_owned(), in_pyenv(version).or_else(|| in_path(version))?));
    versions.iter().filter_map(found).collect()
}

/// A program of upstream's users, run by this interpreter with this release.
pub(crate) fn program(python: &Path, package: &Path, source: &str, args: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.arg("-c").arg(source).args(args);
    for name in ["PYTHONHOME", "PYTHONSTARTUP", "MITOGEN_LOG_LEVEL"] {
        command.env_remove(name);
    }
    command.env("PYTHONPATH", package).env("PYTHONDONTWRITEBYTECODE", "1").stdin(std::process::Stdio::null());
    command
}
