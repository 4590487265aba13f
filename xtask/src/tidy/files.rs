//! Every tracked file: its length, and words that have no place in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Finding;
use crate::sh::{self, Result};

/// Lines beyond which a file should be cut in two.
const LONG: usize = 400;
/// Lines beyond which it must be.
const TOO_LONG: usize = 800;

/// Halves of words that no tracked file may hold (halves, so that this file may be tracked): places on one person's
/// machine, and hosts of package registries, which a user's own configuration names.
const WORDS: &[(&str, &str)] = &[
    ("/wor", "k/"),
    ("/roo", "t/"),
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("static.crates", ".io"),
    ("index.crates", ".io"),
    ("npmjs", ".org"),
    ("deb.debian", ".org"),
];

/// Halves of what must not be left in code.
const MACROS: &[(&str, &str)] = &[("todo", "!("), ("unimplemented", "!("), ("dbg", "!(")];

/// Halves of what only one crate may hold.
const UNSAFE: &[(&str, &str)] =
    &[("unsafe", " {"), ("unsafe", " fn"), ("unsafe", " impl"), ("unsafe", " extern")];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for path in tracked(root) {
        // Corpora and golden bytes are not text.
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else { continue };
        check_file(&path, &text, &mut found);
    }
    Ok(found)
}

fn check_file(path: &Path, text: &str, found: &mut Vec<Finding>) {
    let name = path.display();
    let generated = path.ends_with("Cargo.lock") || path.components().any(|c| c.as_os_str() == "corpus");
    if generated {
        return;
    }
    let is_rust = path.extension().is_some_and(|e| e == "rs");
    let is_code = is_rust || path.extension().is_some_and(|e| e == "py");
    let lines = text.lines().count();
    if is_code && lines > TOO_LONG {
        found.push(Finding::fault(format!("{name}: {lines} lines; {TOO_LONG} is the end, {LONG} the aim")));
    } else if is_code && lines > LONG {
        found.push(Finding::hint(format!("{name}: {lines} lines; cut it near {LONG}")));
    }
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        for word in WORDS.iter().map(joined).filter(|word| line.contains(word.as_str())) {
            found.push(Finding::fault(format!("{place}: `{word}` has no place in a tracked file")));
        }
        if !is_rust || line.trim_start().starts_with("//") {
            continue;
        }
        for word in MACROS.iter().map(joined).filter(|word| line.contains(word.as_str())) {
            found.push(Finding::fault(format!("{place}: `{word}` is left")));
        }
        if !path.starts_with("mitogen-transport") {
            for word in UNSAFE.iter().map(joined).filter(|word| line.contains(word.as_str())) {
                found.push(Finding::fault(format!("{place}: `{word}` outside mitogen-transport")));
            }
        }
    }
}

fn joined(halves: &(&str, &str)) -> String {
    format!("{}{}", halves.0, halves.1)
}

/// The files of the repository, relative to its top: as git knows them, else all that do not look built.
fn tracked(root: &Path) -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    if let Ok(list) = sh::output(&mut git) {
        return list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    }
    let mut files = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let path = dir.join(&name);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != "target" && name != ".git" => dirs.push(path),
                Ok(kind) if kind.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check_file(Path::new(path), text, &mut found);
        found.into_iter().map(|f| f.text).collect()
    }

    #[test]
    fn long_files_and_forbidden_words_are_found() {
        assert!(texts("a/b.rs", "fn main() {}\n").is_empty());
        assert_eq!(texts("a/b.rs", &"\n".repeat(401)).len(), 1);
        assert_eq!(texts("a/b.md", &"\n".repeat(900)).len(), 0);
        assert_eq!(texts("README.md", &format!("see {}x\n", joined(&WORDS[0]))).len(), 1);
        let code = format!("{}\"later\")\n", joined(&MACROS[0]));
        assert_eq!(texts("a/b.rs", &code).len(), 1);
        let code = format!("{}}}\n", joined(&UNSAFE[0]));
        assert_eq!(texts("mitogen/src/lib.rs", &code).len(), 1);
        assert!(texts("mitogen-transport/src/pty.rs", &code).is_empty());
    }
}
