//! `interop`: upstream's releases, installed into environments of their own, play the scenarios with us.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
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
    // Seen as they come: all of it takes a while.
    let mut matrix = Matrix::default();
    let green = sh::tee(cmd.args(["--nocapture", "--test-threads=1"]), |line| {
        matrix.note(line);
        !line.contains("detail: ")
    })?;
    print!("{matrix}");
    Ok(green)
}

/// Who has played under which interpreter, and how many things were not as expected.
#[derive(Default)]
struct Matrix {
    players: Vec<String>,
    versions: Vec<String>,
    complaints: BTreeMap<(String, String), u32>,
}

impl Matrix {
    /// Reads `played: NAME under Python VERSION: N complaints`; other lines say nothing.
    fn note(&mut self, line: &str) {
        let told = line.split_once("played: ").and_then(|(_, told)| told.split_once(" under Python "));
        let Some((name, (version, count))) =
            told.and_then(|(name, rest)| Some((name, rest.split_once(": ")?)))
        else {
            return;
        };
        let Ok(count) = count.trim_end_matches(" complaints").parse() else { return };
        for (seen, all) in [(name, &mut self.players), (version, &mut self.versions)] {
            if !all.iter().any(|known| known == seen) {
                all.push(seen.to_owned());
            }
        }
        self.complaints.insert((name.to_owned(), version.to_owned()), count);
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.players.is_empty() {
            return Ok(());
        }
        let mut versions = self.versions.clone();
        versions.sort_by_key(|version| {
            version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>()
        });
        let row = |f: &mut fmt::Formatter<'_>, name: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("{cell:>6}")).collect();
            writeln!(f, "{name:<16}{cells}")
        };
        row(f, "", versions.clone())?;
        for player in &self.players {
            let cell = |version: &String| match self.complaints.get(&(player.clone(), version.clone())) {
                Some(0) => "ok".to_owned(),
                Some(count) => format!("{count} bad"),
                None => "-".to_owned(),
            };
            row(f, player, versions.iter().map(cell).collect())?;
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_played_makes_a_table() {
        let mut matrix = Matrix::default();
        for line in [
            "played: our agent under Python 3.10: 0 complaints",
            ".played: our agent under Python 2.7: 0 complaints",
            "played: core 0.3.7 under Python 3.10: 2 complaints",
            "detail: of no interest",
        ] {
            matrix.note(line);
        }
        let lines: Vec<String> = matrix.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], format!("{:<16}{:>6}{:>6}", "", "2.7", "3.10"));
        assert_eq!(lines[1], format!("{:<16}{:>6}{:>6}", "our agent", "ok", "ok"));
        assert_eq!(lines[2], format!("{:<16}{:>6}{:>6}", "core 0.3.7", "-", "2 bad"));
    }
}
