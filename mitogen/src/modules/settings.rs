//! What a program says about its modules.

use super::interpreter;
use bytes::Bytes;
use mitogen_importer::{ModuleName, NameError, Policy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module that the program itself holds, in the place of a file.
#[derive(Clone, Debug)]
pub struct ModuleSource {
    pub(crate) name: String,
    pub(crate) source: Bytes,
    pub(crate) package: bool,
    pub(crate) resources: BTreeMap<String, Bytes>,
}

impl ModuleSource {
    /// A module of this full name. As `__main__` it needs a main guard, as a script does.
    pub fn new(name: impl Into<String>, source: impl Into<Bytes>) -> ModuleSource {
        ModuleSource { name: name.into(), source: source.into(), package: false, resources: BTreeMap::new() }
    }

    /// Makes a package of it, even if no module is given that lies within it.
    #[must_use]
    pub fn package(mut self) -> ModuleSource {
        self.package = true;
        self
    }

    /// A data file of this package, for `importlib.resources`.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, content: impl Into<Bytes>) -> ModuleSource {
        self.resources.insert(name.into(), content.into());
        self.package = true;
        self
    }
}

/// As [`ModuleSource`], checked.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) path: String,
    pub(crate) source: Bytes,
    pub(crate) package: bool,
    pub(crate) resources: BTreeMap<String, Bytes>,
}

/// Where modules are found, and which may be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModuleSettings {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) interpreter: Option<PathBuf>,
    pub(crate) script: Option<PathBuf>,
    pub(crate) given: BTreeMap<ModuleName, Given>,
    /// The directory that holds our namesake, the package `mitogen` of other peers. Nothing else is found there, and
    /// the package nowhere else.
    pub(crate) namesake: Option<PathBuf>,
    pub(crate) policy: Policy,
    /// The first name that was none.
    pub(crate) refused: Option<(String, NameError)>,
}

impl ModuleSettings {
    /// Whether there is anything to find at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
            && self.interpreter.is_none()
            && self.script.is_none()
            && self.given.is_empty()
            && self.namesake.is_none()
    }

    pub(crate) fn add_path(&mut self, path: &Path) {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
    }

    pub(crate) fn add_virtualenv(&mut self, root: &Path) {
        for path in interpreter::virtualenv_path(root) {
            self.add_path(&path);
        }
    }

    pub(crate) fn add_script(&mut self, script: &Path) {
        let folder = script.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        self.paths.retain(|known| *known != folder);
        self.paths.insert(0, folder);
        self.script = Some(script.to_owned());
    }

    pub(crate) fn add_source(&mut self, module: ModuleSource) {
        let ModuleSource { name, source, package, resources } = module;
        if let Some(checked) = self.name(&name) {
            // No file: a name that shows where it came from, and below which a package's data files are.
            let path = format!("<given>/{}", name.replace('.', "/"));
            self.given.insert(checked, Given { path, source, package, resources });
        }
    }

    pub(crate) fn block(&mut self, name: &str) {
        if let Some(name) = self.name(name) {
            self.policy.block(name);
        }
    }

    pub(crate) fn override_with(&mut self, name: &str) {
        if let Some(name) = self.name(name) {
            self.policy.override_with(name);
        }
    }

    /// Errors wait until the router is built.
    fn name(&mut self, name: &str) -> Option<ModuleName> {
        match ModuleName::parse(name) {
            Ok(name) => Some(name),
            Err(error) => {
                self.refused.get_or_insert((name.to_owned(), error));
                None
            }
        }
    }
}
