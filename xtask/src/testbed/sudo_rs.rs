//! sudo-rs, built from its package, for it comes with newer systems only; and its own rules.

use std::fs;
use std::path::Path;

use super::{Part, Testbed, absent, shared};
use crate::sh::{self, Context, Result, fail};

const VERSION: &str = "0.2.15";
/// It prefers this file to that of sudo, so the two do not meet.
const RULES_FILE: &str = "/etc/sudoers-rs";
const MARK: &str = "# mitogen-testbed";
const RULES: &str = "# mitogen-testbed
Defaults timestamp_timeout=0
tb_sudo ALL=(ALL:ALL) NOPASSWD: ALL
tb_sudopw,tb_gone ALL=(ALL:ALL) ALL
";

/// sudo-rs.
pub(super) struct SudoRs;

impl Part for SudoRs {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        Ok(vec![absent::fact("SUDO_RS", install(bed), absent::confined())])
    }

    fn down(&self, _bed: &Testbed) -> Result<()> {
        if !shared::claimed() && is_ours() {
            let _ = fs::remove_file(RULES_FILE);
        }
        Ok(())
    }
}

fn is_ours() -> bool {
    fs::read_to_string(RULES_FILE).is_ok_and(|text| text.starts_with(MARK))
}

/// Returns the program.
fn install(bed: &Testbed) -> Result<String> {
    if Path::new(RULES_FILE).exists() && !is_ours() {
        fail!("{RULES_FILE} exists and is not a testbed's: it stays as it is");
    }
    let root = sh::root()?;
    let place = sh::target_dir(&root).join("testbed").join(format!("sudo-rs-{VERSION}"));
    let built = place.join("bin/sudo");
    if !built.exists() {
        eprintln!("building sudo-rs {VERSION}");
        let mut cargo = sh::cargo(Path::new("/"));
        // What is built for a test need not be fast.
        cargo
            .args(["install", "sudo-rs", "--version", VERSION, "--locked", "--debug", "--quiet", "--root"])
            .arg(&place);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_TARGET_DIR", place.join("build"));
        sh::output(&mut cargo)?;
        let _ = fs::remove_dir_all(place.join("build"));
    }
    sh::write(Path::new(RULES_FILE), RULES, 0o440)?;
    let program = bed.dir().join("sudo-rs");
    let bytes = fs::read(&built).context(built.display())?;
    // In use by a test run, it cannot be written; it is the same then.
    if fs::read(&program).ok().as_ref() != Some(&bytes) {
        sh::write(&program, bytes, 0o4755)?;
    }
    super::set_mode(&program, 0o4755)?;
    Ok(program.display().to_string())
}
