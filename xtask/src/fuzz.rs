//! `fuzz`: replays the committed corpora (an ordinary test), or explores with libFuzzer.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh::{self, Context, Result, fail};

/// The options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Explore only this target (a replay takes them all)
    target: Option<String>,
    /// Look for new inputs with libFuzzer, this long for each target
    #[arg(long, value_name = "SECONDS")]
    explore: Option<u64>,
}

/// What makes the compiler count edges for libFuzzer. Stable rustc takes all of it.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1 --cfg fuzzing";

/// Runs `cargo xtask fuzz`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let root = sh::root()?;
    let known = targets(&root);
    let chosen: Vec<String> = match &args.target {
        None => known.clone(),
        Some(name) if known.contains(name) => vec![name.clone()],
        Some(name) => fail!("no fuzz target `{name}`; there are: {}", known.join(" ")),
    };
    match args.explore {
        None => {
            sh::run(sh::cargo(&root).args(["test", "-p", "fuzz"]))?;
            note_corpora(&root);
            Ok(true)
        }
        Some(seconds) => explore(&root, &chosen, seconds),
    }
}

/// Says which corpora the test run replayed: they are tests of the crate `fuzz`.
pub(crate) fn note_corpora(root: &Path) {
    for name in targets(root) {
        let files =
            std::fs::read_dir(root.join("fuzz/corpus").join(&name)).map_or(0, |d| d.flatten().count());
        eprintln!("corpus replayed: {name} ({files} inputs)");
    }
}

/// The targets are the folders of corpora.
fn targets(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("fuzz/corpus")) else { return Vec::new() };
    let dirs = entries.flatten().filter(|e| e.path().is_dir());
    let mut names: Vec<String> = dirs.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn explore(root: &Path, targets: &[String], seconds: u64) -> Result<bool> {
    let state = sh::target_dir(root).join("xtask/fuzz");
    let triple = host_triple()?;
    let build = state.join("build");
    let mut cmd = sh::cargo(root);
    // With a target triple build scripts and macros are left uninstrumented.
    cmd.args(["build", "--release", "-p", "fuzz", "--features", "libfuzzer", "--bins", "--target", &triple]);
    cmd.arg("--target-dir").arg(&build).env("RUSTFLAGS", COVERAGE).env("CARGO_PROFILE_RELEASE_LTO", "off");
    sh::run(&mut cmd)?;
    let mut clean = true;
    for target in targets {
        clean &=
            explore_one(root, &state, &build.join(&triple).join("release").join(target), target, seconds)?;
    }
    Ok(clean)
}

fn explore_one(root: &Path, state: &Path, program: &Path, target: &str, seconds: u64) -> Result<bool> {
    // What is found stays out of the tree until a person commits it.
    let (found, artifacts) = (state.join("corpus").join(target), state.join("artifacts").join(target));
    for dir in [&found, &artifacts] {
        std::fs::create_dir_all(dir).context(dir.display())?;
    }
    let mut cmd = Command::new(program);
    cmd.arg(&found).arg(root.join("fuzz/corpus").join(target));
    cmd.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", artifacts.display()));
    cmd.args(["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=512", "-print_final_stats=1"]);
    let clean = sh::tee(&mut cmd, |_| true)?;
    let inputs: Vec<PathBuf> =
        std::fs::read_dir(&artifacts).context(artifacts.display())?.flatten().map(|e| e.path()).collect();
    for input in &inputs {
        eprintln!("{target}: finding in {}; put it into fuzz/corpus/{target} with the fix", input.display());
    }
    eprintln!("{target}: {}", if clean { "no finding" } else { "FAILED" });
    Ok(clean)
}

fn host_triple() -> Result<String> {
    let text =
        sh::output(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"))?;
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(triple) => Ok(triple.to_string()),
        None => fail!("rustc -vV names no host"),
    }
}
