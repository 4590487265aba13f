//! The house keeps its own rules.

use std::path::Path;

#[test]
fn the_repository_has_no_tidy_fault() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
    let findings = xtask::tidy::findings(root).expect("the repository can be examined");
    let faults: Vec<String> = findings.iter().filter(|f| f.fault).map(|f| f.text.clone()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
