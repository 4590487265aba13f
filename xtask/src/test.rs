//! `test`: everything, including its own set-up. `ci` is the same with nothing left out.

use std::path::Path;
use std::process::Command;

use crate::sh::{self, Result, fail};
use crate::steps::{Counts, Runner, Steps, count_line};
use crate::testbed::Testbed;
use crate::{fuzz, interop, libraries, python, size, skips, system, tidy};

/// The options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Neither install packages nor start a testbed: use what is there (and what MITOGEN_TESTBED names)
    #[arg(long)]
    no_setup: bool,
    /// Leave the testbed up that this run started
    #[arg(long)]
    keep: bool,
    /// A missing part is a failure, as with CI=true
    #[arg(long)]
    strict: bool,
    /// Handed to the test runner: names of tests to run
    #[arg(last = true)]
    filters: Vec<String>,
}

impl Args {
    /// What `cargo xtask ci` means.
    pub(crate) fn ci() -> Self {
        Args { only: Vec::new(), no_setup: false, keep: false, strict: true, filters: Vec::new() }
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Formatting, clippy, documentation, tidy, size budgets
    Lint,
    /// The agent: floor lints, unit tests under every interpreter
    Python,
    /// Every Rust test, against the testbed where there is one
    Rust,
}

/// Runs `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let root = sh::root()?;
    let strict = args.strict || sh::flag("CI");
    let mut steps = Steps::new(strict);
    let set_up = match () {
        () if args.no_setup => Err("--no-setup"),
        () => system::can_set_up(),
    };
    match set_up {
        Err(why) => steps.skip("system packages", !args.no_setup, why),
        // Needed by all parts: even a lint wants an interpreter.
        Ok(()) => {
            steps.step("system packages", || system::install().map(|_| Counts::ONE));
        }
    }
    if args.wants(Part::Lint) {
        lint(&root, &mut steps);
    }
    if args.wants(Part::Python) {
        agent(&root, &mut steps);
    }
    if args.wants(Part::Rust) {
        if !args.no_setup {
            // Without a network there are none: that is this machine's fault, and the tests that want them say so.
            match libraries::prepare(&root) {
                Ok(()) => drop(steps.step("libraries from PyPI", || Ok(Counts::ONE))),
                Err(why) => steps.skip("libraries from PyPI", true, &why.to_string()),
            }
        }
        match set_up {
            Ok(()) => with_testbed(&root, args, &mut steps),
            Err(why) => {
                if !args.no_setup {
                    steps.skip("testbed (ssh tests)", true, why);
                }
                rust(&root, args, None, &mut steps);
            }
        }
    }
    Ok(steps.finish())
}

/// Whether cargo has this command; a toolchain of rustup's gets the component, and without one the step is skipped.
fn has_component(root: &Path, command: &str, component: &str, steps: &mut Steps) -> bool {
    let there = || sh::output(sh::cargo(root).args([command, "--version"])).is_ok();
    if there() {
        return true;
    }
    eprintln!("\n=== adding {component} to the toolchain");
    let _ = sh::run(Command::new("rustup").args(["component", "add", component]));
    let added = there();
    if !added {
        steps.skip(command, true, &format!("this toolchain has no {component}, and rustup could not add it"));
    }
    added
}

fn lint(root: &Path, steps: &mut Steps) {
    let cargo =
        |args: &[&str]| -> Result<Counts> { sh::run(sh::cargo(root).args(args)).map(|()| Counts::ONE) };
    if has_component(root, "fmt", "rustfmt", steps) {
        steps.step("fmt", || cargo(&["fmt", "--all", "--check"]));
    }
    steps.step("tidy", || match tidy::run()? {
        true => Ok(Counts::ONE),
        false => fail!("the house does not keep its own rules"),
    });
    if has_component(root, "clippy", "clippy", steps) {
        steps.step("clippy", || {
            let mut cmd = sh::cargo(root);
            cmd.args(["clippy", "--all-targets", "--quiet", "--keep-going"]).args(sh::whole_workspace(root)?);
            sh::run(cmd.args(["--", "-D", "warnings"])).map(|()| Counts::ONE)
        });
    }
    steps.step("doc", || {
        let mut cmd = sh::cargo(root);
        cmd.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps", "--quiet"]);
        sh::run(cmd.args(sh::whole_workspace(root)?)).map(|()| Counts::ONE)
    });
    steps.step("size", || match size::check(root)? {
        true => Ok(Counts::ONE),
        false => fail!("over the budget"),
    });
}

