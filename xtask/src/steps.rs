//! A run made of named steps: counts, times, a table at the end, and one closing line.

use std::time::{Duration, Instant};

use crate::sh::Result;

/// What a step counted. A step that checks one thing counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) const ONE: Counts = Counts { passed: 1, failed: 0, skipped: 0 };
}

struct Row {
    name: String,
    counts: Counts,
    note: String,
    took: Duration,
}

/// The steps done so far.
pub(crate) struct Steps {
    rows: Vec<Row>,
    strict: bool,
    started: Instant,
}

impl Steps {
    /// `strict`: a skipped required step is a failure (as in CI).
    pub(crate) fn new(strict: bool) -> Self {
        Steps { rows: Vec::new(), strict, started: Instant::now() }
    }

    /// Runs a step and shows its heading; an error is shown at once, noted, and the next steps still run.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<Counts>) -> bool {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let (counts, note) = match work() {
            Ok(counts) => (counts, String::new()),
            Err(e) => {
                eprintln!("error: {name}: {e}");
                let note = e.to_string().lines().next().unwrap_or_default().to_string();
                (Counts { failed: 1, ..Counts::default() }, note)
            }
        };
        self.rows.push(Row { name: name.into(), counts, note, took: start.elapsed() });
        counts.failed == 0
    }

    /// Notes, out loud, that a step cannot run here.
    pub(crate) fn skip(&mut self, name: &str, required: bool, why: &str) {
        let failed = required && self.strict;
        let word = if failed { "missing (required here)" } else { "skipped" };
        eprintln!("\n=== {name}\n{word}: {name}: {why}");
        let counts = match failed {
            true => Counts { failed: 1, ..Counts::default() },
            false => Counts { skipped: 1, ..Counts::default() },
        };
        self.rows.push(Row { name: name.into(), counts, note: why.into(), took: Duration::ZERO });
    }

    /// Prints the table and the closing line that test runners are recognised by; true when nothing failed.
    pub(crate) fn finish(self) -> bool {
        let width = self.rows.iter().map(|r| r.name.len()).max().unwrap_or(0);
        println!("\n{:width$}  result     time  passed  failed  skipped", "step");
        let mut total = Counts::default();
        for row in &self.rows {
            let c = row.counts;
            let result = match () {
                () if c.failed > 0 => "FAILED",
                () if c.passed == 0 && c.skipped > 0 => "skipped",
                () => "ok",
            };
            let line = format!(
                "{:width$}  {result:7} {:6.1} s {:7} {:7} {:8}  {}",
                row.name,
                row.took.as_secs_f64(),
                c.passed,
                c.failed,
                c.skipped,
                row.note
            );
            println!("{}", line.trim_end());
            total.passed += c.passed;
            total.failed += c.failed;
            total.skipped += c.skipped;
        }
        println!("all steps: {:.1} s", self.started.elapsed().as_secs_f64());
        println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
        total.failed == 0
    }
}

/// Who runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `cargo test`: a closing line for each binary.
    Libtest,
    /// `cargo nextest`: one for all.
    Nextest,
}

/// Adds up what cargo test and nextest print about their tests.
///
/// `test result: ok. 3 passed; 0 failed; 1 ignored; ...` (one line per binary) and
/// `Summary [ 0.5s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped`.
pub(crate) fn count_line(runner: Runner, counts: &mut Counts, line: &str) {
    // A failing test's own runner is shown by nextest, with its own closing line; that test is in the summary already.
    let relevant = match runner {
        Runner::Libtest => line.starts_with("test result:"),
        Runner::Nextest => line.trim_start().starts_with("Summary [") && line.contains("run:"),
    };
    if !relevant {
        return;
    }
    let text = line.rsplit(['.', ':']).next().unwrap_or_default();
    let text = if runner == Runner::Libtest { line } else { text };
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || ",;()".contains(c)).collect();
    let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
    for pair in words.windows(2) {
        let Ok(n) = pair[0].parse::<u64>() else { continue };
        match pair[1] {
            "passed" => counts.passed += n,
            "failed" | "exec" => counts.failed += n,
            "ignored" | "skipped" => counts.skipped += n,
            "timed" => counts.failed += n,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(runner: Runner, line: &str) -> Counts {
        let mut counts = Counts::default();
        count_line(runner, &mut counts, line);
        counts
    }

    #[test]
    fn closing_lines_of_both_runners_are_understood() {
        let c = counted(
            Runner::Libtest,
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
        );
        assert_eq!(c, Counts { passed: 3, failed: 0, skipped: 1 });
        let c = counted(
            Runner::Nextest,
            "     Summary [   0.512s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped",
        );
        assert_eq!(c, Counts { passed: 11, failed: 1, skipped: 2 });
        let c = counted(
            Runner::Nextest,
            "     Summary [  61.000s] 3/5 tests run: 1 passed, 1 timed out, 1 failed, 0 skipped",
        );
        assert_eq!(c, Counts { passed: 1, failed: 2, skipped: 0 });
        assert_eq!(counted(Runner::Libtest, "3 passed the gate"), Counts::default());
    }

    #[test]
    fn what_a_failing_test_printed_is_not_counted_again() {
        for line in [
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "test result: FAILED. 0 passed; 1 failed",
        ] {
            assert_eq!(counted(Runner::Nextest, line), Counts::default());
        }
        let indented = "    test result: FAILED. 0 passed; 1 failed; 0 ignored";
        assert_eq!(counted(Runner::Libtest, indented), Counts::default());
    }
}
