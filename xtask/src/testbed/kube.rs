//! The machine's kubectl, if it has one, and a server for it to talk to: enough of a cluster's interface for `exec`, with
//! podman's container in the place of the pods'.

use std::process::Command;

use super::{Part, Testbed, absent, daemon};
use crate::sh::{self, Result, fail};

const SERVER: &str = include_str!("kube_server.py");
const MARK: &str = "kube_server.py";

/// The server.
pub(super) struct Kube;

impl Part for Kube {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        Ok(vec![match sh::find("kubectl") {
            Some(_) => absent::fact("KUBECONFIG", start(bed), absent::confined()),
            None => absent::no_package("KUBECONFIG", "there is no kubectl, nor a package of it"),
        }])
    }

    fn down(&self, bed: &Testbed) -> Result<()> {
        daemon::stop(&bed.dir().join("kube/pid"), MARK)
    }
}

fn start(bed: &Testbed) -> Result<String> {
    let dir = bed.dir().join("kube");
    let podman = bed.dir().join("containers/bin/podman");
    if !podman.exists() {
        fail!("there is no podman to run its commands");
    }
    let (log, config) = (dir.join("log"), dir.join("config"));
    sh::write(&dir.join(MARK), SERVER, 0o644)?;
    let mut server = Command::new("python3");
    server.arg(dir.join(MARK)).arg(dir.join("port")).arg(podman).args(["exec", "-i", "tb"]);
    let pid_file = dir.join("pid");
    if daemon::running(&pid_file, MARK).is_none() {
        let _ = std::fs::remove_file(dir.join("port"));
    }
    daemon::start(&mut server, &pid_file, MARK, &log)?;
    daemon::wait_for("the server for kubectl", &log, || dir.join("port").exists())?;
    let port = sh::read(&dir.join("port"))?;
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: tb
clusters: [{{name: tb, cluster: {{server: 'http://127.0.0.1:{}'}}}}]
contexts: [{{name: tb, context: {{cluster: tb, user: tb}}}}]
users: [{{name: tb, user: {{}}}}]
",
        port.trim()
    );
    sh::write(&config, text, 0o644)?;
    let mut first = Command::new("kubectl");
    first.arg(format!("--kubeconfig={}", config.display()));
    // Before 1.31 it speaks an older protocol unless told so.
    first.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true").env("HOME", &dir);
    sh::output(first.args(["exec", "-i", "good", "--", "python3", "-V"]))?;
    Ok(config.display().to_string())
}
