//! Scenario `import`: `import django.db.models` in a fresh context whose Python has its standard library alone.
//!
//! Each round runs ours, upstream's (with `--peer`) and the floor (the same sources, imported from disk and compiled)
//! side by side; what it takes from them are rows with the targets that they are held to. The processor time of the
//! child (`-child-cpu`) says on a busy machine what the time says on a quiet one.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::report::{Kind, Report, Row};
use crate::interpreters;
use crate::sh::{self, Context, Result, fail};
use crate::system;

const MODULE: &str = "django.db.models";
const LIBRARY: &[&str] = &["django==5.2"];
const PEER: &[&str] = &["django==5.2", "mitogen==0.3.54"];
/// Of the link that is far away, each way.
const DELAY_MS: &str = "25";
/// The packages of the large directory, and the modules of each.
const LARGE: (usize, usize) = (100, 100);

/// What is run, and where it finds what it needs.
struct Stage {
    ours: PathBuf,
    peer: Option<PathBuf>,
    scripts: PathBuf,
    library: PathBuf,
    /// An interpreter that has its standard library alone.
    bare: PathBuf,
    large: PathBuf,
}

/// Samples by subject and figure: `("ours", "hops-1/cold/seconds")`.
#[derive(Default)]
struct Samples(BTreeMap<(&'static str, String), Vec<f64>>);

/// One row: what of ours is compared with what.
struct Measure {
    name: &'static str,
    unit: &'static str,
    scale: f64,
    figure: &'static str,
    peer: Option<(&'static str, &'static str)>,
    target: Option<f64>,
}

const MITOGEN: &str = "mitogen";
const FLOOR: &str = "floor";

const MEASURES: &[Measure] = &[
    Measure::count("import/requests", "hops-1/cold/requests", Some(3.0)),
    Measure::bytes("import/bytes", "hops-1/cold/bytes", Some(0.45)),
    Measure::time("import/cold", "hops-1/cold/seconds", MITOGEN, Some(0.5)),
    Measure::time("import/warm", "hops-1/warm/seconds", MITOGEN, None),
    Measure {
        peer: Some((FLOOR, "floor/floor/seconds")),
        ..Measure::time("import/warm-and-compiled-here", "hops-1/warm/seconds", FLOOR, Some(1.0))
    },
    Measure {
        peer: Some((FLOOR, "floor/floor/child_cpu")),
        ..Measure::time("import/warm-child-cpu", "hops-1/warm/child_cpu", FLOOR, None)
    },
    Measure::time("import/50ms-cold", "delay/cold/seconds", MITOGEN, Some(0.45)),
    Measure::time("import/50ms-warm", "delay/warm/seconds", MITOGEN, Some(0.45)),
    Measure::time("import/3hops-cold", "hops-3/cold/seconds", MITOGEN, None),
    Measure {
        peer: Some(("ours", "hops-1/cold/modules")),
        ..Measure::count("import/3hops-first-link-modules", "hops-3/cold/modules", Some(1.0))
    },
    Measure::count("import/3hops-second-leaf-requests", "hops-3/cold/second/requests", Some(0.0)),
    Measure::own("import/controller-cold", "hops-1/cold/controller_ms", Some(80.0)),
    Measure::own("import/controller-cold-cpu", "hops-1/cold/controller_cpu_ms", None),
    Measure::own("import/controller-warm", "hops-1/warm/controller_ms", Some(5.0)),
    Measure::own("import/controller-warm-cpu", "hops-1/warm/controller_cpu_ms", None),
    Measure::own("import/index-10000", "index/cold/controller_ms", Some(1000.0)),
];

impl Measure {
    const fn count(name: &'static str, figure: &'static str, target: Option<f64>) -> Measure {
        Measure { name, unit: "", scale: 1.0, figure, peer: None, target }
    }

    const fn bytes(name: &'static str, figure: &'static str, target: Option<f64>) -> Measure {
        Measure { peer: Some((MITOGEN, figure)), unit: "bytes", ..Measure::count(name, figure, target) }
    }

    const fn time(
        name: &'static str,
        figure: &'static str,
        peer: &'static str,
        target: Option<f64>,
    ) -> Measure {
        let count = Measure::count(name, figure, target);
        Measure { unit: "ms", scale: 1e3, peer: Some((peer, figure)), ..count }
    }

    const fn own(name: &'static str, figure: &'static str, target: Option<f64>) -> Measure {
        Measure { unit: "ms", ..Measure::count(name, figure, target) }
    }
}

/// Measures, and reports.
pub(super) fn rows(root: &Path, peer: bool, rounds: usize, report: &mut Report) -> Result<()> {
    let stage = Stage::prepare(root, peer)?;
    let mut samples = Samples::default();
    for _ in 0..rounds {
        for scenario in ["hops-1", "delay", "hops-3", "index"] {
            samples.add("ours", scenario, &stage.run_ours(scenario)?)?;
            if scenario == "hops-1" {
                let python = stage.library.join("bin/python");
                for _ in 0..2 {
                    samples.add(FLOOR, "floor", &stage.run_peer(&python, "floor")?)?;
                }
            }
            if let Some(python) = stage.peer.as_deref().filter(|_| scenario != "index") {
                samples.add(MITOGEN, scenario, &stage.run_peer(python, scenario)?)?;
            }
        }
    }
    for measure in MEASURES {
        let find = |subject, figure: &str| samples.0.get(&(subject, figure.to_owned()));
        let scaled = |samples: &Vec<f64>| samples.iter().map(|x| x * measure.scale).collect::<Vec<f64>>();
        let Some(ours) = find("ours", measure.figure).map(scaled) else {
            fail!("no samples of {}", measure.figure);
        };
        let theirs = measure.peer.and_then(|(name, figure)| Some((name, scaled(find(name, figure)?))));
        report.row(&Row {
            scenario: measure.name,
            unit: measure.unit,
            kind: Kind::Cost,
            // What is to be compared has no target without the other.
            target: measure.target.filter(|_| measure.peer.is_none() || theirs.is_some()),
            ours: &ours,
            peer: theirs.as_ref().map(|(name, samples)| (*name, &samples[..])),
        });
    }
    Ok(())
}

impl Stage {
    fn prepare(root: &Path, peer: bool) -> Result<Stage> {
        let Some(base) = interpreters::preferred() else {
            fail!("no Python 3 found: install python3, or name one in MITOGEN_PYTHON");
        };
        let folder = sh::target_dir(root).join("xtask");
        let (library, large) = (folder.join("import"), folder.join("import-large"));
        system::venv(&base.path, &library, LIBRARY)?;
        let bare = system::venv(&base.path, &folder.join("bare"), &[])?;
        let peer = match peer {
            true => Some(system::venv(&base.path, &folder.join("import-peer"), PEER)?),
            false => None,
        };
        make_large(&large)?;
        let mut build = sh::cargo(root);
        build.args(["build", "--release", "--quiet", "-p", "mitogen", "--example", "import_subject"]);
        sh::run(&mut build)?;
        let ours = sh::target_dir(root).join("release/examples/import_subject");
        Ok(Stage { ours, peer, scripts: root.join("xtask/peers"), library, bare, large })
    }

    /// The scenario as the subjects know it, and the interpreter of their contexts.
    fn python<'a>(&self, scenario: &'a str) -> (&'a str, Vec<PathBuf>) {
        match scenario {
            "delay" => {
                let delay = self.scripts.join("delay.py");
                ("hops-1", vec![self.bare.clone(), delay, DELAY_MS.into(), self.bare.clone()])
            }
            other => (other, vec![self.bare.clone()]),
        }
    }

    fn run_ours(&self, scenario: &str) -> Result<String> {
        let (name, python) = self.python(scenario);
        let mut run = clean(&self.ours);
        match scenario {
            "index" => run.arg(name).arg(&self.large).arg("everywhere"),
            _ => run.arg(name).arg(&self.library).arg(MODULE),
        };
        sh::output(run.args(python))
    }

    fn run_peer(&self, controller: &Path, scenario: &str) -> Result<String> {
        let (name, python) = self.python(scenario);
        let mut run = clean(controller);
        run.arg(self.scripts.join("import_peer.py")).arg(name).arg(MODULE).args(python);
        sh::output(&mut run)
    }
}

fn clean(program: &Path) -> Command {
    let mut run = Command::new(program);
    system::without_python_variables(&mut run);
    run
}

/// A directory of ten thousand modules in a hundred packages, and a module that imports one of each.
fn make_large(folder: &Path) -> Result<()> {
    let whole = folder.join("everywhere.py");
    if whole.exists() {
        return Ok(());
    }
    let mut all = String::new();
    for package in 0..LARGE.0 {
        let inner = folder.join(format!("package{package}"));
        std::fs::create_dir_all(&inner).context(inner.display())?;
        for module in 1..LARGE.1 {
            sh::write(&inner.join(format!("module{module}.py")), "import os\n", 0o644)?;
        }
        sh::write(&inner.join("__init__.py"), "", 0o644)?;
        all.push_str(&format!("import package{package}.module7\n"));
    }
    // Last: it shows that all is there.
    sh::write(&whole, all, 0o644)
}

impl Samples {
    /// Takes the figures of one run's lines.
    fn add(&mut self, subject: &'static str, scenario: &str, output: &str) -> Result<()> {
        for line in output.lines().filter(|line| line.starts_with('{')) {
            let line: Value = serde_json::from_str(line).context("what it prints")?;
            let state = line["state"].as_str().unwrap_or_default();
            self.figures(subject, &format!("{scenario}/{state}"), &line);
        }
        Ok(())
    }

    fn figures(&mut self, subject: &'static str, prefix: &str, line: &Value) {
        for (figure, value) in line.as_object().into_iter().flatten() {
            let name = format!("{prefix}/{figure}");
            match value.as_f64() {
                Some(value) => self.0.entry((subject, name)).or_default().push(value),
                None => self.figures(subject, &name, value),
            }
        }
    }
}
