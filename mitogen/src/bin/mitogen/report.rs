//! Shows outcomes: as text in the order of the targets, as one JSON document, or as JSON lines as they arrive.

use crate::{
    cli::Form,
    command::tree::{self, Row},
    console::{Console, harmless},
    outcome::{Answer, Failure, Kind, Outcome},
    range,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

/// Takes the outcomes as they arrive and shows them.
pub(crate) struct Report {
    console: Console,
    form: Form,
    gather: bool,
    /// How many outcomes there will be, if nothing intervenes.
    total: usize,
    /// Which outcome is shown next, as text.
    next: usize,
    /// The contexts on the ways to all targets: as text they are one tree, shown at the end.
    tree: Vec<Row>,
    /// Outcomes that wait: for an earlier one, or for the end. By index.
    waiting: BTreeMap<usize, Outcome>,
    /// What failed so far.
    failures: Vec<Kind>,
    /// Which outcomes have arrived.
    arrived: BTreeSet<usize>,
    finished: bool,
}

impl Report {
    pub(crate) fn new(console: Console, form: Form, gather: bool, total: usize) -> Self {
        Self {
            console,
            form,
            gather,
            total,
            next: 0,
            tree: Vec::new(),
            waiting: BTreeMap::new(),
            failures: Vec::new(),
            arrived: BTreeSet::new(),
            finished: false,
        }
    }

    /// Something failed that was well when it was reported.
    pub(crate) fn note_failure(&mut self, kind: Kind) {
        self.failures.push(kind);
    }

    /// How many outcomes have arrived.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.len()
    }

    /// The run ended before some of its targets were done: what is there is shown, and programs are told of the
    /// others too. `targets` are all of them, in their order.
    ///
    /// # Errors
    /// Whatever stdout says.
    pub(crate) fn cut(&mut self, targets: &[String], elapsed: Duration) -> io::Result<()> {
        if self.form != Form::Text {
            for (index, target) in targets.iter().enumerate() {
                if !self.arrived.contains(&index) {
                    let failure = Failure::new(Kind::Call, "interrupted before it was done".to_owned());
                    let (target, failure) = (target.clone(), Some(failure));
                    self.add(index, Outcome { target, answer: None, failure, elapsed })?;
                }
            }
        }
        self.finish()
    }

    /// What failed so far.
    pub(crate) fn failures(&self) -> &[Kind] {
        &self.failures
    }

    /// Takes the outcome of the target with this index. After the last one everything has been shown.
    ///
    /// # Errors
    /// Whatever stdout says.
    pub(crate) fn add(&mut self, index: usize, outcome: Outcome) -> io::Result<()> {
        self.arrived.insert(index);
        self.failures.extend(outcome.failure.as_ref().map(|failure| failure.kind));
        if self.form == Form::Jsonl {
            return self.console.result(format!("{}\n", outcome.json()).as_bytes());
        }
        let outcome = match outcome.answer {
            Some(Answer::Tree(rows)) if self.form == Form::Text => {
                self.tree.extend(rows);
                Outcome { answer: None, ..outcome }
            }
            _ => outcome,
        };
        self.waiting.insert(index, outcome);
        if self.form == Form::Text && !self.gather {
            while let Some(outcome) = self.waiting.remove(&self.next) {
                self.next += 1;
                self.show(&[outcome])?;
            }
        }
        if self.arrived.len() == self.total { self.finish() } else { Ok(()) }
    }

    /// Shows what is still waiting: all that there will be has arrived. Once.
    ///
    /// # Errors
    /// Whatever stdout says.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        if !self.tree.is_empty() {
            self.console.result(format!("{}\n", tree::text(&self.tree)).as_bytes())?;
        }
        let outcomes: Vec<Outcome> = std::mem::take(&mut self.waiting).into_values().collect();
        match self.form {
            Form::Jsonl => Ok(()),
            Form::Json => {
                let results: Vec<String> = outcomes.iter().map(Outcome::json).collect();
                let document = format!("{{\"version\": 1, \"results\": [{}]}}\n", results.join(",\n"));
                self.console.result(document.as_bytes())
            }
            Form::Text if self.gather => {
                let mut groups: Vec<Vec<Outcome>> = Vec::new();
                for outcome in outcomes {
                    match groups.iter_mut().find(|group| alike(&group[0], &outcome)) {
                        Some(group) => group.push(outcome),
                        None => groups.push(vec![outcome]),
                    }
                }
                groups.iter().try_for_each(|group| self.show(group))
            }
            Form::Text => outcomes.into_iter().try_for_each(|outcome| self.show(&[outcome])),
        }
    }

    /// Shows outcomes that are alike. Never called with none.
    fn show(&self, group: &[Outcome]) -> io::Result<()> {
        let Some(first) = group.first() else { return Ok(()) };
        let several = self.total > 1;
        let name = match group {
            [one] => one.target.clone(),
            _ => {
                // A target that was named twice is named once.
                let mut seen = BTreeSet::new();
                let names = group.iter().map(|outcome| outcome.target.clone());
                let names: Vec<String> = names.filter(|name| seen.insert(name.clone())).collect();
                format!("{} ({} targets)", range::fold(&names).join(", "), group.len())
            }
        };
        if let Some(answer) = &first.answer {
            let (out, err) = (self.console.out, self.console.err);
            match (answer, several) {
                (Answer::Output { stdout, stderr, .. }, false) => {
                    self.console.result(stdout)?;
                    self.console.note(stderr);
                }
                (Answer::Output { stdout, stderr, .. }, true) => {
                    self.console.result(&prefixed(&out.name(&name), stdout))?;
                    self.console.note(&prefixed(&err.name(&name), stderr));
                }
                // As with `cp`: that nothing is said says that it is done.
                (Answer::Moved(_), false) => {}
                (answer, false) => self.console.result(format!("{}\n", answer.text(out)).as_bytes())?,
                (answer, true) => {
                    let text = answer.text(out);
                    self.console.result(block(&out.name(&name), &text).as_bytes())?;
                }
            }
        }
        if let Some(failure) = &first.failure {
            // On a single target the status says it; it may be what a script waits for.
            let command_ended = matches!(first.answer, Some(Answer::Output { .. }));
            let told = matches!(first.answer, Some(Answer::Findings(_)));
            if !told && (several || !command_ended) {
                self.console.note(self.describe(&name, failure, group.len()).as_bytes());
            }
        }
        Ok(())
    }

    /// A failure, for people: what happened and where, the last lines seen, what to try. The traceback stands in
    /// front of it, as Python has it; of several targets the name has to come first.
    fn describe(&self, target: &str, failure: &Failure, count: usize) -> String {
        let paint = self.console.err;
        let indent = if self.total > 1 { "  " } else { "" };
        let mut traceback = String::new();
        if let Some(lines) = &failure.traceback {
            traceback.push_str(&format!("{indent}Traceback (most recent call last):\n"));
            for line in lines.lines() {
                traceback.push_str(&format!("{indent}{}\n", paint.faint(&harmless(line))));
            }
        }
        let mut text = String::new();
        if self.total == 1 {
            text.push_str(&std::mem::take(&mut traceback));
        }
        let message = match (&failure.type_name, failure.message.as_str()) {
            (Some(name), "") => name.clone(),
            (Some(name), message) => format!("{name}: {message}"),
            (None, message) => message.to_owned(),
        };
        let mut lines = message.lines();
        text.push_str(&format!(
            "{} {}: {}",
            paint.bad("mitogen:"),
            paint.name(target),
            harmless(lines.next().unwrap_or_default())
        ));
        if let Some(phase) = &failure.phase {
            match &failure.hop {
                // Alike as they are, their hops have names of their own.
                Some(hop) if hop != target && count == 1 => {
                    text.push_str(&format!(" (hop {hop}, phase {phase})"))
                }
                _ => text.push_str(&format!(" (phase {phase})")),
            }
        }
        text.push('\n');
        for line in lines {
            text.push_str(&format!("  {}\n", harmless(line)));
        }
        text.push_str(&traceback);
        for line in &failure.seen {
            text.push_str(&format!("  {}\n", paint.faint(&format!("| {}", harmless(line)))));
        }
        if let Some(hint) = &failure.hint {
            text.push_str(&format!("  try: {hint}\n"));
        }
        text
    }
}

