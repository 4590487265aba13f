//! Who may fetch what.
//!
//! Paths are compared by component, never as strings, and never looked up: whoever registers says
//! what a path really is (its target, where it leads over symbolic links), and whoever opens a
//! permitted one must not follow a link that leads out of the [`Permit`].

use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The files that other contexts may fetch.
#[derive(Debug)]
pub struct Registry {
    /// Whose word counts here: this context and its ancestors.
    trusted: BTreeSet<ContextId>,
    /// What was registered, and what it really is.
    files: BTreeMap<PathBuf, PathBuf>,
    prefixes: BTreeMap<PathBuf, PathBuf>,
}

/// The permission to open one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// This path, over which no symbolic link may lead elsewhere.
    File(PathBuf),
    /// What lies below this directory; links must not leave it.
    Below {
        /// The directory, as it really is.
        root: PathBuf,
        /// The way from there: plain names only.
        rest: PathBuf,
    },
    /// Whatever it is: a trusted context asks.
    Anything(PathBuf),
}

/// Why something was not registered, or may not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Only this context and its ancestors register files.
    #[error("context {who} may not register files here")]
    NotTrusted {
        /// Who tried.
        who: ContextId,
    },
    /// The path is relative, or goes up by `..`.
    #[error("{} is no absolute path without `..`", .path.display())]
    NotPlain {
        /// The path.
        path: PathBuf,
    },
    /// Nobody registered the path. The words are upstream's.
    #[error("Path '{}' is not registered with FileService.", .path.display())]
    Unregistered {
        /// The path.
        path: PathBuf,
    },
}

impl Registry {
    /// An empty registry of a context: its own id, and those of its ancestors.
    pub fn new(own: ContextId, ancestors: impl IntoIterator<Item = ContextId>) -> Registry {
        Registry {
            trusted: ancestors.into_iter().chain([own]).collect(),
            files: BTreeMap::new(),
            prefixes: BTreeMap::new(),
        }
    }

    /// Lets anybody fetch one file. `real` is what the path leads to now.
    ///
    /// # Errors
    /// [`RegistryError::NotTrusted`], [`RegistryError::NotPlain`].
    pub fn register(&mut self, who: ContextId, path: &Path, real: &Path) -> Result<(), RegistryError> {
        let entry = self.checked(who, path, real)?;
        self.files.insert(entry.0, entry.1);
        Ok(())
    }

    /// Lets anybody fetch what lies below a directory.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn register_prefix(&mut self, who: ContextId, path: &Path, real: &Path) -> Result<(), RegistryError> {
        let entry = self.checked(who, path, real)?;
        self.prefixes.insert(entry.0, entry.1);
        Ok(())
    }

    /// Lets nobody fetch that file, or what lies below that directory, any more.
    pub fn unregister(&mut self, path: &Path) {
        self.files.remove(path);
        self.prefixes.remove(path);
    }

    /// Whether a context may fetch a file, and what then may be opened. `who` is the context whose
    /// authority the request carries.
    ///
    /// # Errors
    /// [`RegistryError::NotPlain`], [`RegistryError::Unregistered`].
    pub fn permit(&self, who: ContextId, path: &Path) -> Result<Permit, RegistryError> {
        let path = plain(path)?;
        if self.trusted.contains(&who) {
            return Ok(Permit::Anything(path));
        }
        if let Some(real) = self.files.get(&path) {
            return Ok(Permit::File(real.clone()));
        }
        // The nearest of the registered directories.
        for above in path.ancestors().skip(1) {
            if let Some(root) = self.prefixes.get(above)
                && let Ok(rest) = path.strip_prefix(above)
            {
                return Ok(Permit::Below { root: root.clone(), rest: rest.to_owned() });
            }
        }
        Err(RegistryError::Unregistered { path })
    }

    fn checked(&self, who: ContextId, path: &Path, real: &Path) -> Result<(PathBuf, PathBuf), RegistryError> {
        if !self.trusted.contains(&who) {
            return Err(RegistryError::NotTrusted { who });
        }
        Ok((plain(path)?, plain(real)?))
    }
}

/// The path, if it is absolute and never goes up; `.` and doubled slashes are left out.
fn plain(path: &Path) -> Result<PathBuf, RegistryError> {
    let not_plain = || RegistryError::NotPlain { path: path.to_owned() };
    let bad = |part: Component<'_>| matches!(part, Component::ParentDir | Component::Prefix(_));
    if !path.has_root() || path.components().any(bad) || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(not_plain());
    }
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: ContextId = ContextId(5);
    const PARENT: ContextId = ContextId(0);
    const STRANGER: ContextId = ContextId(7);

    fn registry() -> Registry {
        let mut registry = Registry::new(OWN, [PARENT]);
        let same = |path| (Path::new(path), Path::new(path));
        let (path, real) = same("/srv/one");
        registry.register(PARENT, path, real).unwrap();
        registry.register_prefix(OWN, Path::new("/srv/pub"), Path::new("/data/pub")).unwrap();
        registry
    }

    #[test]
    fn only_what_was_registered_is_served() {
        let registry = registry();
        let ask = |path: &str| registry.permit(STRANGER, Path::new(path));
        assert_eq!(ask("/srv/one"), Ok(Permit::File("/srv/one".into())));
        assert_eq!(ask("/srv/./one"), Ok(Permit::File("/srv/one".into())));
        let below = Permit::Below { root: "/data/pub".into(), rest: "a/b".into() };
        assert_eq!(ask("/srv/pub/a//b"), Ok(below));
        for path in ["/srv/two", "/srv/one/x", "/srv/public", "/srv/pub", "/", "/srv"] {
            assert!(matches!(ask(path), Err(RegistryError::Unregistered { .. })), "{path}");
        }
        for path in ["srv/one", "/srv/pub/../two", "..", "", "/srv/pub/a\0"] {
            assert!(matches!(ask(path), Err(RegistryError::NotPlain { .. })), "{path}");
        }
    }

    #[test]
    fn a_trusted_context_may_fetch_anything_and_alone_registers() {
        let mut registry = registry();
        let path = Path::new("/etc/passwd");
        assert_eq!(registry.permit(PARENT, path), Ok(Permit::Anything(path.into())));
        assert_eq!(registry.register(STRANGER, path, path), Err(RegistryError::NotTrusted { who: STRANGER }));
        assert!(registry.register_prefix(STRANGER, path, path).is_err());
        registry.unregister(Path::new("/srv/one"));
        assert!(registry.permit(STRANGER, Path::new("/srv/one")).is_err());
    }
}
