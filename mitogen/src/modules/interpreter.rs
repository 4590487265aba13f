//! What an interpreter has on its path, asked of it once; what a virtualenv has on it, asked of nobody.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Writes what is on the path and is not the standard library.
const QUESTION: &str = "import os, sys\n\
    own = os.path.dirname(os.__file__)\n\
    for p in sys.path:\n\
    \x20   if p and os.path.exists(p) and p != own and not p.endswith('lib-dynload') and not \
    (p.startswith(own) and 'packages' not in p) and 'python%d%d.zip' % sys.version_info[:2] not in p:\n\
    \x20       sys.stdout.write(p + '\\n')\n";

/// The search path of an interpreter, without its standard library.
pub(crate) fn search_path(interpreter: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new(interpreter).args(["-c", QUESTION]).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
        return Err(io::Error::other(format!("it ended with {}: {last}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().map(PathBuf::from).collect())
}

/// The directories of a virtualenv that modules are in, and those that its `.pth` files add.
pub(crate) fn virtualenv_path(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64"] {
        let Ok(entries) = std::fs::read_dir(root.join(lib)) else { continue };
        let folders =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("python"));
        let mut folders: Vec<PathBuf> = folders.map(|entry| entry.path().join("site-packages")).collect();
        folders.sort();
        for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
            // `lib64` is `lib` in most of them.
            let known =
                |other: &PathBuf| std::fs::canonicalize(other).ok() == std::fs::canonicalize(&folder).ok();
            if !found.iter().any(known) {
                let added = added_by_pth_files(&folder);
                found.push(folder);
                found.extend(added);
            }
        }
    }
    found
}

fn added_by_pth_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_pth = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "pth");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_pth).collect();
    files.sort();
    let mut added = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            // Lines of code are for Python alone.
            if !line.starts_with("import ") && !line.starts_with("import\t") {
                let path = folder.join(line);
                added.extend(path.exists().then_some(path));
            }
        }
    }
    added
}
