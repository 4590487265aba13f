//! The accounts: one per login shell and per way to authenticate. Every password is `pw-` and the account's name.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Part, Testbed, shared};
use crate::sh::{self, Result, fail};

/// The comment field by which the accounts of any testbed are known.
const COMMENT: &str = "mitogen-testbed";
const RECORD: &str = "users";

/// Name, and the login shell's possible places.
const ACCOUNTS: &[(&str, &[&str])] = &[
    ("tb_bash", &["/bin/bash"]),
    ("tb_dash", &["/bin/dash", "/usr/bin/dash"]),
    ("tb_tcsh", &["/bin/tcsh", "/usr/bin/tcsh"]),
    ("tb_zsh", &["/bin/zsh", "/usr/bin/zsh"]),
    ("tb_fish", &["/usr/bin/fish"]),
    ("tb_pw", &["/bin/bash"]),
    ("tb_kbd", &["/bin/bash"]),
    ("tb_two", &["/bin/bash"]),
    ("tb_noisy", &["/bin/bash"]),
    ("tb_expired", &["/bin/bash"]),
    ("tb_nologin", &["/usr/sbin/nologin", "/sbin/nologin"]),
    ("tb_sftp", &["/bin/bash"]),
    ("tb_slow", &["/bin/bash"]),
    ("tb_sudo", &["/bin/bash"]),
    ("tb_sudopw", &["/bin/bash"]),
    ("tb_sudotty", &["/bin/bash"]),
    ("tb_sudoprompt", &["/bin/bash"]),
    ("tb_sudopty", &["/bin/bash"]),
    ("tb_sudolect", &["/bin/bash"]),
    ("tb_sudofb", &["/bin/bash"]),
    ("tb_sudoonce", &["/bin/bash"]),
    ("tb_sudolog", &["/bin/bash"]),
    ("tb_sudopin", &["/bin/bash"]),
    ("tb_nosudo", &["/bin/bash"]),
    ("tb_su", &["/bin/bash"]),
    ("tb_target", &["/bin/bash"]),
    ("tb_doas", &["/bin/bash"]),
    ("tb_doaspw", &["/bin/bash"]),
    ("tb_gone", &["/bin/bash"]),
    ("tb_locked", &["/bin/bash"]),
    ("tb_otp", &["/bin/bash"]),
    ("tb_otpcli", &["/bin/bash"]),
    ("tb_otpvia", &["/bin/bash"]),
    ("tb_otpkey", &["/bin/bash"]),
    ("tb_sudootp", &["/bin/bash"]),
    ("tb_doasotp", &["/bin/bash"]),
];

/// What tb_noisy's bash prints before any command (bash reads .bashrc under sshd even for a command).
const NOISE: &str = "echo noise-on-stdout\necho noise-on-stderr >&2\n";

/// The accounts that servers let in.
pub(super) struct Users;

impl Part for Users {
    fn up(&self, _bed: &Testbed) -> Result<Vec<(String, String)>> {
        let mut record = shared::record(RECORD);
        let mut passwords = String::new();
        for (name, shells) in ACCOUNTS {
            let Some(shell) = shells.iter().find(|path| Path::new(path).exists()) else {
                fail!("no {} for the account {name}", shells.join(" or "));
            };
            match comment_of(name) {
                None => {
                    record.push(name.to_string());
                    shared::set_record(RECORD, &record)?;
                    sh::output(Command::new("useradd").args(["-m", "-s", shell, "-c", COMMENT, name]))?;
                }
                Some(comment) if comment == COMMENT => {}
                Some(_) => fail!("the account {name} exists and is not a testbed's: it stays as it is"),
            }
            passwords += &format!("{name}:pw-{name}\n");
        }
        sh::output_with_input(&mut Command::new("chpasswd"), &passwords)?;
        sh::output(Command::new("chage").args(["-d", "0", "tb_expired"]))?;
        sh::write(Path::new("/home/tb_noisy/.bashrc"), NOISE, 0o644)?;
        sh::write(Path::new("/home/tb_slow/.bashrc"), "echo just a moment\nsleep 60\n", 0o644)?;
        let names: Vec<&str> = ACCOUNTS.iter().map(|(name, _)| *name).collect();
        Ok(vec![
            ("MITOGEN_TESTBED_USERS".into(), names.join(" ")),
            ("MITOGEN_TESTBED_PASSWORD_PREFIX".into(), "pw-".into()),
        ])
    }

    fn down(&self, _bed: &Testbed) -> Result<()> {
        if shared::claimed() {
            return Ok(());
        }
        let mut left = Vec::new();
        for name in shared::record(RECORD) {
            if comment_of(&name).as_deref() != Some(COMMENT) {
                continue;
            }
            end_processes_of(&name);
            // The second form also takes an account that is thought to be logged in.
            let removed = sh::output(Command::new("userdel").args(["-r", &name]))
                .or_else(|_| sh::output(Command::new("userdel").args(["-rf", &name])));
            if removed.is_err() && comment_of(&name).is_some() {
                left.push(name);
            }
        }
        shared::set_record(RECORD, &left)?;
        if !left.is_empty() {
            fail!("could not remove the accounts {}", left.join(" "));
        }
        Ok(())
    }
}

/// Names of the accounts that can be logged in to, for the ssh configuration.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ACCOUNTS.iter().map(|(name, _)| *name)
}

/// The comment field of an account, if there is one of this name.
fn comment_of(name: &str) -> Option<String> {
    field_of(name, 4)
}

fn field_of(name: &str, index: usize) -> Option<String> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(index).map(String::from)
}

/// Ends what still runs as an account that a testbed made and that is about to go: tests that failed may leave some.
fn end_processes_of(name: &str) {
    let Some(uid) = field_of(name, 2) else { return };
    for _ in 0..20 {
        let pids = processes_of(&uid);
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn processes_of(uid: &str) -> Vec<rustix::process::Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    // The number may be somebody else's outside of a chroot, or inside of a container: they have another root.
    let root = |path: &str| fs::metadata(path).map(|root| (root.dev(), root.ino())).ok();
    let here = root("/");
    let owned = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let uid_line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
        !zombie
            && root(&format!("/proc/{pid}/root")) == here
            && uid_line.and_then(|l| l.split_whitespace().next()) == Some(uid)
    };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(owned).filter_map(rustix::process::Pid::from_raw).collect()
}
