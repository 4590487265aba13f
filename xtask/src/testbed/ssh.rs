//! Three sshds on loopback with keys of their own, and the client's side: keys, known hosts, a configuration with one
//! alias per account. The third asks for codes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Part, Testbed, daemon, otp, set_mode, users};
use crate::sh::{self, Context, Result, fail};

pub(super) const SSHD: &str = "/usr/sbin/sshd";
/// The server whose PAM service is [`otp`]'s.
const OTP: u32 = 3;
const PASSPHRASE: &str = "key-passphrase";
const BANNER: &str = "*** Authorised use only. Banner with tricky words: password: Permission denied\n";

/// The ssh servers and everything a client needs for them.
pub(super) struct Ssh;

impl Part for Ssh {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        let dir = bed.dir().join("ssh");
        fs::create_dir_all(&dir).context(dir.display())?;
        set_mode(&dir, 0o711)?;
        // sshd wants this directory of its own; it is empty and belongs to the package.
        fs::create_dir_all("/run/sshd").context("/run/sshd")?;
        for name in ["host1", "host2", "host3", "client"] {
            key(&dir.join(name), "")?;
        }
        key(&dir.join("client_pass"), PASSPHRASE)?;
        write_client_files(&dir)?;
        let (port1, port2, port3) = (server(&dir, 1)?, server(&dir, 2)?, server(&dir, OTP)?);
        sh::write(&bed.dir().join("ssh_config"), client_config(&dir, [port1, port2, port3]), 0o644)?;
        Ok(vec![
            ("MITOGEN_TESTBED_SSH_CONFIG".into(), bed.dir().join("ssh_config").display().to_string()),
            ("MITOGEN_TESTBED_SSH_PORT".into(), port1.to_string()),
            ("MITOGEN_TESTBED_SSH_PORT2".into(), port2.to_string()),
            ("MITOGEN_TESTBED_SSH_KEY".into(), dir.join("client").display().to_string()),
            ("MITOGEN_TESTBED_SSH_KEY_PASS".into(), dir.join("client_pass").display().to_string()),
            ("MITOGEN_TESTBED_SSH_KEY_PASSPHRASE".into(), PASSPHRASE.into()),
            ("MITOGEN_TESTBED_KNOWN_HOSTS".into(), dir.join("known_hosts").display().to_string()),
            ("MITOGEN_TESTBED_KNOWN_HOSTS_WRONG".into(), dir.join("known_hosts_wrong").display().to_string()),
        ])
    }

    fn down(&self, bed: &Testbed) -> Result<()> {
        let dir = bed.dir().join("ssh");
        for n in [1, 2, OTP] {
            daemon::stop(&pid_file(&dir, n), &mark(&dir, n))?;
        }
        Ok(())
    }
}

pub(super) fn key(path: &Path, passphrase: &str) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut cmd = Command::new("ssh-keygen");
    cmd.args(["-q", "-t", "ed25519", "-N", passphrase, "-C", &format!("testbed-{name}"), "-f"]).arg(path);
    sh::output(&mut cmd).map(drop)
}

