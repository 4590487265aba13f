//! Scenario `import`: `import django.db.models` in a fresh context whose Python has its standard library alone.
//!
//! Prints a JSON line for each of ours (cold and warm controller, 1 and 3 hops) and, with `--peer`, of upstream's:
//! seconds, requests that reached the controller, messages and bytes that carried modules.

use std::path::Path;
use std::process::Command;

use crate::interpreters;
use crate::sh::{self, Result, fail};
use crate::system;

const MODULE: &str = "django.db.models";
const LIBRARY: &[&str] = &["django==5.2"];
const PEER: &[&str] = &["django==5.2", "mitogen==0.3.54"];

/// Measures, and prints as it goes.
pub(super) fn rows(root: &Path, peer: bool) -> Result<()> {
    let Some(base) = interpreters::preferred() else {
        fail!("no Python 3 found: install python3, or name one in MITOGEN_PYTHON");
    };
    let folder = sh::target_dir(root).join("xtask");
    let (library, bare) = (folder.join("import"), folder.join("bare"));
    system::venv(&base.path, &library, LIBRARY)?;
    let python = system::venv(&base.path, &bare, &[])?;
    let mut build = sh::cargo(root);
    build.args(["build", "--release", "--quiet", "-p", "mitogen", "--example", "import_subject"]);
    sh::run(&mut build)?;
    let ours = sh::target_dir(root).join("release/examples/import_subject");
    for hops in ["1", "3"] {
        let mut run = Command::new(&ours);
        run.args([library.as_os_str(), MODULE.as_ref(), python.as_os_str(), hops.as_ref()]);
        show(&format!("ours, {hops} hops"), &sh::output(&mut run)?);
    }
    if peer {
        let controller = system::venv(&base.path, &folder.join("import-peer"), PEER)?;
        for hops in ["1", "3"] {
            let mut run = Command::new(&controller);
            run.arg(root.join("xtask/peers/import_peer.py")).arg(MODULE).arg(&python).arg(hops);
            show(&format!("mitogen, {hops} hops"), &sh::output(&mut run)?);
        }
    }
    Ok(())
}

fn show(who: &str, lines: &str) {
    for line in lines.lines() {
        println!("import  {who}: {line}");
    }
}
