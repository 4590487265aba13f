//! What the names of files say of modules.

use super::place::{Kind, Listing};
use mitogen_importer::ModuleName;

/// The module that a file of this name holds.
pub(super) fn module_of(file: &str) -> Option<&str> {
    let (stem, suffix) = file.split_once('.')?;
    let fits = suffix == "py" || is_extension(suffix);
    (fits && is_name(stem)).then_some(stem)
}

/// Whether these suffixes are an extension module's: `so`, `abi3.so`, `cpython-311-x86_64-linux-gnu.so`.
fn is_extension(suffix: &str) -> bool {
    matches!(suffix, "so" | "pyd" | "abi3.so" | "dylib")
        || (suffix.ends_with(".so") || suffix.ends_with(".pyd"))
            && (suffix.starts_with("cpython") || suffix.starts_with("cp3") || suffix.starts_with("pypy"))
}

/// The extension module of this name, or its bytecode.
pub(super) fn compiled<'a>(listing: &'a Listing, part: &str) -> Option<&'a str> {
    let prefix = format!("{part}.");
    let inside = listing.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
    let files = inside.filter(|(_, kind)| **kind == Kind::File).map(|(name, _)| name.as_str());
    files.filter(|name| is_extension(&name[prefix.len()..]) || &name[prefix.len()..] == "pyc").last()
}

/// Whether a file's stem can be imported.
pub(super) fn is_name(stem: &str) -> bool {
    !stem.contains('.') && ModuleName::parse(stem).is_ok()
}
