//! Containers: one of LXC, one of podman, one of buildah. Their root directory holds nothing but a few files;
//! the programs are this machine's own, mounted read-only, so that nothing is downloaded.
//!
//! `podman run` of the image mounts them too.
//!
//! Where a kind of them does not start the testbed is up without it, and says why and whether that may be (see
//! [`super::absent`]).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Part, Testbed, absent};
use crate::sh::{self, Context, Result};

/// What keeps a container running: as its first process it also reaps orphans.
pub(super) const INIT: &str = "while :; do sleep 3600 & wait; done";
const NAME: &str = "tb";
/// A container that is there, and does not run.
const STOPPED: &str = "tb-stopped";

/// buildah's: it shares podman's storage, and so its names.
const WORKING: &str = "tb-working";

/// The containers.
pub(super) struct Containers;

impl Part for Containers {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        let place = Place::new(bed);
        make_root(&place.root_dir())?;
        let parts = [
            ("NAMESPACES", namespaces()),
            ("LXC", lxc(&place)),
            ("PODMAN", podman(&place)),
            ("BUILDAH", buildah(&place)),
        ];
        let confined = absent::confined();
        let mut facts: Vec<_> =
            parts.into_iter().map(|(name, started)| absent::fact(name, started, confined)).collect();
        facts.push(match sh::output(Command::new("docker").arg("--version")) {
            Ok(version) => ("MITOGEN_TESTBED_DOCKER".into(), version.trim().into()),
            Err(_) => absent::no_package(
                "DOCKER",
                "there is no docker client here, and its package brings a daemon",
            ),
        });
        facts.push(("MITOGEN_TESTBED_CONTAINER".into(), NAME.into()));
        facts.push(("MITOGEN_TESTBED_CONTAINER_WORKING".into(), WORKING.into()));
        facts.push(("MITOGEN_TESTBED_CONTAINER_STOPPED".into(), STOPPED.into()));
        Ok(facts)
    }

    fn down(&self, bed: &Testbed) -> Result<()> {
        let place = Place::new(bed);
        if !place.0.exists() {
            return Ok(());
        }
        // Each may never have come up.
        let _ = sh::output(Command::new("lxc-stop").arg("-P").arg(place.lxc()).args(["-k", "-n", NAME]));
        for (tool, args) in [
            ("buildah", &["rm", "-a"][..]),
            ("podman", &["rm", "-fa", "-t", "0"]),
            ("podman", &["rmi", "-fa"]),
        ] {
            let wrapper = place.tool(tool);
            if wrapper.exists() {
                let _ = sh::output(Command::new(wrapper).args(args));
            }
        }
        unmount_all(&place.0);
        remove_groups(&["libpod_parent", "lxc.pivot", "lxc.monitor.tb", "lxc.payload.tb"]);
        fs::remove_dir_all(&place.0).context(place.0.display())
    }
}

struct Place(PathBuf);

impl Place {
    fn new(bed: &Testbed) -> Place {
        Place(bed.dir().join("containers"))
    }

    fn lxc(&self) -> PathBuf {
        self.0.join("lxc")
    }

    fn root_dir(&self) -> PathBuf {
        self.0.join("root")
    }

    /// The tool with our storage, for everybody to call.
    fn tool(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }
}

/// A root directory to mount the machine's programs in.
pub(super) fn make_root(root: &Path) -> Result<()> {
    if root.join("etc/group").exists() {
        return Ok(());
    }
    for dir in ["usr", "proc", "sys", "dev", "tmp", "root", "etc", "run", "var/tmp"] {
        let dir = root.join(dir);
        fs::create_dir_all(&dir).context(dir.display())?;
    }
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
            let link = root.join(name);
            if !link.is_symlink() {
                symlink(&target, &link).context(link.display())?;
            }
        }
    }
    let _ = fs::copy("/etc/ld.so.cache", root.join("etc/ld.so.cache"));
    super::set_mode(&root.join("tmp"), 0o1777)?;
    let users = "root:x:0:0:root:/root:/bin/sh\nuser1:x:1000:1000::/tmp:/bin/sh\n";
    sh::write(&root.join("etc/passwd"), users, 0o644)?;
    sh::write(&root.join("etc/group"), "root:x:0:\nuser1:x:1000:\n", 0o644)
}

/// Whether a user of this machine gets namespaces of its own.
fn namespaces() -> Result<String> {
    sh::output(Command::new("unshare").args(["-Urpf", "true"])).map(|_| "user pid".into())
}

