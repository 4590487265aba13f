//! The programs that are measured, and how they are run: with a clean environment, on one core or on all.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

use crate::interpreters;
use crate::sh::{self, Context, Result, fail};
use crate::system;
use crate::testbed::LoneSshd;

use super::scenarios::Scenario;

/// The peers, as pip names them.
const PEERS: &[&str] = &["mitogen==0.3.54", "execnet==2.1.2"];

/// The longest that one program may take for one round.
const DEADLINE: Duration = Duration::from_secs(600);

/// One program.
pub(super) struct Subject {
    pub(super) name: &'static str,
    argv: Vec<PathBuf>,
}

/// All of them, and the interpreter that runs peers and every subject's children.
pub(super) struct Subjects {
    pub(super) all: Vec<Subject>,
    pub(super) python: PathBuf,
    /// What was brought up for those that go over ssh, if no testbed is named.
    pub(super) sshd: Option<LoneSshd>,
}

impl Subjects {
    /// Builds ours and makes an environment for theirs.
    pub(super) fn prepare(root: &Path, peer: bool) -> Result<Self> {
        let Some(base) = interpreters::preferred() else {
            fail!("no Python 3 found: install python3, or name one in MITOGEN_PYTHON");
        };
        let dir = sh::target_dir(root).join("xtask").join(if peer { "peers" } else { "bare" });
        let python = system::venv(&base.path, &dir, if peer { PEERS } else { &[] })?;
        remove_pth_files(&dir)?;
        let script = |name: &str| vec![python.clone(), root.join("xtask/peers").join(name)];
        let mut all = vec![Subject { name: Subject::OURS, argv: vec![ours(root)?] }];
        if peer {
            all.push(Subject { name: Subject::UPSTREAM, argv: script("mitogen_peer.py") });
            all.push(Subject { name: "execnet", argv: script("execnet_peer.py") });
            all.push(Subject { name: "openssh", argv: script("openssh_peer.py") });
        }
        all.push(Subject { name: "floor", argv: script("floor.py") });
        eprintln!("interpreter: {} ({})", base.version, python.display());
        Ok(Subjects { all, python, sshd: None })
    }
}

impl Subjects {
    /// Brings up what these scenarios want beside the programs.
    pub(super) fn bring_up(&mut self, root: &Path, chosen: &[&Scenario]) -> Result<()> {
        let named = std::env::var_os("MITOGEN_TESTBED").is_some_and(|dir| !dir.is_empty());
        if !named && chosen.iter().any(|scenario| scenario.needs_ssh()) {
            self.sshd = Some(LoneSshd::start(&sh::target_dir(root).join("xtask"))?);
        }
        Ok(())
    }

    /// The directory of that.
    pub(super) fn testbed(&self) -> Option<&Path> {
        self.sshd.as_ref().map(LoneSshd::dir)
    }
}

/// Code in a `.pth` file runs at every start of the interpreter (25 ms were seen) and would drown what is measured.
fn remove_pth_files(venv: &Path) -> Result<()> {
    let Ok(libs) = std::fs::read_dir(venv.join("lib")) else { return Ok(()) };
    for lib in libs.flatten() {
        let Ok(files) = std::fs::read_dir(lib.path().join("site-packages")) else { continue };
        for file in files.flatten().map(|f| f.path()).filter(|p| p.extension().is_some_and(|e| e == "pth")) {
            std::fs::remove_file(&file).context(file.display())?;
        }
    }
    Ok(())
}

fn ours(root: &Path) -> Result<PathBuf> {
    let mut cmd = sh::cargo(root);
    cmd.args(["build", "--release", "--quiet", "-p", "mitogen", "--example", "bench_subject"]);
    sh::run(&mut cmd)?;
    Ok(sh::target_dir(root).join("release/examples/bench_subject"))
}

impl Subject {
    pub(super) const OURS: &'static str = "ours";
    pub(super) const UPSTREAM: &'static str = "mitogen";

    /// One round, over ssh with the hosts of `testbed`. `None`: this subject knows no such scenario.
    pub(super) fn run(
        &self,
        scenario: &str,
        count: u32,
        python: &Path,
        pinned: bool,
        testbed: Option<&Path>,
    ) -> Result<Option<Vec<f64>>> {
        let mut cmd = Command::new(&self.argv[0]);
        cmd.args(&self.argv[1..]).arg(scenario).arg(count.to_string()).arg(python);
        clean_environment(&mut cmd);
        if let Some(testbed) = testbed {
            cmd.env("MITOGEN_TESTBED", testbed);
        }
        cmd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = {
            // A child inherits the cores of the thread that starts it.
            let _pin = if pinned { Some(Pin::to_one_core()?) } else { None };
            cmd.spawn().context(sh::shown(&cmd))?
        };
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().context(self.name)? {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                fail!("no end after {} s", DEADLINE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
        let (stdout, stderr) = (text(stdout), text(stderr));
        if status.code() == Some(3) {
            return Ok(None);
        }
        if !status.success() {
            fail!("{status}: {}", sh::tail(&stderr, 5));
        }
        let line = stdout.lines().rfind(|line| line.starts_with('{')).unwrap_or_default();
        let json: Value = serde_json::from_str(line).context("what it prints")?;
        let samples: Vec<f64> =
            json["samples"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        if samples.is_empty() {
            fail!("no samples in `{line}`");
        }
        Ok(Some(samples))
    }
}

/// Only what a login has: no `PYTHON*`, nothing of cargo's. And where the testbed is, for those that ask.
fn clean_environment(cmd: &mut Command) {
    cmd.env_clear().env("LC_ALL", "C.UTF-8");
    for name in ["PATH", "HOME", "TMPDIR", "MITOGEN_TESTBED"] {
        if let Some(value) = std::env::var_os(name) {
            cmd.env(name, value);
        }
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// This thread's cores, cut down to one; given back on drop.
struct Pin {
    before: CpuSet,
}

impl Pin {
    fn to_one_core() -> Result<Self> {
        let before = sched_getaffinity(None).context("the cores of this thread")?;
        // The last one: the first tends to serve interrupts.
        let Some(core) = (0..CpuSet::MAX_CPU).rev().find(|&n| before.is_set(n)) else {
            fail!("no core to pin to");
        };
        let mut one = CpuSet::new();
        one.set(core);
        sched_setaffinity(None, &one).context("pinning to one core")?;
        Ok(Pin { before })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}
