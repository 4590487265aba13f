//! `bench`: speed and memory of ours, of the peers, and of the floor under both, interleaved in one run.
//!
//! Every subject is a program of its own that is told `SCENARIO COUNT PYTHON` and prints one line of JSON,
//! `{"samples":[...]}`: ours is an example of the crate `mitogen` over its public API, theirs and the floor are the
//! Python scripts in `xtask/peers`. A round runs each of them once; there are several rounds (A B A B), so that a
//! machine that gets slower half way does so for all. A new scenario is a line in [`SCENARIOS`] and a branch in the
//! subjects that can do it (a subject that cannot ends with status 3).

mod codec;
mod import;
mod relay;
mod report;
mod subject;

use crate::sh::{self, Result, fail};
use report::{Kind, Row};
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

/// What is measured, in which unit, how often, and what is aimed at.
struct Scenario {
    name: &'static str,
    /// What the subjects are told.
    subject: &'static str,
    count: u32,
    /// 0: only measured when it is asked for by its whole name.
    quick_count: u32,
    unit: &'static str,
    kind: Kind,
    /// On one core, and on all of them.
    pinned: bool,
    free: bool,
    /// Against upstream Mitogen.
    target: Option<f64>,
    /// Against the others too.
    among_all: bool,
    /// For our own figure.
    absolute: Option<f64>,
}

impl Scenario {
    /// The name in a row: one that ends with the count says what was really counted.
    fn title(&self, count: u32) -> String {
        match self.name.strip_suffix(&self.count.to_string()) {
            Some(stem) => format!("{stem}{count}"),
            None => self.name.to_owned(),
        }
    }
}

