//! What methods' failure rules are made of.

use mitogen_bootstrap::plan::{FailureKind, FailureRule, Pattern, Source};

/// A line with all of these texts, wherever it stands and whatever the exit status.
pub(super) fn rule(texts: &[&str], kind: FailureKind, advice: &str) -> FailureRule {
    let line = texts.iter().fold(Pattern::default(), |pattern, text| pattern.and_contains(*text));
    FailureRule { source: None, line, also: None, status: None, kind, advice: advice.to_owned() }
}

/// As [`rule`], of the tool's own words on standard error.
pub(super) fn stderr(texts: &[&str], kind: FailureKind, advice: &str) -> FailureRule {
    FailureRule { source: Some(Source::Stderr), ..rule(texts, kind, advice) }
}

/// As [`rule`], for a line that starts so.
pub(super) fn starts(text: &str, kind: FailureKind, advice: &str) -> FailureRule {
    FailureRule { line: Pattern::prefix(text), ..rule(&[], kind, advice) }
}

/// What counts when the tool has ended with its own status, and said something that no rule knows.
pub(super) fn otherwise(status: i32, kind: FailureKind, advice: &str) -> FailureRule {
    FailureRule { status: Some(status), ..rule(&[], kind, advice) }
}
