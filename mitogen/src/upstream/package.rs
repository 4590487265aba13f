//! An installed package of upstream's: where it is, of which release, and its core as it is sent.

use crate::error::Error;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use mitogen_bootstrap::{UPSTREAM_PROCESS, UpstreamCore, UpstreamVersion};
use mitogen_wire::Encoding;
use mitogen_wire::body::{LoadModule, LoadedModule};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The largest source that is read, in bytes.
const LARGEST: u64 = 4 << 20;
/// What runs commands: a module of ours under a name that upstream's importer asks for.
pub(crate) const PROCESS: &str = "_mitogen_process";

/// The package.
#[derive(Debug)]
pub(crate) struct Package {
    core: UpstreamCore,
    directory: PathBuf,
}

impl Package {
    /// Reads the package in `path`, or the one that lies in it under its own name.
    ///
    /// # Errors
    /// [`Error::Local`]: there is none, or it is of a release that is not spoken to.
    pub(crate) fn load(path: &Path) -> Result<Package, Error> {
        let failed = |source: io::Error| Error::Local { what: "read upstream's mitogen package", source };
        let invalid = |why: String| failed(io::Error::new(io::ErrorKind::InvalidData, why));
        let inner = path.join("mitogen");
        let root = if inner.join("core.py").is_file() { inner } else { path.to_owned() };
        let root = root.canonicalize().map_err(|error| failed(at(&root, error)))?;
        let init = read(&root.join("__init__.py")).map_err(failed)?;
        let core = read(&root.join("core.py")).map_err(failed)?;
        let (Some("mitogen"), Some(directory)) =
            (root.file_name().and_then(|name| name.to_str()), root.parent())
        else {
            return Err(invalid(format!("{}: no directory of the name `mitogen`", root.display())));
        };
        let version = UpstreamVersion::read(&init);
        match version.filter(|version| (UpstreamVersion::OLDEST..UpstreamVersion::NEXT).contains(version)) {
            Some(version) => {
                Ok(Package { core: UpstreamCore::new(version, &core), directory: directory.to_owned() })
            }
            None => Err(invalid(format!("{}: it is of no release 0.3.x", root.display()))),
        }
    }

    pub(crate) fn core(&self) -> &UpstreamCore {
        &self.core
    }

    /// The directory that holds the package.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn version(&self) -> UpstreamVersion {
        self.core.version()
    }
}

/// The answer to a request for a module of ours.
pub(crate) fn own_module(name: &str) -> Option<(Encoding, Bytes)> {
    if name != PROCESS {
        return None;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(UPSTREAM_PROCESS).ok()?;
    let compressed = encoder.finish().ok()?.into();
    let path = format!("{PROCESS}.py");
    let module = LoadedModule { package: None, path, compressed, related: Vec::new() };
    LoadModule { name: name.to_owned(), module: Some(module) }.encode().ok()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
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
    use std::error::Error as _;

    #[test]
    fn a_directory_without_a_release_of_the_package_is_refused() {
        let folder = tempfile::tempdir().expect("a directory");
        let refused = |what: &str| {
            let error = Package::load(folder.path()).expect_err("no package");
            let text = error.source().expect("a reason").to_string();
            assert!(text.contains(what), "{text}");
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
        assert_eq!(package.directory(), folder.path().canonicalize().unwrap());
    }
}
