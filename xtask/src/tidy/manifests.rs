//! Cargo.toml, clippy.toml and the root file of every crate, and the page that describes them.

use std::path::Path;

use super::Finding;
use super::graph::{Member, PURE};
use crate::sh::{self, Result};

/// What the `clippy.toml` of a crate without IO must disallow.
const DISALLOWED: &[&str] = &[
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::fs::File",
    "std::net::TcpStream",
    "std::process::Command",
];

/// The one crate that may hold `unsafe`.
const MAY_BE_UNSAFE: &str = "mitogen-transport";

pub(super) fn check(root: &Path, members: &[Member]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let mut manifests = Vec::new();
    for member in members {
        let name = &member.name;
        if !architecture.contains(&format!("**{name}**")) {
            found.push(Finding::fault(format!("ARCHITECTURE.md: **{name}** is not described")));
        }
        let manifest = sh::read(&member.dir.join("Cargo.toml"))?;
        check_manifest(name, &manifest, &mut found);
        let sources = rust_sources(&member.dir);
        for dependency in dependencies(&manifest).filter(|dependency| !mentions(&sources, dependency)) {
            found.push(Finding::fault(format!("{name} depends on {dependency} and does not use it")));
        }
        manifests.push(manifest);
        let code = sh::read(&member.root_file)?;
        if !code.contains("#![deny(missing_docs)]") && !code.contains("#![forbid(missing_docs)]") {
            found.push(Finding::fault(format!("{name}: its root file lacks #![deny(missing_docs)]")));
        }
        if name != MAY_BE_UNSAFE && name != "fuzz" && !code.contains("#![forbid(unsafe_code)]") {
            found.push(Finding::fault(format!("{name}: its root file lacks #![forbid(unsafe_code)]")));
        }
        if PURE.contains(&name.as_str()) {
            let clippy = std::fs::read_to_string(member.dir.join("clippy.toml")).unwrap_or_default();
            for path in DISALLOWED.iter().filter(|path| !clippy.contains(&format!("\"{path}\""))) {
                found.push(Finding::fault(format!("{name}/clippy.toml does not disallow {path}")));
            }
        }
    }
    let top = sh::read(&root.join("Cargo.toml"))?;
    for dependency in dependencies(&top) {
        if !manifests.iter().any(|manifest| dependencies(manifest).any(|name| name == dependency)) {
            found.push(Finding::fault(format!("[workspace.dependencies]: nobody takes {dependency}")));
        }
    }
    Ok(found)
}

/// The names in all the sections of dependencies.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    manifest.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']).ends_with("dependencies");
            return None;
        }
        let name = line.split(['.', '=', ' ']).next().filter(|name| inside && !name.is_empty())?;
        (!name.starts_with('#')).then_some(name)
    })
}

/// The text of every Rust file of a crate.
fn rust_sources(dir: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for path in std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("target") {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                texts.extend(std::fs::read_to_string(path));
            }
        }
    }
    texts
}

/// Whether the crate `dependency` is named in code, as a word.
fn mentions(sources: &[String], dependency: &str) -> bool {
    let name = dependency.replace('-', "_");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    sources.iter().flat_map(|text| text.lines()).filter(|line| !line.trim_start().starts_with("//")).any(
        |line| {
            line.match_indices(&name).any(|(at, _)| {
                !line[..at].ends_with(is_word) && !line[at + name.len()..].starts_with(is_word)
            })
        },
    )
}

/// Versions, lints and the compiler's version stand in the workspace's Cargo.toml, once.
fn check_manifest(name: &str, manifest: &str, found: &mut Vec<Finding>) {
    for wanted in ["version.workspace = true", "edition.workspace = true", "rust-version.workspace = true"] {
        if !manifest.lines().any(|line| line.trim() == wanted) {
            found.push(Finding::fault(format!("{name}/Cargo.toml lacks `{wanted}`")));
        }
    }
    if !manifest.contains("[lints]\nworkspace = true") {
        found.push(Finding::fault(format!("{name}/Cargo.toml does not take the workspace's lints")));
    }
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if section.ends_with("dependencies") && !line.is_empty() && !line.starts_with('#') {
            let inherits = line.contains(".workspace = true") || line.contains("workspace = true");
            if !inherits {
                found.push(Finding::fault(format!(
                    "{name}/Cargo.toml: `{line}` belongs into [workspace.dependencies], with a word on why"
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_listed_and_looked_for_as_words() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# why\nserde-pickle.workspace = true\n\
                        [dev-dependencies]\ntokio = { workspace = true }\n[[bench]]\nharness = false\n";
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["serde-pickle", "tokio"]);
        let code = |text: &str| vec![text.to_string()];
        assert!(mentions(&code("use serde_pickle::de;"), "serde-pickle"));
        assert!(!mentions(&code("// use tokio::sync;\nuse tokio_util::codec;"), "tokio"));
    }

    #[test]
    fn a_version_in_a_crate_s_own_manifest_is_a_fault() {
        let good = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                    [lints]\nworkspace = true\n[dependencies]\nbytes.workspace = true\n";
        let mut found = Vec::new();
        check_manifest("x", good, &mut found);
        assert!(found.is_empty(), "{found:?}");
        check_manifest("x", &good.replace("bytes.workspace = true", "bytes = \"1\""), &mut found);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