fn agent(root: &Path, steps: &mut Steps) {
    steps.step("agent: floor lint", || python::floor_lint(root));
    let mut unavailable = None;
    // Without a network there is no vermin: that is this machine's fault, not the agent's.
    if sh::flag("CI") {
        steps.step("agent: vermin", || python::vermin(root));
    } else {
        match python::vermin(root) {
            Ok(counts) => {
                steps.step("agent: vermin", || Ok(counts));
            }
            Err(e) => unavailable = Some(e.to_string()),
        }
    }
    if let Some(why) = unavailable {
        steps.skip("agent: vermin", true, &why);
    }
    steps.step("agent: unit tests", || python::unit_tests(root, None));
}

fn with_testbed(root: &Path, args: &Args, steps: &mut Steps) {
    let bed = Testbed::from_env();
    let mut hold = None;
    steps.step("testbed up", || {
        hold = Some(bed.up_for_tests()?);
        Ok(Counts::ONE)
    });
    rust(root, args, hold.is_some().then(|| bed.dir()), steps);
    steps.step(if args.keep { "testbed kept" } else { "testbed down" }, || {
        if args.keep {
            bed.up()?;
        } else if let Some(why) = bed.down_after_tests(hold)? {
            eprintln!("{why}");
        }
        Ok(Counts::ONE)
    });
}

fn rust(root: &Path, args: &Args, testbed: Option<&Path>, steps: &mut Steps) {
    // Without a network there is none to play with; the tests say so.
    let mut upstream = None;
    match interop::oldest_and_newest(root) {
        Ok(packages) => upstream = Some(packages),
        Err(e) => steps.skip("releases of upstream's", !args.no_setup, &e.to_string()),
    }
    let prepared = |cmd: &mut Command| {
        if let Some(packages) = &upstream {
            cmd.env(interop::VARIABLE, packages);
        }
        match testbed {
            // With it, a test that cannot reach the testbed fails; without it, it skips itself by name.
            Some(dir) => drop(cmd.env("MITOGEN_TESTBED", dir)),
            None if !args.no_setup => drop(cmd.env_remove("MITOGEN_TESTBED")),
            None => {}
        }
    };
    let strict = args.strict || sh::flag("CI");
    let with_nextest = nextest(root);
    steps.step("tests", || {
        skips::forget(root);
        let mut cmd = sh::cargo(root);
        if with_nextest {
            cmd.args(["nextest", "run", "--no-fail-fast", "--cargo-quiet"]).args(sh::whole_workspace(root)?);
            cmd.args(["--status-level", "slow", "--final-status-level", "fail"]);
            cmd.args(&args.filters);
        } else {
            cmd.args(["test", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast", "--quiet"]);
            cmd.args(sh::whole_workspace(root)?).args(["--", "--show-output"]).args(&args.filters);
        }
        prepared(&mut cmd);
        let mut listener = skips::Listener::default();
        let runner = if with_nextest { Runner::Nextest } else { Runner::Libtest };
        let mut counts = counted(runner, &mut cmd, |line| with_nextest || listener.hear(line))?;
        let skips = if with_nextest { skips::reported(root) } else { listener.skips };
        skips::account(skips, strict, &mut counts);
        Ok(counts)
    });
    if args.filters.is_empty() {
        steps.step("doc tests", || {
            let mut cmd = sh::cargo(root);
            cmd.args(["test", "--doc", "--quiet"]).args(sh::whole_workspace(root)?);
            prepared(&mut cmd);
            counted(Runner::Libtest, &mut cmd, |_| true)
        });
        fuzz::note_corpora(root);
    }
}

fn nextest(root: &Path) -> bool {
    sh::output(sh::cargo(root).args(["nextest", "--version"])).is_ok()
}

/// Runs a test command, shows of what it prints the lines that `worth_showing` wants, and counts.
fn counted(runner: Runner, cmd: &mut Command, mut worth_showing: impl FnMut(&str) -> bool) -> Result<Counts> {
    let mut counts = Counts::default();
    let success = sh::tee(cmd, |line| {
        count_line(runner, &mut counts, line);
        worth_showing(line)
    })?;
    if !success && counts.failed == 0 {
        fail!("{} did not get as far as testing", sh::shown(cmd));
    }
    Ok(counts)
}
