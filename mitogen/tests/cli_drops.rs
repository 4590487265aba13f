//! Whatever process dies, whenever: the command ends by itself, and nothing is left.
//!
//! `MITOGEN_DROPS` says how many times to try (default 6), `MITOGEN_SEED` where to begin.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Stdio,
    time::Duration,
};

/// The mark in the environment of all that a run starts here.
const MARK: &str = "MITOGEN_TEST_RUN";

/// Parents by process.
fn processes() -> BTreeMap<i32, i32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        (!matches!(state, "Z" | "X")).then_some(())?;
        Some((pid, fields.next()?.parse().ok()?))
    })
    .collect()
}

/// What descends from this process or carries the run's mark. Over ssh, the name of a context says whose it is.
fn members(root: i32, mark: &str) -> BTreeSet<i32> {
    let all = processes();
    let mut found = BTreeSet::from([root]);
    loop {
        let more: Vec<i32> =
            all.iter().filter(|(_, parent)| found.contains(parent)).map(|(&pid, _)| pid).collect();
        let before = found.len();
        found.extend(more);
        if found.len() == before {
            break;
        }
    }
    let ours = |pid: &&i32| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let has =
            |bytes: Vec<u8>, text: String| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        has(read("environ"), format!("{MARK}={mark}\0")) || has(read("cmdline"), format!(":{root})"))
    };
    found.extend(all.keys().filter(ours));
    found.retain(|pid| all.contains_key(pid));
    found
}

/// A small generator: the same seed, the same choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).expect("64 bits") % sides
    }
}

#[test]
fn whoever_is_killed_whenever_nothing_is_left() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let drops = number("MITOGEN_DROPS").unwrap_or(6);
    let first = number("MITOGEN_SEED").unwrap_or(1);
    let config = std::env::var_os("MITOGEN_TESTBED").map(std::path::PathBuf::from);
    let config = config.map(|dir| cli_support::ssh_config(&dir).display().to_string());
    for seed in first..first + drops {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mark = format!("{}-{seed}", std::process::id());
        let mut args = vec!["-t", "local/local", "-t", "local", "-t", "local/local/local"];
        if let Some(config) = &config {
            args.extend(["-F", config, "-t", "ssh:tb_dash/local", "-t", "ssh:tb_bash"]);
        }
        args.extend(["exec", "--shell", "sleep 1 & sleep 2; wait"]);
        let mut child = command(args)
            .env(MARK, &mark)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command");
        let root = i32::try_from(child.id()).expect("a pid");
        std::thread::sleep(Duration::from_millis(dice.roll(1800) as u64));
        let candidates: Vec<i32> = members(root, &mark).into_iter().collect();
        let victim = candidates[dice.roll(candidates.len())];
        let signal = [Signal::KILL, Signal::TERM, Signal::KILL, Signal::HUP][dice.roll(4)];
        let line = fs::read(format!("/proc/{victim}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ").chars().take(60).collect::<String>();
        let story = format!("seed {seed}: {signal:?} to {victim} ({line})");
        // It may have ended meanwhile.
        let _ = kill_process(Pid::from_raw(victim).expect("a pid"), signal);
        eventually(&format!("the command ends; {story}"), Duration::from_secs(40), || {
            child.try_wait().expect("a child")
        });
        eventually(&format!("nothing is left; {story}"), Duration::from_secs(8), || {
            members(root, &mark).is_empty().then_some(())
        });
    }
}
