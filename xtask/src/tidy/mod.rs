//! `tidy`: the rules that the house has for itself, checked by the house. It also runs as a test.

mod files;
mod graph;
mod manifests;

use std::fmt;
use std::path::Path;

use crate::sh::{self, Result};

/// Something that is not as the rules want it.
#[derive(Debug)]
pub struct Finding {
    /// A fault fails the check; the rest is a hint.
    pub fault: bool,
    /// Where and what, and what to do.
    pub text: String,
}

impl Finding {
    fn fault(text: impl Into<String>) -> Self {
        Finding { fault: true, text: text.into() }
    }

    fn hint(text: impl Into<String>) -> Self {
        Finding { fault: false, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.fault { "fault" } else { "hint" }, self.text)
    }
}

/// Applies every rule to the repository at `root`.
///
/// # Errors
/// When the repository cannot be examined at all (no `cargo metadata`, unreadable files).
pub fn findings(root: &Path) -> Result<Vec<Finding>> {
    let crates = graph::members(root)?;
    let mut found = graph::check(&crates);
    found.extend(manifests::check(root, &crates)?);
    found.extend(files::check(root)?);
    Ok(found)
}

/// Runs `cargo xtask tidy`: prints the findings, true when none is a fault.
pub(crate) fn run() -> Result<bool> {
    let found = findings(&sh::root()?)?;
    for finding in &found {
        eprintln!("{finding}");
    }
    let faults = found.iter().filter(|f| f.fault).count();
    eprintln!("tidy: {faults} faults, {} hints", found.len() - faults);
    Ok(faults == 0)
}
