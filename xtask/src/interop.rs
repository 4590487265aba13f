//! `interop`: upstream's releases, installed into environments of their own, play the scenarios with us.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::interpreters;
use crate::sh::{self, Context, Result, fail};
use crate::system;

/// The releases that are tried, the oldest first. The last is the newest that pip finds.
const RELEASES: [&str; 5] = ["0.3.7", "0.3.22", "0.3.38", "0.3.41", NEWEST];
const NEWEST: &str = "newest";

/// The variable by which the tests find the packages.
pub(crate) const VARIABLE: &str = "MITOGEN_UPSTREAM";

/// The options of `cargo xtask interop`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these releases: `0.3.41`, `newest` [default: 0.3.7, 0.3.22, 0.3.38, 0.3.41, newest]
    #[arg(long, value_name = "RELEASE", value_delimiter = ',')]
    release: Vec<String>,
    /// Only interpreters whose version starts like this (`2.7`, `3.1`)
    #[arg(long, value_name = "VERSION")]
    only: Option<String>,
    /// Install the releases and say where they are; play nothing
    #[arg(long)]
    install: bool,
}

/// Runs `cargo xtask interop`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let root = sh::root()?;
    let releases: Vec<&str> = match args.release.is_empty() {
        true => RELEASES.to_vec(),
        false => args.release.iter().map(String::as_str).collect(),
    };
    let packages = install(&root, &releases)?;
    if args.install {
        println!("{VARIABLE}={}", joined(&packages)?.to_string_lossy());
        return Ok(true);
    }
    let mut cmd = sh::cargo(&root);
    cmd.env(VARIABLE, joined(&packages)?)
        .args(["test", "--quiet", "-p", "mitogen", "--test", "interop", "--"]);
    if let Some(only) = &args.only {
        cmd.arg(format!("under_{}", only.replace('.', "_")));
    }
    // What is skipped, and how many complaints each peer gave, is worth showing.
    sh::tee(cmd.args(["--show-output", "--test-threads=1"]), |line| {
        ["complaints", "skipped", "test result", "expected", "seen"].iter().any(|word| line.contains(word))
            && !line.starts_with("agent: ")
            && !line.starts_with("upstream: ")
    })
}

/// The oldest and the newest release, for the project's tests.
pub(crate) fn oldest_and_newest(root: &Path) -> Result<OsString> {
    joined(&install(root, &[RELEASES[0], NEWEST])?)
}

/// Installs releases; returns the directories that hold their packages.
fn install(root: &Path, releases: &[&str]) -> Result<Vec<PathBuf>> {
    let Some(python) = interpreters::preferred() else {
        fail!("no Python 3 found: install python3, or name one in MITOGEN_PYTHON");
    };
    let mut packages = Vec::new();
    for release in releases {
        let wanted = match *release {
            NEWEST => "mitogen>=0.3.54,<0.4".to_owned(),
            release => format!("mitogen=={release}"),
        };
        let dir = sh::target_dir(root).join("xtask/upstream").join(release);
        system::venv(&python.path, &dir, &[&wanted])?;
        packages.push(site_packages(&dir)?);
    }
    Ok(packages)
}

/// Where a virtual environment keeps what is installed in it.
fn site_packages(venv: &Path) -> Result<PathBuf> {
    let lib = venv.join("lib");
    let entries = std::fs::read_dir(&lib).context(lib.display())?;
    let found = entries.flatten().map(|entry| entry.path().join("site-packages"));
    let mut found = found.filter(|path| path.join("mitogen/core.py").is_file());
    match found.next() {
        Some(path) => Ok(path),
        None => fail!("no mitogen in {}", venv.display()),
    }
}

fn joined(packages: &[PathBuf]) -> Result<OsString> {
    std::env::join_paths(packages).context("the packages' directories")
}