fn write_client_files(dir: &Path) -> Result<()> {
    let public = |name: &str| sh::read(&dir.join(name).with_extension("pub"));
    let short =
        |name: &str| public(name).map(|text| text.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    let (one, two, three) = (short("host1")?, short("host2")?, short("host3")?);
    sh::write(&dir.join("authorized_keys"), public("client")? + &public("client_pass")?, 0o644)?;
    sh::write(&dir.join("known_hosts"), format!("tb1 {one}\ntb2 {two}\ntb3 {three}\n"), 0o644)?;
    sh::write(&dir.join("known_hosts_wrong"), format!("tb1 {two}\ntb2 {one}\n"), 0o644)?;
    sh::write(&dir.join("banner"), BANNER, 0o644)
}

fn server_config(dir: &Path, n: u32, port: u16) -> String {
    let d = dir.display();
    format!(
        "Port {port}
ListenAddress 127.0.0.1
HostKey {d}/host{n}
PidFile {d}/sshd{n}.pid
AuthorizedKeysFile {d}/authorized_keys
StrictModes no
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
PermitRootLogin prohibit-password
AllowUsers root tb_*
AcceptEnv LANG LC_*
PrintMotd no
UseDNS no
MaxStartups 300:30:600
MaxSessions 500
Subsystem sftp internal-sftp
LogLevel VERBOSE
Match User tb_otp,tb_otpvia,tb_otpcli
  AuthenticationMethods keyboard-interactive
Match User tb_otpkey
  AuthenticationMethods publickey,keyboard-interactive
Match User tb_pw
  AuthenticationMethods password
Match User tb_kbd
  AuthenticationMethods keyboard-interactive
Match User tb_two
  AuthenticationMethods publickey,password
Match User tb_noisy
  Banner {d}/banner
Match User tb_sftp
  ForceCommand internal-sftp
"
    )
}

/// The first server's configuration, for one that listens elsewhere.
pub(super) fn far_server_config(bed: &Testbed, address: &str, pid_file: &Path) -> String {
    let dir = bed.dir().join("ssh");
    server_config(&dir, 1, 22)
        .replace("127.0.0.1", address)
        .replace(&dir.join("sshd1.pid").display().to_string(), &pid_file.display().to_string())
}

/// Starts server `n` unless it runs; returns its port. A port that was free when asked for may be taken a moment
/// later by somebody else, so several are tried.
fn server(dir: &Path, n: u32) -> Result<u16> {
    let config = dir.join(format!("sshd{n}.conf"));
    if daemon::running(&pid_file(dir, n), &mark(dir, n)).is_some() {
        let port = sh::read(&config)?.lines().find_map(|line| line.strip_prefix("Port ")?.parse().ok());
        if let Some(port) = port {
            return Ok(port);
        }
    }
    let log = dir.join(format!("sshd{n}.log"));
    // Its PAM service is called as the program is.
    let program = if n == OTP { dir.join(otp::SERVICE) } else { PathBuf::from(SSHD) };
    if n == OTP && !program.is_symlink() {
        std::os::unix::fs::symlink(SSHD, &program).context(program.display())?;
    }
    for _ in 0..5 {
        let port = free_port()?;
        sh::write(&config, server_config(dir, n, port), 0o644)?;
        let _ = fs::remove_file(pid_file(dir, n));
        // It goes to the background by itself, after the sockets are open.
        let mut cmd = Command::new(&program);
        sh::output(cmd.arg("-f").arg(&config).arg("-E").arg(&log))?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if daemon::running(&pid_file(dir, n), &mark(dir, n)).is_some() {
                return Ok(port);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    fail!("sshd {n} does not start:\n{}", sh::tail(&sh::read(&log).unwrap_or_default(), 5));
}

pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("a free port on loopback")?;
    Ok(listener.local_addr().context("a free port on loopback")?.port())
}

fn pid_file(dir: &Path, n: u32) -> PathBuf {
    dir.join(format!("sshd{n}.pid"))
}

/// What stands in the command line of our server `n`, and of no other.
fn mark(dir: &Path, n: u32) -> String {
    dir.join(format!("sshd{n}.conf")).display().to_string()
}

/// One alias per account, so that `ssh -F ssh_config tb_dash command` is all there is to it.
fn client_config(dir: &Path, [port1, port2, port3]: [u16; 3]) -> String {
    let d = dir.display();
    let mut text = format!("Host tb_otp*\n  Port {port3}\n  HostKeyAlias tb3\n");
    for name in users::names().chain(["root"]) {
        text += &format!(
            "Host {name}\n  HostName 127.0.0.1\n  Port {port1}\n  HostKeyAlias tb1\n  User {name}\n"
        );
    }
    text += &format!(
        "Host hop2
  HostName 127.0.0.1
  Port {port2}
  HostKeyAlias tb2
  User tb_dash
  ProxyJump tb_bash
Host slow
  HostName 10.78.0.2
  HostKeyAlias tb1
  User tb_sudo
Host inetd
  HostName inetd
  HostKeyAlias tb1
  User tb_dash
  ProxyCommand {SSHD} -i -f {d}/sshd1.conf -E {d}/sshd1.log
Host *
  IdentityFile {d}/client
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {d}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  KexAlgorithms curve25519-sha256
  LogLevel ERROR
"
    );
    text
}
