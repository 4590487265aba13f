//! pyenv's interpreters for every account: they lie in one user's home directory, which others may not enter.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::{Part, Testbed, set_mode, shared};
use crate::interpreters;
use crate::sh::{Context, Result};

const RECORD: &str = "home-mode";

/// Lets others pass through (not list) the home directory that holds the interpreters; the old mode is put back by `down`.
pub(super) struct Pyenv;

impl Part for Pyenv {
    fn up(&self, _bed: &Testbed) -> Result<Vec<(String, String)>> {
        let Some(versions) = interpreters::pyenv_versions() else { return Ok(Vec::new()) };
        let mut record = shared::record(RECORD);
        for dir in versions.ancestors().filter(|dir| dir.parent().is_some()) {
            let mode = std::fs::metadata(dir).context(dir.display())?.permissions().mode() & 0o7777;
            if mode & 0o001 != 0 {
                continue;
            }
            record.push(format!("{mode:o} {}", dir.display()));
            // Written before the change: an interrupted `up` can be undone.
            shared::set_record(RECORD, &record)?;
            set_mode(dir, mode | 0o001)?;
        }
        Ok(vec![("MITOGEN_TESTBED_PYENV".into(), versions.display().to_string())])
    }

    fn down(&self, _bed: &Testbed) -> Result<()> {
        if shared::claimed() {
            return Ok(());
        }
        for line in shared::record(RECORD) {
            let Some((mode, dir)) = line.split_once(' ') else { continue };
            let dir = PathBuf::from(dir);
            if let (Ok(mode), true) = (u32::from_str_radix(mode, 8), dir.is_dir()) {
                set_mode(&dir, mode)?;
            }
        }
        shared::set_record(RECORD, &[])
    }
}
