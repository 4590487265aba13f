//! What the machine has only once: a record of it under one lock, and who uses it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::sh::{self, Context, Result};

const DIR: &str = "/var/lib/mitogen-testbed";

/// The machine-wide record, locked while this value lives.
pub(super) struct Machine {
    _lock: File,
}

impl Machine {
    pub(super) fn lock() -> Result<Self> {
        let path = Path::new(DIR).join("lock");
        loop {
            std::fs::create_dir_all(Path::new(DIR).join("claims")).context(DIR)?;
            let lock = File::create(&path).context(path.display())?;
            flock(&lock, FlockOperation::LockExclusive).context(path.display())?;
            // Whoever had it before may have removed the record, and the lock with it: then this is a lock on nothing.
            if is_at(&lock, &path) {
                return Ok(Machine { _lock: lock });
            }
        }
    }

    /// Says that the testbed in `dir` uses the shared things.
    pub(super) fn claim(&self, dir: &Path) -> Result<()> {
        sh::write(&claim_path(dir), format!("{}\n", dir.display()), 0o644)
    }

    pub(super) fn release(&self, dir: &Path) -> Result<()> {
        match std::fs::remove_file(claim_path(dir)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context(dir.display()),
            _ => Ok(()),
        }
    }

    /// Removes the record when nothing is left in it.
    pub(super) fn tidy_up(&self) {
        if !claimed()
            && record("users").is_empty()
            && record("home-mode").is_empty()
            && record("accounts").is_empty()
        {
            let _ = std::fs::remove_dir_all(DIR);
        }
    }
}

/// Whether `path` still names this open file.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(theirs)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())
}

fn claim_path(dir: &Path) -> PathBuf {
    let name = dir.to_string_lossy().replace(['/', '.'], "_");
    Path::new(DIR).join("claims").join(name)
}

/// Whether any testbed still uses the shared things. A testbed whose directory is gone does not.
pub(super) fn claimed() -> bool {
    let Ok(claims) = std::fs::read_dir(Path::new(DIR).join("claims")) else { return false };
    claims.flatten().any(|claim| {
        let dir = std::fs::read_to_string(claim.path()).unwrap_or_default();
        Path::new(dir.trim()).is_dir()
    })
}

/// Where a shared file lies.
pub(super) fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The lines of a shared record: what testbeds made on this machine.
pub(super) fn record(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(name)).unwrap_or_default();
    text.lines().map(String::from).collect()
}

pub(super) fn set_record(name: &str, lines: &[String]) -> Result<()> {
    let path = path(name);
    if lines.is_empty() {
        let _ = std::fs::remove_file(&path);
        return Ok(());
    }
    sh::write(&path, lines.join("\n") + "\n", 0o644)
}

/// A lock on one testbed by a test run that uses it.
pub(crate) struct Hold {
    _file: File,
}

impl Hold {
    pub(super) fn shared(dir: &Path) -> Result<Self> {
        let path = dir.join("in-use");
        let file = File::create(&path).context(path.display())?;
        flock(&file, FlockOperation::LockShared).context(path.display())?;
        Ok(Hold { _file: file })
    }

    /// Whether anybody holds the testbed in `dir`. New holds are made under the machine's lock only, so an answer stays
    /// true for a caller who has that.
    pub(super) fn taken(dir: &Path) -> bool {
        let Ok(file) = File::open(dir.join("in-use")) else { return false };
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
    }
}