/// Returns the directory of its containers.
fn lxc(place: &Place) -> Result<String> {
    let dir = place.lxc();
    let shown = dir.display().to_string();
    for name in [NAME, STOPPED] {
        let config = format!(
            "lxc.uts.name = {name}-lxc
lxc.rootfs.path = dir:{}
lxc.net.0.type = empty
lxc.mount.auto = proc:mixed sys:ro
lxc.mount.entry = /usr usr none bind,ro 0 0
lxc.pty.max = 64
lxc.tty.max = 0
lxc.autodev = 1
lxc.apparmor.profile = unconfined
",
            place.root_dir().display()
        );
        sh::write(&dir.join(name).join("config"), config, 0o644)?;
    }
    let state = sh::output(Command::new("lxc-info").args(["-P", &shown, "-sHn", NAME])).unwrap_or_default();
    if state.trim() != "RUNNING" {
        let log = dir.join("log");
        let mut start = Command::new("lxc-start");
        start.args(["-P", &shown, "-n", NAME, "-d", "-o"]).arg(log).args(["--", "/bin/sh", "-c", INIT]);
        sh::output(&mut start)?;
    }
    let mut attach = Command::new("lxc-attach");
    sh::output(attach.args(["--clear-env", "-P", &shown, "-n", NAME, "--", "python3", "-V"]))?;
    Ok(shown)
}

/// Returns the program.
fn podman(place: &Place) -> Result<String> {
    let dir = place.0.display();
    let storage =
        format!("[storage]\ndriver = \"overlay\"\nrunroot = \"{dir}/run\"\ngraphroot = \"{dir}/graph\"\n");
    sh::write(&place.0.join("storage.conf"), storage, 0o644)?;
    // The defaults for limits exceed what this machine may have.
    let containers = "[containers]\nnetns = \"none\"\nlog_driver = \"k8s-file\"\nvolumes = [\"/usr:/usr:ro\"]\n\
        default_ulimits = [\"nofile=4096:4096\",\"nproc=8192:8192\"]\n\
        [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n";
    sh::write(&place.0.join("containers.conf"), containers, 0o644)?;
    for tool in ["podman", "buildah"] {
        let wrapper = format!(
            "#!/bin/sh\nexport CONTAINERS_STORAGE_CONF={dir}/storage.conf CONTAINERS_CONF={dir}/containers.conf\n\
             exec /usr/bin/{tool} \"$@\"\n"
        );
        sh::write(&place.tool(tool), wrapper, 0o755)?;
    }
    let podman = place.tool("podman");
    let output = |args: &[&str]| sh::output(Command::new(&podman).args(args));
    let running = output(&["inspect", "-f", "{{.State.Running}}", NAME]).unwrap_or_default();
    if running.trim() != "true" {
        let root = place.root_dir();
        let root = root.to_string_lossy();
        let _ = output(&["rm", "-f", "-t", "0", NAME, STOPPED]);
        let common = ["--network", "none", "--rootfs"];
        let named = |verb: &[&str], name| {
            let mut args = verb.to_vec();
            args.extend(["--name", name, "--hostname", "tb-podman"]);
            args.extend(common);
            args.extend([root.as_ref(), "/bin/sh", "-c", INIT]);
            output(&args)
        };
        named(&["run", "-d"], NAME)?;
        named(&["create"], STOPPED)?;
    }
    output(&["exec", NAME, "python3", "-V"])?;
    Ok(podman.display().to_string())
}

/// An image of nothing but links, and a working container of it. Returns the program.
fn buildah(place: &Place) -> Result<String> {
    let (podman, buildah) = (place.tool("podman"), place.tool("buildah"));
    if sh::output(Command::new(&podman).args(["image", "exists", "localhost/tb:std"])).is_err() {
        let tar = place.0.join("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(place.root_dir()).arg("-cf").arg(&tar);
        sh::output(pack.args(["--exclude=./proc/*", "--exclude=./dev/*", "--exclude=./usr/*", "."]))?;
        sh::output(Command::new(&podman).arg("import").arg(&tar).arg("localhost/tb:std"))?;
        fs::remove_file(&tar).context(tar.display())?;
    }
    if sh::output(Command::new(&buildah).args(["inspect", WORKING])).is_err() {
        let from = ["from", "--name", WORKING, "--network", "none", "-v", "/usr:/usr:ro", "localhost/tb:std"];
        sh::output(Command::new(&buildah).args(from))?;
    }
    sh::output(Command::new(&buildah).args(["run", "--", WORKING, "python3", "-V"]))?;
    Ok(buildah.display().to_string())
}

pub(super) fn unmount_all(dir: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let inside = format!("{}/", dir.display());
    let places: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    for place in places.iter().rev().filter(|place| place.starts_with(&inside)) {
        // One that stays is found, and said, before anything is removed.
        let _ = sh::output(Command::new("umount").arg(place));
    }
}

/// Containers leave their control groups behind. Only empty ones can be removed.
pub(super) fn remove_groups(names: &[&str]) {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return };
    for hierarchy in hierarchies.flatten() {
        for name in names {
            remove_empty_group(&hierarchy.path().join(name));
        }
    }
}

fn remove_empty_group(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty_group(&inner.path());
        }
    }
    let _ = fs::remove_dir(group);
}
