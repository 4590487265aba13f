//! The list of the standard libraries' modules holds what each interpreter of this machine has.
//!
//! With `MITOGEN_UPDATE=1` in the environment it is written anew, from these interpreters and what it held.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

// The interpreters of this machine and their libraries: the lexer, on which the scan stands, is tested on the same.
#[path = "../../mitogen-wire/tests/support/mod.rs"]
mod support;

use mitogen_importer::{is_stdlib, stdlib_names};
use std::collections::BTreeSet;

/// Modules of platforms that these interpreters were not built for, and of newer ones.
const ELSEWHERE: &str = "MacOS _emx_link _msi _overlapped _scproxy _winapi _winreg _wmi ce java msvcrt nt \
    ntpath org os2 overlapped riscos winreg winsound \
    _android_support _apple_support _colorize _interpreters _ios_support _remote_debugging _types _zstd \
    annotationlib compression profiling";

#[test]
fn every_interpreters_own_modules_are_on_the_list() {
    let mut names: BTreeSet<String> = stdlib_names().iter().map(|&name| name.to_owned()).collect();
    names.extend(ELSEWHERE.split_whitespace().map(str::to_owned));
    let mut unknown = BTreeSet::new();
    for python in support::pythons() {
        let output = python.run(include_str!("support/stdlib.py"), &[], b"");
        for name in String::from_utf8(output).expect("names are ASCII").lines() {
            // Tools of those who built the interpreter, and what a distribution put beside it.
            const EXTRAS: [&str; 6] =
                ["six", "pip", "setuptools", "pkg_resources", "sitecustomize", "_distutils_system_mod"];
            if !is_stdlib(name) && !EXTRAS.contains(&name) {
                unknown.insert(name.to_owned());
            }
        }
    }
    names.extend(unknown.iter().cloned());
    if std::env::var_os("MITOGEN_UPDATE").is_some() {
        let mut text =
            String::from("# Written by tests/the_standard_library_is_known.rs (MITOGEN_UPDATE=1).\n");
        for name in names {
            text.push_str(&name);
            text.push('\n');
        }
        std::fs::write("data/stdlib.txt", text).expect("the list can be written");
        return;
    }
    assert!(unknown.is_empty(), "run this test with MITOGEN_UPDATE=1: {unknown:?}");
    assert!(is_stdlib("os") && is_stdlib("nt") && is_stdlib("ConfigParser") && !is_stdlib("django"));
}
