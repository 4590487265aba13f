//! A daemon of LXD's with its state in the testbed, and two containers: one that runs and one that does not. Their
//! root directory is that of [`super::containers`], the programs are this machine's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Part, Testbed, absent, containers, daemon};
use crate::sh::{self, Context, Result};

const RUNS: &str = "tb-lxd";
const STOPPED: &str = "tb-lxd-stopped";

/// LXD and its containers.
pub(super) struct Lxd;

impl Part for Lxd {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        Ok(vec![absent::fact("LXD", Place::new(bed).up(bed), absent::confined())])
    }

    fn down(&self, bed: &Testbed) -> Result<()> {
        let place = Place::new(bed);
        if !place.dir.exists() {
            return Ok(());
        }
        for args in [&["delete", "-f", RUNS, STOPPED][..], &["image", "delete", "tb"]] {
            let _ = sh::output(place.client().args(args));
        }
        let _ = sh::output(place.command("lxd").arg("shutdown"));
        daemon::stop(&place.file("pid"), &place.mark())?;
        containers::unmount_all(&place.dir);
        containers::remove_groups(&["lxc.pivot", "lxc.monitor.tb-lxd", "lxc.payload.tb-lxd"]);
        fs::remove_dir_all(&place.dir).context(place.dir.display())
    }
}

struct Place {
    dir: PathBuf,
}

impl Place {
    fn new(bed: &Testbed) -> Place {
        Place { dir: bed.dir().join("lxd") }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What is in the command line of our daemon, and of no other.
    fn mark(&self) -> String {
        self.file("log").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LXD_DIR", self.file("state")).env("HOME", self.file("home"));
        // It would look for news of its images.
        command.env("https_proxy", "http://127.0.0.1:9").env("HTTPS_PROXY", "http://127.0.0.1:9");
        command
    }

    fn client(&self) -> Command {
        self.command("lxc")
    }

    fn asked(&self, args: &[&str]) -> Result<String> {
        sh::output(self.client().args(args))
    }

    /// Returns the client, for everybody to call.
    fn up(&self, bed: &Testbed) -> Result<String> {
        for dir in ["state", "home"] {
            let dir = self.file(dir);
            fs::create_dir_all(&dir).context(dir.display())?;
        }
        let log = self.file("out");
        let mut lxd = self.command("lxd");
        daemon::start(lxd.args(["--logfile", &self.mark()]), &self.file("pid"), &self.mark(), &log)?;
        daemon::wait_for("lxd", &log, || self.asked(&["info"]).is_ok())?;
        if self.asked(&["storage", "show", "default"]).is_err() {
            self.asked(&["storage", "create", "default", "dir"])?;
            self.asked(&["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"])?;
        }
        self.image(bed)?;
        for name in [RUNS, STOPPED] {
            if self.asked(&["info", name]).is_err() {
                let init = "raw.lxc=lxc.init.cmd = /etc/tb-init";
                self.asked(&["init", "tb", name, "-c", "security.privileged=true", "-c", init])?;
                let usr = ["config", "device", "add", name, "usr", "disk", "source=/usr", "path=/usr"];
                self.asked(&[&usr[..], &["readonly=true"]].concat())?;
            }
        }
        if !self.asked(&["list", RUNS, "-c", "s", "-f", "csv"])?.starts_with("RUNNING") {
            self.asked(&["start", RUNS])?;
        }
        self.asked(&["exec", "--mode=non-interactive", RUNS, "--", "python3", "-V"])?;
        let client = self.file("bin/lxc");
        let dir = self.dir.display();
        let script = format!(
            "#!/bin/sh\nexport LXD_DIR=\"${{LXD_DIR-{dir}/state}}\" \
             LXD_CONF=\"${{LXD_CONF-{dir}/home}}\"\nexec /usr/bin/lxc \"$@\"\n"
        );
        sh::write(&client, script, 0o755)?;
        Ok(client.display().to_string())
    }

    fn image(&self, bed: &Testbed) -> Result<()> {
        if self.asked(&["image", "info", "tb"]).is_ok() {
            return Ok(());
        }
        let tree = self.file("image");
        let root = tree.join("rootfs");
        containers::make_root(&root)?;
        let init = format!("#!/bin/sh\n{}\n", containers::INIT);
        sh::write(&root.join("etc/tb-init"), init, 0o755)?;
        let about = format!(
            "architecture: {}\ncreation_date: 1700000000\nproperties: {{os: tb, release: '1', description: tb}}\n",
            std::env::consts::ARCH
        );
        sh::write(&tree.join("metadata.yaml"), about, 0o644)?;
        let tar = bed.dir().join("lxd/image.tar");
        sh::output(Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(&tar).arg("."))?;
        self.asked(&["image", "import", &tar.to_string_lossy(), "--alias", "tb"])?;
        fs::remove_dir_all(&tree).context(tree.display())?;
        fs::remove_file(&tar).context(tar.display())
    }
}
