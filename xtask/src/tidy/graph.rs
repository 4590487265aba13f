//! Who may depend on whom, by `cargo metadata`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Finding;
use crate::sh::{self, Context, Result, fail};

/// The only edges there may be between crates of this workspace (dependencies of tests are held to them too).
const EDGES: &[(&str, &[&str])] = &[
    ("mitogen-wire", &[]),
    ("mitogen-router", &["mitogen-wire"]),
    ("mitogen-bootstrap", &["mitogen-wire"]),
    ("mitogen-importer", &["mitogen-wire"]),
    ("mitogen-fileservice", &["mitogen-wire"]),
    ("mitogen-transport", &["mitogen-bootstrap", "mitogen-wire"]),
    (
        "mitogen",
        &[
            "mitogen-transport",
            "mitogen-router",
            "mitogen-bootstrap",
            "mitogen-importer",
            "mitogen-fileservice",
            "mitogen-wire",
        ],
    ),
    ("xtask", &[]),
    (
        "fuzz",
        &["mitogen-wire", "mitogen-router", "mitogen-bootstrap", "mitogen-importer", "mitogen-fileservice"],
    ),
];

/// Crates without IO.
pub(super) const PURE: &[&str] =
    &["mitogen-wire", "mitogen-router", "mitogen-bootstrap", "mitogen-importer", "mitogen-fileservice"];

/// What a crate without IO has no use for. `tokio-util` may stand behind a feature: it is only traits there.
const NOT_IN_PURE: &[&str] =
    &["tokio", "mio", "rustix", "libc", "nix", "getrandom", "rand", "async-trait", "socket2"];

/// A crate of the workspace.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) dir: PathBuf,
    /// The root file of its library, or of its program when it has no library.
    pub(super) root_file: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Of tests and examples only.
    dev: bool,
    optional: bool,
}

pub(super) fn members(root: &Path) -> Result<Vec<Member>> {
    let mut cmd = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cmd.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]);
    let json: Value = serde_json::from_str(&sh::output(&mut cmd)?).context("the output of cargo metadata")?;
    let Some(packages) = json["packages"].as_array() else { fail!("cargo metadata names no packages") };
    packages.iter().map(member).collect()
}

fn member(package: &Value) -> Result<Member> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let name = text(&package["name"]);
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let empty = Vec::new();
    let targets = package["targets"].as_array().unwrap_or(&empty);
    let of_kind = |kind: &str| {
        targets.iter().find(|t| t["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind)))
    };
    let Some(target) = of_kind("lib").or_else(|| of_kind("bin")) else {
        fail!("{name} has no library and no program")
    };
    let dependencies = package["dependencies"].as_array().unwrap_or(&empty).iter();
    Ok(Member {
        root_file: PathBuf::from(text(&target["src_path"])),
        dir: manifest.parent().unwrap_or(Path::new("")).to_path_buf(),
        dependencies: dependencies
            .map(|d| Dependency {
                name: text(&d["name"]),
                dev: d["kind"] == "dev",
                optional: d["optional"] == true,
            })
            .collect(),
        name,
    })
}

pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let mut found = Vec::new();
    for member in members {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == member.name) else {
            found.push(Finding::fault(format!(
                "{}: no place in the graph of xtask/src/tidy/graph.rs",
                member.name
            )));
            continue;
        };
        for dep in &member.dependencies {
            let ours = EDGES.iter().any(|(name, _)| *name == dep.name);
            if ours && !allowed.contains(&dep.name.as_str()) && dep.name != member.name {
                found.push(Finding::fault(format!("{} may not depend on {}", member.name, dep.name)));
            }
            if PURE.contains(&member.name.as_str()) && !dep.dev {
                let runtime =
                    NOT_IN_PURE.contains(&dep.name.as_str()) || (dep.name == "tokio-util" && !dep.optional);
                if runtime {
                    found.push(Finding::fault(format!(
                        "{} does no IO and has no use for {}",
                        member.name, dep.name
                    )));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, deps: &[(&str, bool)]) -> Member {
        let dependencies =
            deps.iter().map(|(name, dev)| Dependency { name: name.to_string(), dev: *dev, optional: false });
        Member {
            name: name.into(),
            dir: PathBuf::new(),
            root_file: PathBuf::new(),
            dependencies: dependencies.collect(),
        }
    }

    #[test]
    fn pure_crates_know_only_the_wire_and_no_runtime() {
        let texts = |m: Member| check(&[m]).into_iter().map(|f| f.text).collect::<Vec<_>>();
        assert!(texts(member("mitogen-router", &[("mitogen-wire", false), ("bytes", false)])).is_empty());
        assert_eq!(
            texts(member("mitogen-router", &[("mitogen-bootstrap", true)])),
            ["mitogen-router may not depend on mitogen-bootstrap"]
        );
        assert_eq!(
            texts(member("mitogen-wire", &[("tokio", false)])),
            ["mitogen-wire does no IO and has no use for tokio"]
        );
        assert!(texts(member("mitogen-wire", &[("tokio", true)])).is_empty());
        assert_eq!(texts(member("newcomer", &[])).len(), 1);
    }
}
