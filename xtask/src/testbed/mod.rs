//! `testbed up|down|env`: real servers and accounts on this machine for integration tests to connect to.
//!
//! Everything listens on loopback only. Several testbeds (one per state directory) can be up at once: each has servers
//! and ports of its own; what the machine has only once (accounts, the mode of the home directory that holds the
//! interpreters) is shared between them under a lock and goes when the last one goes. Only what a testbed made is
//! ever removed. A new kind of target is a new [`Part`].

mod absent;
mod accounts;
mod containers;
mod daemon;
mod kube;
mod lone;
mod lxd;
mod net;
mod otp;
mod pyenv;
mod shared;
mod ssh;
mod sudo_rs;
mod users;

pub(crate) use lone::LoneSshd;

use std::path::{Path, PathBuf};

use crate::sh::{self, Context, Result, fail};
use crate::system;

/// The options of `cargo xtask testbed`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Start what is not up yet; a second `up` repairs and adds
    Up,
    /// Stop and remove all that `up` made
    Down,
    /// Print the facts about a testbed that is up, as shell assignments
    Env,
}

/// One kind of target.
trait Part {
    /// Makes it be there, if it is not; returns facts for the `env` file.
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>>;
    /// Takes away what `up` made. Called in the opposite order, also after an `up` that failed half way.
    fn down(&self, bed: &Testbed) -> Result<()>;
}

/// The parts, in the order of their needs.
const PARTS: &[&dyn Part] = &[
    &pyenv::Pyenv,
    &users::Users,
    &otp::Otp,
    &accounts::Accounts,
    &sudo_rs::SudoRs,
    &ssh::Ssh,
    &containers::Containers,
    &lxd::Lxd,
    &kube::Kube,
    &net::Net,
];

/// The file that says that a test run started this testbed, and not a person.
const FOR_TESTS: &str = "for-tests";

/// A testbed by its state directory; it may be up or not.
pub(crate) struct Testbed {
    dir: PathBuf,
}

impl Testbed {
    /// The directory is `MITOGEN_TESTBED`, else one that all working copies on this machine share.
    pub(crate) fn from_env() -> Self {
        let dir = std::env::var_os("MITOGEN_TESTBED").filter(|v| !v.is_empty());
        Testbed { dir: dir.map_or_else(|| PathBuf::from("/var/tmp/mitogen-testbed"), PathBuf::from) }
    }

    /// The state directory: `ssh_config`, `ssh/` and `env` are in it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts what is not up, until `down` is asked for.
    pub(crate) fn up(&self) -> Result<()> {
        let _hold = self.start(|marker, _| {
            // Also one that a test run started: somebody wants it to stay now.
            let _ = std::fs::remove_file(marker);
            Ok(())
        })?;
        Ok(())
    }

    /// Starts what is not up, for a test run: it is not taken down behind the back of whoever keeps the result, and if
    /// it was not up before, the last such run takes it down.
    pub(crate) fn up_for_tests(&self) -> Result<shared::Hold> {
        self.start(|marker, was_up| if was_up { Ok(()) } else { sh::write(marker, "", 0o644) })
    }

    fn start(&self, mark: impl FnOnce(&Path, bool) -> Result<()>) -> Result<shared::Hold> {
        if let Err(why) = system::can_set_up() {
            fail!("the testbed makes accounts and starts servers, which cannot be done here: {why}");
        }
        let machine = shared::Machine::lock()?;
        std::fs::create_dir_all(&self.dir).context(self.dir.display())?;
        set_mode(&self.dir, 0o755)?;
        machine.claim(&self.dir)?;
        let hold = shared::Hold::shared(&self.dir)?;
        mark(&self.dir.join(FOR_TESTS), self.dir.join("env").exists())?;
        let mut env = String::from("# facts of this testbed, for a shell to read\n");
        env += &format!("MITOGEN_TESTBED={}\n", self.dir.display());
        for part in PARTS {
            for (name, value) in part.up(self)? {
                env += &format!("{name}='{value}'\n");
            }
        }
        sh::write(&self.dir.join("env"), env, 0o644)?;
        Ok(hold)
    }

    /// Stops and removes all of it; what the machine has once only goes with the last testbed.
    pub(crate) fn down(&self) -> Result<()> {
        if let Err(why) = system::can_set_up() {
            fail!("cannot take the testbed down: {why}");
        }
        self.take_down(&shared::Machine::lock()?)
    }

    /// [`Testbed::down`] after a test run, or why the testbed stays.
    pub(crate) fn down_after_tests(&self, hold: Option<shared::Hold>) -> Result<Option<&'static str>> {
        let machine = shared::Machine::lock()?;
        drop(hold);
        if shared::Hold::taken(&self.dir) {
            return Ok(Some("another test run still uses the testbed: the last one takes it down"));
        }
        if !self.dir.join(FOR_TESTS).exists() {
            return Ok(Some("the testbed was up before and stays: `cargo xtask testbed down` takes it away"));
        }
        self.take_down(&machine).map(|()| None)
    }

    fn take_down(&self, machine: &shared::Machine) -> Result<()> {
        machine.release(&self.dir)?;
        let mut first_error = Ok(());
        for part in PARTS.iter().rev() {
            let done = part.down(self);
            first_error = first_error.and(done);
        }
        // A directory of ours, and no other that somebody named by mistake.
        if self.dir.join("in-use").exists() {
            // What is still mounted there is not ours to remove.
            let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
            let inside = format!(" {}/", self.dir.display());
            if let Some(mount) = mounts.lines().find(|line| line.contains(&inside)) {
                fail!("still mounted in {}: {mount}", self.dir.display());
            }
            std::fs::remove_dir_all(&self.dir).context(self.dir.display())?;
        }
        machine.tidy_up();
        first_error
    }

    fn env(&self) -> Result<String> {
        let path = self.dir.join("env");
        if !path.exists() {
            fail!("no testbed in {}: run `cargo xtask testbed up` as root on Debian", self.dir.display());
        }
        sh::read(&path)
    }
}

/// Runs `cargo xtask testbed ...`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let bed = Testbed::from_env();
    match args.action {
        Action::Up => {
            system::install()?;
            bed.up()?;
            print!("{}", bed.env()?);
        }
        Action::Down => bed.down()?,
        Action::Env => print!("{}", bed.env()?),
    }
    Ok(true)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).context(path.display())
}
