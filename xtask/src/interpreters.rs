//! The CPythons of this machine: never by an absolute path, always by PYENV_ROOT, the usual pyenv folder, and PATH.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sh;

/// One interpreter.
#[derive(Clone, Debug)]
pub(crate) struct Interpreter {
    /// `2.7.18`
    pub(crate) version: String,
    pub(crate) path: PathBuf,
}

impl Interpreter {
    /// `(2, 7)`
    pub(crate) fn minor(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|p| p.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

/// Where pyenv keeps its interpreters, if there is a pyenv.
pub(crate) fn pyenv_versions() -> Option<PathBuf> {
    let root = match std::env::var_os("PYENV_ROOT") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".pyenv"),
    };
    let versions = root.join("versions");
    versions.is_dir().then_some(versions)
}

/// All of them, one per minor version (pyenv's before PATH's), oldest first.
pub(crate) fn all() -> Vec<Interpreter> {
    let mut found: BTreeMap<(u32, u32), Interpreter> = BTreeMap::new();
    let mut paths = Vec::new();
    if let Some(entries) = pyenv_versions().and_then(|dir| std::fs::read_dir(dir).ok()) {
        let mut dirs: Vec<PathBuf> = entries.flatten().map(|e| e.path().join("bin/python")).collect();
        dirs.sort();
        paths.extend(dirs);
    }
    let minors = (6..=20).map(|n| format!("python3.{n}"));
    for name in minors.chain(["python2.4", "python2.6", "python2.7", "python3"].map(String::from)) {
        paths.extend(sh::find(&name));
    }
    for path in paths {
        let Some(version) = version(&path) else { continue };
        let interpreter = Interpreter { version, path };
        found.entry(interpreter.minor()).or_insert(interpreter);
    }
    found.into_values().collect()
}

/// Asks the interpreter itself: a pyenv shim for a version that is not there fails here, and is not listed.
fn version(path: &Path) -> Option<String> {
    let mut cmd = Command::new(path);
    cmd.args(["-SEc", "import sys; sys.stdout.write('%d.%d.%d' % sys.version_info[:3])"]);
    sh::output(&mut cmd).ok().filter(|v| v.contains('.'))
}

/// The interpreter for tools and benchmarks: `MITOGEN_PYTHON`, else pyenv's 3.11, else the newest 3.
pub(crate) fn preferred() -> Option<Interpreter> {
    if let Some(path) = std::env::var_os("MITOGEN_PYTHON").map(PathBuf::from) {
        return version(&path).map(|version| Interpreter { version, path });
    }
    let all = all();
    let by_minor = |minor| all.iter().find(|i| i.minor() == minor).cloned();
    by_minor((3, 11)).or_else(|| all.iter().rfind(|i| i.minor().0 == 3).cloned())
}
