//! `bench`: speed and memory of ours, of the peers, and of the floor under both, interleaved in one run.
//!
//! Every subject is a program of its own that is told `SCENARIO COUNT PYTHON` and prints one line of JSON,
//! `{"samples":[...]}`: ours is an example of the crate `mitogen` over its public API, theirs and the floor are the
//! Python scripts in `xtask/peers`. A round runs each of them once; there are several rounds (A B A B), so that a
//! machine that gets slower half way does so for all. A new scenario is a line in `scenarios.rs` and a branch in the
//! subjects that can do it (a subject that cannot ends with status 3).

mod codec;
mod import;
mod relay;
mod report;
mod scenarios;
mod subject;

use crate::sh::{self, Result, fail};
use report::Row;
use scenarios::{SCENARIOS, Scenario};
use subject::{Subject, Subjects};

/// The options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios, or beginnings of their names: import codec latency pipelined connect hops scatter relay many
    /// memory shutdown files stream
    names: Vec<String>,
    /// Install upstream Mitogen and execnet into an environment of their own and measure them in the same run
    #[arg(long)]
    peer: bool,
    /// One JSON line for each row
    #[arg(long)]
    json: bool,
    /// Small counts, one round: shows that it works, measures little
    #[arg(long)]
    quick: bool,
    /// How many rounds (default: 5, or 1 when quick)
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let root = sh::root()?;
    let wanted =
        |name: &str| args.names.is_empty() || args.names.iter().any(|n| name.starts_with(n.as_str()));
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(|s| s.is_among(&args.names)).collect();
    let with_relay = relay::ROWS.iter().any(|(name, ..)| wanted(name));
    // It wants packages from elsewhere, as peers do.
    let with_import = wanted("import") && (args.peer || !args.names.is_empty());
    let with_codec = wanted("codec") || args.names.iter().any(|n| n.starts_with("codec"));
    if chosen.is_empty() && !with_codec && !with_relay && !with_import {
        let known: Vec<&str> = SCENARIOS.iter().map(|s| s.name).collect();
        fail!("no scenario of this name; there are: import codec {}", known.join(" "));
    }
    let mut report = report::Report::new(args.json);
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 5 });
    if with_import && let Err(e) = import::rows(&root, args.peer, rounds, &mut report) {
        report.trouble(&format!("import: {e}"));
    }
    if with_codec {
        codec::rows(&root, args.quick, |row| report.row(row))?;
    }
    if with_relay {
        relay::rows(&root, args.quick, |row| report.row(row))?;
    }
    if !chosen.is_empty() {
        let mut subjects = Subjects::prepare(&root, args.peer)?;
        let without = match subjects.bring_up(&root, &chosen) {
            Ok(()) => false,
            Err(e) => {
                report.trouble(&format!("no sshd on loopback: {e}"));
                true
            }
        };
        for scenario in chosen.into_iter().filter(|scenario| !(without && scenario.needs_ssh())) {
            for pinned in [true, false] {
                if scenario.pinned || !pinned {
                    measure(scenario, pinned, rounds, args.quick, &subjects, &mut report);
                }
            }
        }
    }
    Ok(report.finish())
}

/// All rounds of one scenario, and its rows: one for each other subject, or one for ours alone.
fn measure(
    scenario: &Scenario,
    pinned: bool,
    rounds: usize,
    quick: bool,
    subjects: &Subjects,
    report: &mut report::Report,
) {
    let count = scenario.count_of(quick);
    let name = format!("{}/{}", scenario.title(count), if pinned { "pinned" } else { "free" });
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); subjects.all.len()];
    let mut out: Vec<bool> = vec![false; subjects.all.len()];
    for _ in 0..rounds {
        for (index, subject) in subjects.all.iter().enumerate() {
            if out[index] {
                continue;
            }
            match subject.run(scenario.subject, count, &subjects.python, pinned, subjects.testbed()) {
                Ok(Some(more)) => samples[index].extend(more),
                Ok(None) => out[index] = true,
                Err(e) => {
                    report.trouble(&format!("{name}: {}: {e}", subject.name));
                    out[index] = true;
                }
            }
        }
    }
    let mut by_subject = subjects.all.iter().zip(samples).filter(|(_, s)| !s.is_empty()).collect::<Vec<_>>();
    let Some(ours) = by_subject.iter().position(|(s, _)| s.name == Subject::OURS) else { return };
    let ours = by_subject.remove(ours).1;
    let mut peers: Vec<Option<(&str, &[f64])>> =
        by_subject.iter().map(|(s, x)| Some((s.name, &x[..]))).collect();
    if peers.is_empty() {
        peers.push(None);
    }
    for peer in peers {
        let relative = scenario
            .target
            .filter(|_| peer.is_some_and(|(name, _)| scenario.among_all || name == Subject::UPSTREAM));
        let target = relative.or(scenario.absolute.filter(|_| peer.is_none()));
        report.row(&Row {
            scenario: &name,
            unit: scenario.unit,
            kind: scenario.kind,
            target,
            ours: &ours,
            peer,
        });
    }
}
