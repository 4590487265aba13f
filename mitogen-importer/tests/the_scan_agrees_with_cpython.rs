//! The scan finds the imports that the interpreters' own `ast` finds in their own libraries.

// The interpreters of this machine and their libraries: the lexer, on which the scan stands, is tested on the same.
#[path = "../../mitogen-wire/tests/support/mod.rs"]
mod support;

use mitogen_importer::{Runs, scan};

/// The imports of a source in the form that `imports.py` writes.
fn describe(source: &[u8]) -> String {
    let mut lines: Vec<String> = scan(source)
        .imports
        .iter()
        .map(|import| {
            let names = import.names.as_ref().map_or("-".to_owned(), |names| names.join(","));
            let runs = match import.runs {
                Runs::Always => 0,
                Runs::Perhaps => 1,
                Runs::Later => 2,
                Runs::Never => 3,
            };
            format!("{} {} {} {names} {runs}", import.line, import.level, import.module)
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// All of the newest and the oldest library, and a sample of the others (of all of them when
/// `MITOGEN_TEST_WHOLE` is set).
#[test]
fn on_the_standard_libraries() {
    let script = concat!(
        include_str!("../../mitogen-wire/tests/support/library.py"),
        include_str!("support/imports.py")
    );
    let sample = support::library_budget(1_000_000);
    let pythons = support::pythons();
    std::thread::scope(|scope| {
        for python in &pythons {
            let sample = sample.as_str();
            scope.spawn(move || compare(python, script, sample));
        }
    });
}

fn compare(python: &support::Python, script: &str, sample: &str) {
    let whole = matches!(python.version.as_str(), "2.7" | "3.13");
    let budget = if whole { "1000000000" } else { sample };
    let output = python.run(script, &[budget], b"");
    let records = support::records(&output);
    assert!(records.len() > 30, "Python {} parsed too few sources", python.version);
    let mut differing = 0;
    let mut imports = 0;
    for record in records.chunks_exact(3) {
        let (path, theirs) = (String::from_utf8_lossy(record[0]), String::from_utf8_lossy(record[2]));
        let ours = describe(record[1]);
        imports += theirs.lines().count();
        if ours != theirs {
            differing += 1;
            let pair = ours.lines().zip(theirs.lines()).find(|(ours, theirs)| ours != theirs);
            eprintln!("Python {}: {path}: (ours, theirs) = {pair:?}", python.version);
        }
    }
    eprintln!("Python {}: {imports} imports of {} sources agree", python.version, records.len() / 3);
    assert_eq!(differing, 0, "Python {} sees other imports in {differing} sources", python.version);
}