const BASE: Scenario = Scenario {
    name: "",
    subject: "",
    count: 1,
    quick_count: 1,
    unit: "ms",
    kind: Kind::Cost,
    pinned: false,
    free: true,
    target: None,
    among_all: false,
    absolute: None,
};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "latency/1hop",
        subject: "latency",
        count: 3000,
        quick_count: 100,
        unit: "us",
        pinned: true,
        target: Some(1.0 / 3.0),
        ..BASE
    },
    Scenario {
        name: "latency/1hop-unsigned",
        subject: "latency-unsigned",
        count: 3000,
        quick_count: 100,
        unit: "us",
        pinned: true,
        ..BASE
    },
    Scenario {
        name: "pipelined/1hop",
        subject: "pipelined",
        count: 10_000,
        quick_count: 500,
        unit: "calls/s",
        kind: Kind::Rate,
        pinned: true,
        target: Some(3.0),
        ..BASE
    },
    Scenario {
        name: "connect/1",
        subject: "connect",
        count: 20,
        quick_count: 2,
        pinned: true,
        target: Some(0.5),
        ..BASE
    },
    Scenario { name: "connect/50", subject: "connect-many", count: 50, quick_count: 4, ..BASE },
    Scenario { name: "connect/200", subject: "connect-many", count: 200, quick_count: 8, ..BASE },
    Scenario {
        name: "hops/2",
        subject: "hops-2",
        count: 2000,
        quick_count: 50,
        unit: "us",
        pinned: true,
        target: Some(0.5),
        ..BASE
    },
    Scenario {
        name: "hops/4",
        subject: "hops-4",
        count: 2000,
        quick_count: 50,
        unit: "us",
        pinned: true,
        target: Some(0.5),
        ..BASE
    },
    Scenario {
        name: "scatter/50",
        subject: "scatter",
        count: 50,
        quick_count: 4,
        unit: "calls/s",
        kind: Kind::Rate,
        target: Some(4.0),
        ..BASE
    },
    Scenario {
        name: "relay/128KiB",
        subject: "relay-128KiB",
        count: 8000,
        quick_count: 400,
        unit: "MB/cpu-s",
        kind: Kind::Rate,
        absolute: Some(700.0),
        ..BASE
    },
    Scenario {
        name: "relay/128KiB-unsigned",
        subject: "relay-128KiB-unsigned",
        count: 8000,
        quick_count: 400,
        unit: "MB/cpu-s",
        kind: Kind::Rate,
        absolute: Some(1500.0),
        ..BASE
    },
    Scenario { name: "many/200", subject: "many", count: 200, quick_count: 8, target: Some(0.5), ..BASE },
    // The memory of 2,000 Pythons: only where it is asked for by its name.
    Scenario {
        name: "many/2000",
        subject: "many-idle",
        count: 2000,
        quick_count: 0,
        unit: "KiB each",
        absolute: Some(64.0),
        ..BASE
    },
    Scenario { name: "memory/rss", subject: "rss", count: 3, unit: "KiB", target: Some(0.65), ..BASE },
    Scenario { name: "memory/pss", subject: "pss", count: 3, unit: "KiB", ..BASE },
    Scenario { name: "shutdown/1", subject: "shutdown", count: 1, ..BASE },
    Scenario { name: "shutdown/50", subject: "shutdown", count: 50, quick_count: 4, ..BASE },
    Scenario { name: "shutdown/200", subject: "shutdown", count: 200, quick_count: 8, ..BASE },
    Scenario {
        name: "files/1hop",
        subject: "files-1",
        count: 512,
        quick_count: 16,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.3),
        ..BASE
    },
    Scenario {
        name: "files/1hop-unsigned",
        subject: "files-1-unsigned",
        count: 512,
        quick_count: 16,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.8),
        ..BASE
    },
    Scenario {
        name: "files/2hops",
        subject: "files-2",
        count: 256,
        quick_count: 8,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.5),
        ..BASE
    },
    Scenario {
        name: "files/2hops-unsigned",
        subject: "files-2-unsigned",
        count: 256,
        quick_count: 8,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.5),
        ..BASE
    },
    Scenario {
        name: "files/4hops",
        subject: "files-4",
        count: 256,
        quick_count: 8,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.5),
        ..BASE
    },
    Scenario {
        name: "files/4hops-unsigned",
        subject: "files-4-unsigned",
        count: 256,
        quick_count: 8,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.5),
        ..BASE
    },
    Scenario {
        name: "files/get",
        subject: "files-get",
        count: 512,
        quick_count: 16,
        unit: "MB/s",
        kind: Kind::Rate,
        ..BASE
    },
    Scenario {
        name: "files/4KiB",
        subject: "files-small",
        count: 10_000,
        quick_count: 200,
        unit: "files/s",
        kind: Kind::Rate,
        target: Some(5.0),
        ..BASE
    },
    Scenario {
        name: "files/ssh",
        subject: "files-ssh",
        count: 256,
        quick_count: 8,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(0.9),
        among_all: true,
        ..BASE
    },
    Scenario {
        name: "files/ssh-4KiB",
        subject: "files-ssh-small",
        count: 1000,
        quick_count: 50,
        unit: "files/s",
        kind: Kind::Rate,
        target: Some(20.0),
        among_all: true,
        ..BASE
    },
    Scenario {
        name: "files/delay-100ms",
        subject: "files-delay",
        count: 64,
        quick_count: 4,
        unit: "MB/s",
        kind: Kind::Rate,
        ..BASE
    },
    Scenario {
        name: "files/delay-100ms-fixed-window",
        subject: "files-delay-fixed",
        count: 16,
        quick_count: 2,
        unit: "MB/s",
        kind: Kind::Rate,
        ..BASE
    },
    Scenario {
        name: "files/call-meanwhile",
        subject: "files-call",
        count: 512,
        quick_count: 64,
        unit: "x idle",
        absolute: Some(3.0),
        ..BASE
    },
    Scenario {
        name: "files/second-behind-first",
        subject: "files-two",
        count: 128,
        quick_count: 16,
        unit: "x alone",
        absolute: Some(1.1),
        ..BASE
    },
    Scenario {
        name: "files/memory",
        subject: "files-memory",
        count: 256,
        quick_count: 32,
        unit: "KiB",
        absolute: Some(16_384.0),
        ..BASE
    },
    Scenario {
        name: "stream/128KiB",
        subject: "stream",
        count: 1024,
        quick_count: 16,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.3),
        among_all: true,
        ..BASE
    },
    Scenario {
        name: "stream/128KiB-unsigned",
        subject: "stream-unsigned",
        count: 1024,
        quick_count: 16,
        unit: "MB/s",
        kind: Kind::Rate,
        target: Some(1.3),
        among_all: true,
        ..BASE
    },
    Scenario {
        name: "stream/memory",
        subject: "stream-memory",
        count: 256,
        quick_count: 16,
        unit: "KiB",
        absolute: Some(16_384.0),
        ..BASE
    },
];

/// Runs `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let root = sh::root()?;
    let wanted =
        |name: &str| args.names.is_empty() || args.names.iter().any(|n| name.starts_with(n.as_str()));
    let by_name = |name: &str| args.names.iter().any(|n| n == name);
    let chosen = |s: &&Scenario| if s.quick_count == 0 { by_name(s.name) } else { wanted(s.name) };
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(chosen).collect();
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
        let subjects = Subjects::prepare(&root, args.peer)?;
        for scenario in chosen {
            for pinned in [true, false] {
                if if pinned { scenario.pinned } else { scenario.free } {
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
    let count = if quick && scenario.quick_count > 0 { scenario.quick_count } else { scenario.count };
    let name = format!("{}/{}", scenario.title(count), if pinned { "pinned" } else { "free" });
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); subjects.all.len()];
    let mut out: Vec<bool> = vec![false; subjects.all.len()];
    for _ in 0..rounds {
        for (index, subject) in subjects.all.iter().enumerate() {
            if out[index] {
                continue;
            }
            match subject.run(scenario.subject, count, &subjects.python, pinned) {
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
