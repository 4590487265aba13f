//! Tests that skip themselves: a runner counts them as passed and shows nothing, so their own words are looked for.
//!
//! The convention: a test that cannot run prints a line that begins with `skipped:` (in any case) and says what is
//! missing. nextest keeps what passing tests print in its JUnit report.

use std::path::Path;

use crate::sh;
use crate::steps::Counts;

/// One line of one test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    test: String,
    why: String,
}

impl Skip {
    /// Interpreters beyond the system's are what a machine happens to have; all else is installed by the set-up.
    fn optional(&self) -> bool {
        let why = self.why.to_lowercase();
        why.contains("python") || why.contains("pypy")
    }
}

/// Forgets an earlier run's report.
pub(crate) fn forget(root: &Path) {
    let _ = std::fs::remove_file(sh::target_dir(root).join("nextest/default/junit.xml"));
}

/// Says out loud what was skipped, moves it from passed to skipped, and when `strict` counts what was required as
/// failed.
pub(crate) fn account(root: &Path, strict: bool, counts: &mut Counts) {
    let report = sh::target_dir(root).join("nextest/default/junit.xml");
    let Ok(xml) = std::fs::read_to_string(report) else { return };
    let mut seen = None;
    for skip in find(&xml) {
        let missing = strict && !skip.optional();
        let word = if missing { "missing (required here)" } else { "skipped" };
        eprintln!("{word}: {}: {}", skip.test, skip.why);
        counts.failed += u64::from(missing);
        // A test that skips three of its nine interpreters has still tested something.
        if seen.as_ref() != Some(&skip.test) {
            counts.skipped += u64::from(!missing);
            seen = Some(skip.test);
        }
    }
}

fn find(xml: &str) -> Vec<Skip> {
    let mut test = String::new();
    let mut skips = Vec::new();
    for line in xml.lines() {
        if let Some((_, rest)) = line.split_once("<testcase name=\"") {
            test = rest.split('"').next().unwrap_or_default().to_string();
        }
        // The first line of an output stands behind its tag.
        let text = line.rsplit_once('>').map_or(line, |(_, text)| text);
        let text = if text.is_empty() { line.split('<').next().unwrap_or_default() } else { text };
        if text.trim_start().to_lowercase().starts_with("skipped:") {
            let why = text.trim_start()["skipped:".len()..].trim();
            let why = why.split("</").next().unwrap_or_default();
            let why =
                why.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            skips.push(Skip { test: test.clone(), why });
        }
    }
    skips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_found_behind_tags_and_on_lines_of_their_own() {
        let xml = "<testcase name=\"a::b\" classname=\"x\">\n<system-err>SKIPPED: no tcsh here\nnoise\n\
                   skipped: Python 2.7 &amp; more</system-err>\n</testcase>\n<testcase name=\"c\"/>\n";
        let skip = |test: &str, why: &str| Skip { test: test.into(), why: why.into() };
        assert_eq!(find(xml), [skip("a::b", "no tcsh here"), skip("a::b", "Python 2.7 & more")]);
        assert!(!find(xml)[0].optional());
        assert!(find(xml)[1].optional());
    }
}
