//! An installed package of upstream's: its core, and its modules as they are sent.

use crate::error::Error;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use mitogen_bootstrap::{Header, UpstreamCore, UpstreamVersion, minify};
use mitogen_wire::Encoding;
use mitogen_wire::body::{LoadModule, LoadedModule};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How deep packages lie within the package; it bounds what a loop of links can cost.
const DEEPEST: usize = 4;
/// The largest source that is read, in bytes.
const LARGEST: u64 = 4 << 20;
/// What runs commands: a module of ours under a name that upstream's importer asks for.
pub(crate) const PROCESS: &str = "_mitogen_process";

/// The package.
#[derive(Debug)]
pub(crate) struct Package {
    core: UpstreamCore,
    /// By full name.
    modules: BTreeMap<String, LoadedModule>,
}

impl Package {
    /// Reads the package in `path`, or the one that lies in it under its own name.
    ///
    /// # Errors
    /// [`Error::Local`]: there is none, or it is of a release that is not spoken to.
    pub(crate) fn load(path: &Path) -> Result<Package, Error> {
        let inner = path.join("mitogen");
        let root = if inner.join("core.py").is_file() { inner } else { path.to_owned() };
        let failed = |source: io::Error| Error::Local {
            what: "read upstream's mitogen package",
            source: at(path, source),
        };
        let init = read(&root.join("__init__.py")).map_err(failed)?;
        let core = read(&root.join("core.py")).map_err(failed)?;
        let version = UpstreamVersion::read(&init)
            .filter(|version| (UpstreamVersion::OLDEST..UpstreamVersion(0, 4, 0)).contains(version));
        let Some(version) = version else {
            let why = "it is no release 0.3.x; install one (pip install mitogen) and name its directory";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
        };
        let mut modules = BTreeMap::new();
        gather(&root, "mitogen", 0, &mut modules).map_err(failed)?;
        modules.insert(PROCESS.to_owned(), module(mitogen_bootstrap::UPSTREAM_PROCESS, "process.py", None));
        Ok(Package { core: UpstreamCore::new(version, &core), modules })
    }

    pub(crate) fn core(&self) -> &UpstreamCore {
        &self.core
    }

    pub(crate) fn version(&self) -> UpstreamVersion {
        self.core.version()
    }

    /// The answer to a request for a module, if it is one that the package must have.
    pub(crate) fn answer(&self, name: &str) -> Option<(Encoding, Bytes)> {
        if name != PROCESS && name != "mitogen" && !name.starts_with("mitogen.") {
            return None;
        }
        LoadModule { name: name.to_owned(), module: self.modules.get(name).cloned() }.encode().ok()
    }
}

/// Takes in all modules of a package, and says what their names are.
fn gather(
    directory: &Path,
    name: &str,
    depth: usize,
    modules: &mut BTreeMap<String, LoadedModule>,
) -> io::Result<()> {
    let mut members = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
        let full = format!("{name}.{stem}");
        if path.join("__init__.py").is_file() && depth < DEEPEST {
            gather(&path, &full, depth + 1, modules)?;
        } else if path.extension().is_some_and(|end| end == "py") && stem != "__init__" {
            modules.insert(full, module(&read(&path)?, &path.to_string_lossy(), None));
        } else {
            continue;
        }
        members.push(stem);
    }
    members.sort();
    let init = directory.join("__init__.py");
    modules.insert(name.to_owned(), module(&read(&init)?, &init.to_string_lossy(), Some(members)));
    Ok(())
}

fn module(source: &[u8], path: &str, package: Option<Vec<String>>) -> LoadedModule {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let zlib = encoder.write_all(&minify(source, Header::Keep)).and_then(|()| encoder.finish());
    let compressed = Bytes::from(zlib.expect("memory takes all that is written"));
    LoadedModule { package, path: path.to_owned(), compressed, related: Vec::new() }
}

fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    let len = fs::metadata(path).map_err(|error| at(path, error))?.len();
    if len > LARGEST {
        return Err(at(path, io::Error::new(io::ErrorKind::InvalidData, format!("it has {len} bytes"))));
    }
    fs::read(path).map_err(|error| at(path, error))
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_release_of_the_package_is_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        let refused = |what: &str| {
            let error = Package::load(folder.path()).expect_err("no package").to_string();
            assert!(error.contains(what), "{error}");
        };
        refused("__init__.py");
        let root = folder.path().join("mitogen");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("core.py"), "pass\n").unwrap();
        fs::write(root.join("__init__.py"), "__version__ = (0, 2, 9)\n").unwrap();
        refused("0.3.x");
        fs::write(root.join("__init__.py"), "__version__ = (0, 3, 9)\n").unwrap();
        let package = Package::load(folder.path()).expect("a package");
        assert_eq!(package.version(), UpstreamVersion(0, 3, 9));
        assert!(package.answer("mitogen.core").is_some() && package.answer("json").is_none());
    }
}
