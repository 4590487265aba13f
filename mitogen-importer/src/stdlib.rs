//! The names of the standard libraries' modules: what contexts have themselves.
//!
//! `data/stdlib.txt` is the union over CPython 2.7 to 3.15, made from the interpreters themselves by
//! `tests/the_standard_library_is_known.rs`.

/// The list, sorted.
const NAMES: &str = include_str!("../data/stdlib.txt");

/// Whether a top-level module belongs to the standard library of some Python.
pub fn is_stdlib(top: &str) -> bool {
    let names = table();
    names.binary_search(&top).is_ok()
}

/// All names, sorted.
pub fn stdlib_names() -> &'static [&'static str] {
    table()
}

fn table() -> &'static [&'static str] {
    static TABLE: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        let mut names: Vec<&str> = NAMES.lines().filter(|line| !line.starts_with('#')).collect();
        names.sort_unstable();
        names
    })
}
