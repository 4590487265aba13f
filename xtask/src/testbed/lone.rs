//! One sshd on loopback, for whoever runs this: no account, no package and nothing of the machine's is touched. What
//! measures over ssh brings it up, and it goes when that is done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use super::ssh::{SSHD, free_port, key};
use super::{daemon, set_mode};
use crate::sh::{self, Context, Result};

/// A running sshd, in a directory of its own with `ssh_config` in it, as a testbed has it; `root` is the host's name
/// there, whoever logs in.
pub(crate) struct LoneSshd {
    dir: PathBuf,
}

impl LoneSshd {
    /// Starts one below this directory.
    pub(crate) fn start(below: &Path) -> Result<Self> {
        let dir = below.join(format!("sshd-{}", std::process::id()));
        fs::create_dir_all(&dir).context(dir.display())?;
        let lone = LoneSshd { dir };
        set_mode(&lone.dir, 0o755)?;
        lone.up()?;
        Ok(lone)
    }

    /// What `MITOGEN_TESTBED` is to name.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn up(&self) -> Result<()> {
        let d = self.dir.display();
        for name in ["host", "client"] {
            key(&self.dir.join(name), "")?;
        }
        fs::copy(self.dir.join("client.pub"), self.dir.join("authorized_keys")).context(d.to_string())?;
        let root = geteuid().is_root();
        if root {
            // sshd wants this directory of its own; it is empty and belongs to the package.
            fs::create_dir_all("/run/sshd").context("/run/sshd")?;
        }
        let port = free_port()?;
        // Only root can have PAM asked.
        let pam = if root { "yes" } else { "no" };
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nPidFile {d}/sshd.pid\n\
             AuthorizedKeysFile {d}/authorized_keys\nStrictModes no\nUsePAM {pam}\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\nUseDNS no\n\
             Subsystem sftp internal-sftp\n"
        );
        sh::write(&self.dir.join("sshd.conf"), config, 0o644)?;
        let host = sh::read(&self.dir.join("host.pub"))?;
        sh::write(&self.dir.join("known_hosts"), format!("lone {host}"), 0o644)?;
        let user = sh::output(Command::new("id").arg("-un"))?;
        let client = format!(
            "Host root\n  HostName 127.0.0.1\n  Port {port}\n  User {}\n  HostKeyAlias lone\n  \
             IdentityFile {d}/client\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {d}/known_hosts\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  \
             UpdateHostKeys no\n  KexAlgorithms curve25519-sha256\n  LogLevel ERROR\n",
            user.trim()
        );
        sh::write(&self.dir.join("ssh_config"), client, 0o644)?;
        let log = self.dir.join("sshd.log");
        let mut sshd = Command::new(SSHD);
        sh::output(sshd.arg("-f").arg(self.conf()).arg("-E").arg(&log))?;
        daemon::wait_for("sshd", &log, || daemon::running(&self.pid_file(), &self.mark()).is_some())
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("sshd.conf")
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("sshd.pid")
    }

    fn mark(&self) -> String {
        self.conf().display().to_string()
    }
}

impl Drop for LoneSshd {
    fn drop(&mut self) {
        if let Err(error) = daemon::stop(&self.pid_file(), &self.mark()) {
            eprintln!("an sshd is left: {error}");
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
