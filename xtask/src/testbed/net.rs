//! A network of our own with a slow wire in it, and an sshd at its far end. Nothing of it is seen outside of its
//! namespaces, which are entered by the process id in a file.

use std::path::Path;
use std::process::Command;

use super::{Part, Testbed, absent, daemon, ssh};
use crate::sh::{self, Result};

const SCRIPT: &str = include_str!("slow_net.py");
const MARK: &str = "slow_net.py";
/// Each way.
const DELAY_MS: &str = "25";

/// The namespaces, the wire, and the server.
pub(super) struct Net;

impl Part for Net {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        let no_tun = (!Path::new("/dev/net/tun").exists()).then_some("without /dev/net/tun");
        let client = absent::fact("SLOW_SSH", start(bed), absent::confined().or(no_tun));
        Ok(vec![client, ("MITOGEN_TESTBED_SLOW_MS".into(), DELAY_MS.into())])
    }

    fn down(&self, bed: &Testbed) -> Result<()> {
        daemon::stop(&bed.dir().join("net/pid"), MARK)
    }
}

/// Returns an ssh that runs at the near end.
fn start(bed: &Testbed) -> Result<String> {
    let dir = bed.dir().join("net");
    let (pid_file, near, log) = (dir.join("pid"), dir.join("near"), dir.join("log"));
    let config = dir.join("sshd.conf");
    sh::write(&config, ssh::far_server_config(bed, "10.78.0.2", &dir.join("sshd.pid")), 0o644)?;
    sh::write(&dir.join(MARK), SCRIPT, 0o644)?;
    if daemon::running(&pid_file, MARK).is_none() {
        let _ = std::fs::remove_file(&near);
    }
    let mut wire = Command::new("python3");
    wire.arg(dir.join(MARK)).arg(&near).arg(DELAY_MS).arg(&config);
    daemon::start(&mut wire, &pid_file, MARK, &log)?;
    daemon::wait_for("the slow network", &log, || near.exists())?;
    let client = dir.join("ssh");
    let script = format!("#!/bin/sh\nexec nsenter -t \"$(cat {})\" -n ssh \"$@\"\n", near.display());
    sh::write(&client, script, 0o755)?;
    let mut first = Command::new(&client);
    first.arg("-F").arg(bed.dir().join("ssh_config")).args(["-oBatchMode=yes", "slow", "true"]);
    daemon::wait_for("the sshd at the far end", &log, || sh::output(&mut first).is_ok())?;
    Ok(client.display().to_string())
}