/// Whether two outcomes may be shown as one.
fn alike(a: &Outcome, b: &Outcome) -> bool {
    // What names a target is no difference.
    let failure = |outcome: &Outcome| {
        outcome.failure.clone().map(|failure| Failure { hop: None, hint: None, seen: Vec::new(), ..failure })
    };
    a.answer == b.answer && failure(a) == failure(b)
}

/// Each line with the name in front; a last line without an end gets one.
pub(crate) fn prefixed(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(line);
    }
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        out.push(b'\n');
    }
    out
}

/// `name: text` on one line, or the text as an indented block behind the name.
fn block(name: &str, text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    if !text.contains('\n') {
        return format!("{name}: {text}\n");
    }
    let mut out = format!("{name}:\n");
    for line in text.split('\n') {
        out.push_str(if line.is_empty() { "" } else { "  " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_stands_behind_its_name_and_more_below() {
        assert_eq!(block("a", "1"), "a: 1\n");
        assert_eq!(block("a", "x\n"), "a: x\n");
        assert_eq!(block("a", "x\n\ny\n"), "a:\n  x\n\n  y\n");
    }

    #[test]
    fn lines_of_many_targets_carry_names() {
        assert_eq!(prefixed("a", b"x\n\xff"), b"a: x\na: \xff\n");
        assert_eq!(prefixed("a", b""), b"");
    }
}
