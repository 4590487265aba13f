//! The machine under the tests: is it Debian, are we root, and its packages.

use std::path::Path;
use std::process::Command;

use crate::sh::{self, Context, Result, fail};

/// Packages that the tests use, and why.
const PACKAGES: &[(&str, &str)] = &[
    ("openssh-server", "the sshd that ssh tests connect to"),
    ("openssh-client", "the ssh that the product runs"),
    ("python3", "an interpreter for contexts"),
    ("python3-venv", "private environments for lint tools and peers"),
    ("python3-pip", "upstream's releases and libraries, for tests that use them"),
    ("tcsh", "a login shell with other quoting"),
    ("zsh", "another login shell"),
    ("fish", "a third one"),
    ("ksh", "shells that some have: between single quotes all must read the same"),
    ("mksh", "another of these"),
    ("yash", "another of these"),
    ("busybox", "another of these, and what small systems have"),
    ("sudo", "to become another user"),
    ("opendoas", "another way to that"),
    ("locales", "the languages in which sudo and su ask"),
    ("lxc", "containers that start in a moment"),
    ("podman", "containers as most people have them"),
    ("runc", "runs podman's containers; crun refuses machines with both kinds of cgroups"),
    ("buildah", "working containers"),
    ("lxd", "containers behind a daemon"),
    ("lxd-client", "the client of that"),
    ("libpam-oath", "logins that want a code behind the password"),
    ("oathtool", "those codes"),
    ("libpam0g-dev", "to build sudo-rs, which comes with newer systems only"),
    ("iproute2", "a network with a slow wire in it"),
    ("procps", "ps, by which tests see what a context looks like from outside"),
];

/// Whether system packages can be installed and users made here; if not, why.
pub(crate) fn can_set_up() -> std::result::Result<(), &'static str> {
    if !Path::new("/etc/debian_version").exists() {
        return Err("not a Debian system");
    }
    if !rustix::process::geteuid().is_root() {
        return Err("not root");
    }
    Ok(())
}

/// Installs what is missing, and only that. Returns the names of the packages it added.
pub(crate) fn install() -> Result<Vec<String>> {
    let missing: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    for (name, why) in PACKAGES.iter().filter(|(name, _)| missing.contains(name)) {
        eprintln!("installing {name}: {why}");
    }
    let _policy = NoServices::new()?;
    // A fresh image has no package lists; an old one has lists that name files which are gone.
    if apt(&missing).is_err() {
        let mut update = Command::new("apt-get");
        sh::output(update.args(["-q", "-o", "DPkg::Lock::Timeout=180", "update"]))?;
        apt(&missing)?;
    }
    Ok(missing.into_iter().map(String::from).collect())
}

fn apt(packages: &[&str]) -> Result<String> {
    let mut cmd = Command::new("apt-get");
    cmd.env("DEBIAN_FRONTEND", "noninteractive");
    cmd.args(["-q", "-o", "DPkg::Lock::Timeout=180", "install", "-y", "--no-install-recommends"])
        .args(packages);
    sh::output(&mut cmd)
}

fn installed(package: &str) -> bool {
    let mut cmd = Command::new("dpkg-query");
    cmd.args(["-W", "-f", "${Status}", package]);
    sh::output(&mut cmd).is_ok_and(|text| text.contains("ok installed"))
}

/// While this lives, installing a package starts no service.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new() -> Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            sh::write(Path::new(POLICY), "#!/bin/sh\nexit 101\n", 0o755)
                .context("policy against starting services")?;
        }
        Ok(NoServices { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

/// A virtual environment at `dir` made by `python`, with `packages` (as pip names them) inside. Kept when it fits already.
pub(crate) fn venv(python: &Path, dir: &Path, packages: &[&str]) -> Result<std::path::PathBuf> {
    let interpreter = dir.join("bin/python");
    let stamp = dir.join("packages.txt");
    let wanted = format!("{}\n{}\n", python.display(), packages.join("\n"));
    if interpreter.exists() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(interpreter);
    }
    let _ = std::fs::remove_dir_all(dir);
    let mut make = Command::new(python);
    without_python_variables(&mut make);
    make.args(["-m", "venv"]);
    if packages.is_empty() {
        make.arg("--without-pip");
    }
    sh::output(make.arg(dir))?;
    if !packages.is_empty() {
        let mut pip = Command::new(&interpreter);
        without_python_variables(&mut pip);
        pip.args(["-m", "pip", "install", "-q", "--no-warn-script-location"]).args(packages);
        sh::output(&mut pip)?;
    }
    if !interpreter.exists() {
        fail!("{} made no {}", python.display(), interpreter.display());
    }
    sh::write(&stamp, wanted, 0o644)?;
    Ok(interpreter)
}

/// Takes every `PYTHON*` variable out of a command's environment: they change what is measured and what is imported.
pub(crate) fn without_python_variables(cmd: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PYTHON") {
            cmd.env_remove(name);
        }
    }
}
