//! `python`: the agent's own language. Two lints for the 2.4 floor, then its unit tests under every interpreter found.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::interpreters::{self, Interpreter};
use crate::sh::{self, Result, fail};
use crate::steps::Counts;
use crate::system;

/// The options of `cargo xtask python`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the lints, no unit tests
    #[arg(long)]
    lint: bool,
    /// Only interpreters whose version starts like this (`2.7`, `3.`)
    #[arg(long, value_name = "VERSION")]
    only: Option<String>,
}

/// The lint that knows library names; ours (`xtask/python/floor_lint.py`) knows syntax.
const VERMIN: &str = "vermin==1.9.2";

/// Runs `cargo xtask python`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let root = sh::root()?;
    let floor = floor_lint(&root)?;
    let names = match vermin(&root) {
        Err(e) if !sh::flag("CI") => {
            eprintln!("skipped: vermin: {e}");
            Counts::default()
        }
        done => done?,
    };
    let mut failed = floor.failed + names.failed;
    if !args.lint {
        failed += unit_tests(&root, args.only.as_deref())?.failed;
    }
    Ok(failed == 0)
}

/// The agent's sources (not its tests), relative to the repository.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from("mitogen-bootstrap/python")];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries.flatten() {
            let path = dir.join(entry.file_name());
            if path.extension().is_some_and(|e| e == "py") {
                found.push(path);
            } else if entry.path().is_dir() && entry.file_name() != "tests" {
                dirs.push(path);
            }
        }
    }
    found.sort();
    match found.is_empty() {
        true => fail!("no Python source under mitogen-bootstrap/python"),
        false => Ok(found),
    }
}

/// Our own lint, after a check of the lint itself.
pub(crate) fn floor_lint(root: &Path) -> Result<Counts> {
    let lint = "xtask/python/floor_lint.py";
    let python = tool_python()?;
    let sources = sources(root)?;
    let command = || {
        let mut cmd = Command::new(&python.path);
        system::without_python_variables(&mut cmd);
        cmd.current_dir(root).arg(lint);
        cmd
    };
    sh::output(command().arg("--self-test"))?;
    match sh::output(command().args(&sources)) {
        Ok(_) => eprintln!("floor lint: {} files fit Python 2.4", sources.len()),
        Err(e) => {
            eprintln!("{e}");
            return Ok(Counts { failed: 1, ..Counts::default() });
        }
    }
    Ok(Counts::ONE)
}

/// vermin, in an environment of its own.
pub(crate) fn vermin(root: &Path) -> Result<Counts> {
    let venv = sh::target_dir(root).join("xtask/vermin");
    let python = system::venv(&tool_python()?.path, &venv, &[VERMIN])?;
    let sources = sources(root)?;
    let mut cmd = Command::new(python.with_file_name("vermin"));
    system::without_python_variables(&mut cmd);
    // `--no-parse-comments` is not given: a `# novm` on a line that is only reached on newer Pythons is the way to say so.
    cmd.current_dir(root).args(["--no-tips", "--violations", "-t=2.4-", "-t=3.0-"]).args(&sources);
    match sh::output(&mut cmd) {
        Ok(_) => eprintln!("vermin: {} files fit Python 2.4 and 3.0", sources.len()),
        Err(e) => {
            eprintln!("{e}");
            return Ok(Counts { failed: 1, ..Counts::default() });
        }
    }
    Ok(Counts::ONE)
}

fn tool_python() -> Result<Interpreter> {
    match interpreters::preferred() {
        Some(python) if python.minor() >= (3, 8) => Ok(python),
        Some(python) => fail!("the lint wants Python 3.8 or later, found {}", python.version),
        None => fail!("no Python 3 found: install python3, or name one in MITOGEN_PYTHON"),
    }
}

/// The agent's unit tests under each interpreter; prints a matrix.
pub(crate) fn unit_tests(root: &Path, only: Option<&str>) -> Result<Counts> {
    let script = Path::new("mitogen-bootstrap/python/tests/run_tests.py");
    if !root.join(script).exists() {
        fail!("no {}", script.display());
    }
    let mut interpreters = interpreters::all();
    interpreters.retain(|i| i.version.starts_with(only.unwrap_or("")));
    if interpreters.is_empty() {
        fail!("no interpreter found: looked at PYENV_ROOT, ~/.pyenv and PATH");
    }
    let runner = tool_python()?;
    let mut total = Counts::default();
    let mut matrix = String::from("python    passed  failed  skipped  interpreter\n");
    for (interpreter, (counts, trouble)) in interpreters.iter().zip(side_by_side(&interpreters, |python| {
        // The script itself wants a Python 3; it runs the tests in the interpreter that it is told.
        let mut cmd = Command::new(&runner.path);
        system::without_python_variables(&mut cmd);
        cmd.current_dir(root).arg(script).arg(&python.path);
        tested(&mut cmd)
    })) {
        if let Some(text) = trouble {
            eprintln!("--- {}\n{text}\n---", interpreter.version);
        }
        let name = interpreter.path.file_name().unwrap_or_default().to_string_lossy();
        matrix += &format!(
            "{:8} {:7} {:7} {:8}  {name}\n",
            interpreter.version, counts.passed, counts.failed, counts.skipped
        );
        total.passed += counts.passed;
        total.failed += counts.failed;
        total.skipped += counts.skipped;
    }
    eprint!("{matrix}");
    Ok(total)
}

/// One run of the unit tests, and what it printed if it failed.
fn tested(cmd: &mut Command) -> (Counts, Option<String>) {
    match sh::tested(cmd) {
        Ok((text, true)) => (count_unittest(&text), None),
        Ok((text, false)) => {
            let counts = count_unittest(&text);
            (Counts { failed: counts.failed.max(1), ..counts }, Some(sh::tail(&text, 60)))
        }
        Err(e) => (Counts { failed: 1, ..Counts::default() }, Some(e.to_string())),
    }
}

/// Does the same for all, some at a time, and returns what came of it in their order. The tests wait (for processes and
/// deadlines) more than they work, so there are two for each core.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = 2 * std::thread::available_parallelism().map_or(1, |n| n.get());
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { return mine };
                mine.push((index, work(item)));
            }
        };
        let threads: Vec<_> = (0..workers.min(items.len())).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Reads unittest's closing lines: `Ran 12 tests in 0.1s` and `FAILED (failures=1, errors=2, skipped=3)`.
fn count_unittest(text: &str) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        if let Some(ran) =
            line.strip_prefix("Ran ").and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok())
        {
            counts.passed += ran;
        }
        let closing = line.starts_with("OK") || line.starts_with("FAILED");
        let Some((_, inside)) = line.split_once('(').filter(|_| closing) else { continue };
        for item in inside.trim_end_matches(')').split(", ") {
            let Some((what, n)) = item.split_once('=') else { continue };
            let n: u64 = n.parse().unwrap_or(0);
            match what {
                "failures" | "errors" | "unexpected successes" => counts.failed += n,
                "skipped" => counts.skipped += n,
                _ => {}
            }
        }
    }
    counts.passed = counts.passed.saturating_sub(counts.failed + counts.skipped);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_unittest_are_understood() {
        let text = "....\nRan 12 tests in 0.100s\n\nFAILED (failures=1, errors=2, skipped=3)\n";
        assert_eq!(count_unittest(text), Counts { passed: 6, failed: 3, skipped: 3 });
        assert_eq!(count_unittest("Ran 4 tests in 1s\n\nOK\n"), Counts { passed: 4, failed: 0, skipped: 0 });
    }
}
