//! Tests that skip themselves: a runner counts them as passed and shows nothing, so their own words are looked for.
//!
//! The convention: a test that cannot run prints a line that begins with `skipped:` (in any case) and says what is
//! missing. nextest keeps what passing tests print in its JUnit report; `cargo test` prints it with `--show-output`.

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
    /// Interpreters beyond the system's, and what calls itself optional, are what a machine happens to have; all else is installed by the set-up.
    fn optional(&self) -> bool {
        let why = self.why.to_lowercase();
        ["python", "pypy", "optional"].iter().any(|word| why.contains(word))
    }
}

/// Forgets an earlier run's report.
pub(crate) fn forget(root: &Path) {
    let _ = std::fs::remove_file(sh::target_dir(root).join("nextest/default/junit.xml"));
}

/// What nextest's report says.
pub(crate) fn reported(root: &Path) -> Vec<Skip> {
    let report = sh::target_dir(root).join("nextest/default/junit.xml");
    find(&std::fs::read_to_string(report).unwrap_or_default())
}

/// Says out loud what was skipped, a line for each test, counts a test that skipped as skipped too, and when `strict`
/// what was required as failed.
pub(crate) fn account(skips: Vec<Skip>, strict: bool, counts: &mut Counts) {
    lines(&skips, strict).iter().for_each(|line| eprintln!("{line}"));
    count(skips, strict, counts);
}

/// What a test that runs under many interpreters says of each of them stands in one line.
fn lines(skips: &[Skip], strict: bool) -> Vec<String> {
    let missing = |skip: &Skip| strict && !skip.optional();
    let same = |a: &Skip, b: &Skip| a.test == b.test && missing(a) == missing(b);
    let groups = skips.chunk_by(same);
    let line = |group: &[Skip]| {
        let word = if missing(&group[0]) { "missing (required here)" } else { "skipped" };
        let mut whys: Vec<&str> = Vec::new();
        for skip in group {
            // Some name themselves.
            let why = skip.why.strip_prefix(&format!("{}: ", skip.test)).unwrap_or(&skip.why);
            if !whys.contains(&why) {
                whys.push(why);
            }
        }
        format!("{word}: {}: {}", group[0].test, whys.join("; "))
    };
    groups.map(line).collect()
}

fn count(skips: Vec<Skip>, strict: bool, counts: &mut Counts) {
    let mut seen = None;
    for skip in skips {
        let missing = strict && !skip.optional();
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
        if let Some(why) = reason(text) {
            let why = why.split("</").next().unwrap_or_default();
            let why =
                why.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            skips.push(Skip { test: test.clone(), why });
        }
    }
    skips
}

fn reason(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (word, why) = line.split_at_checked("skipped:".len())?;
    word.eq_ignore_ascii_case("skipped:").then(|| why.trim())
}

/// Reads what `cargo test -- --show-output` prints, line by line.
#[derive(Default)]
pub(crate) struct Listener {
    test: String,
    /// Within the outputs of tests that passed.
    in_successes: bool,
    pub(crate) skips: Vec<Skip>,
}

impl Listener {
    /// Takes the next line; whether it is worth showing. What passing tests print is not.
    pub(crate) fn hear(&mut self, line: &str) -> bool {
        match line {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ if line.starts_with("test result:") => self.in_successes = false,
            _ => {}
        }
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.test = name.to_string();
        }
        if let Some(why) = reason(line) {
            self.skips.push(Skip { test: self.test.clone(), why: why.to_string() });
        }
        !self.in_successes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(test: &str, why: &str) -> Skip {
        Skip { test: test.into(), why: why.into() }
    }

    #[test]
    fn skips_are_found_behind_tags_and_on_lines_of_their_own() {
        let xml = "<testcase name=\"a::b\" classname=\"x\">\n<system-err>SKIPPED: no tcsh here\nnoise\n\
                   skipped: Python 2.7 &amp; more</system-err>\n</testcase>\n<testcase name=\"c\"/>\n";
        assert_eq!(find(xml), [skip("a::b", "no tcsh here"), skip("a::b", "Python 2.7 & more")]);
        assert!(!find(xml)[0].optional());
        assert!(find(xml)[1].optional());
    }

    #[test]
    fn skips_are_heard_among_the_outputs_of_cargo_test() {
        let mut listener = Listener::default();
        let text = "running 2 tests\n..\nsuccesses:\n\n---- a::b stdout ----\nskipped: no fish\n\nsuccesses:\n    a::b\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let shown: Vec<&str> = text.lines().filter(|line| listener.hear(line)).collect();
        assert_eq!(listener.skips, [skip("a::b", "no fish")]);
        assert_eq!(shown.len(), 3, "{shown:?}");
    }

    #[test]
    fn a_test_that_skips_more_than_once_has_one_line() {
        let skips = [
            skip("a", "a: no python2.7"),
            skip("a", "no python2.7"),
            skip("a", "no python3.6"),
            skip("a", "no fish"),
            skip("b", "no python2.7"),
        ];
        let expected = [
            "skipped: a: no python2.7; no python3.6",
            "missing (required here): a: no fish",
            "skipped: b: no python2.7",
        ];
        assert_eq!(lines(&skips, true), expected);
    }

    #[test]
    fn a_required_part_that_is_missing_is_a_failure_where_it_is_strict() {
        let skips = || vec![skip("a", "no tcsh"), skip("a", "no Python 2.7")];
        let passed = Counts { passed: 1, ..Counts::default() };
        let (mut strict, mut lax) = (passed, passed);
        count(skips(), true, &mut strict);
        count(skips(), false, &mut lax);
        assert_eq!((strict.failed, lax.failed), (1, 0));
        assert_eq!(lax.skipped, 1);
    }
}
