//! What the scan for imports promises of any source.

use mitogen_importer::{ModuleName, needs, scan};

/// A scan takes anything; what it finds stands in the source, in the order of its lines, and a source that goes
/// on has at least the imports of its front.
pub fn import_scan(data: &[u8]) {
    let found = scan(data);
    let lines = 1 + data.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
    let mut last = 1;
    for import in &found.imports {
        assert!(import.line >= last && import.line as usize <= lines, "{import:?} is out of order");
        last = import.line;
        for part in import.module.split('.').filter(|part| !part.is_empty()) {
            assert!(contains(data, part.as_bytes()), "{import:?} is made up");
        }
        for name in import.names.iter().flatten() {
            assert!(contains(data, name.as_bytes()), "{import:?} is made up");
        }
    }
    if let Some(guard) = found.main_guard {
        let front = scan(&data[..guard]);
        assert!(front.main_guard.is_none(), "the first guard counts");
        assert!(front.imports.len() <= found.imports.len(), "a front has no more imports");
    }
    let name = ModuleName::parse("package.module").expect("a name");
    for package in [false, true] {
        let needed = needs(&found, &name, package);
        for (at, need) in needed.iter().enumerate() {
            let parent = need.parent().filter(|parent| *parent != name);
            assert!(parent.is_none_or(|parent| needed[..at].contains(&parent)), "a package comes first");
        }
    }
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}
