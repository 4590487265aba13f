//! The last lines that a tool printed, kept for the error.

use crate::plan::Source;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// How many lines are kept of each source.
pub const KEPT_LINES: usize = 100;
/// How many bytes are kept of each source.
pub const KEPT_BYTES: usize = 8 << 10;

/// A line that the tool printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLine {
    /// Where.
    pub source: Source,
    /// What, without its end; control characters are replaced by `?`.
    pub text: String,
}

/// The last lines of all sources.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    stdout: History,
    stderr: History,
    terminal: History,
    /// Counts lines of all sources, to merge them in their order.
    clock: u64,
    blotted: Vec<Zeroizing<String>>,
}

#[derive(Debug, Default)]
struct History {
    lines: VecDeque<(u64, Vec<u8>)>,
    /// The sum of the lines' lengths; `<= KEPT_BYTES`.
    bytes: usize,
    partial: Vec<u8>,
    /// When the partial line began.
    began: u64,
}

impl Lines {
    pub(crate) fn feed(&mut self, source: Source, input: &[u8]) {
        let history = match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
            Source::Terminal => &mut self.terminal,
        };
        for piece in input.split_inclusive(|&b| b == b'\n') {
            if history.partial.is_empty() {
                self.clock += 1;
                history.began = self.clock;
            }
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    history.extend(end);
                    history.finish();
                }
                None => history.extend(piece),
            }
        }
    }

    /// Replaces `secret` in whatever is shown from now on.
    pub(crate) fn blot(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.blotted.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// What came behind the last line feed.
    pub(crate) fn partial(&self, source: Source) -> String {
        let history = match source {
            Source::Stdout => &self.stdout,
            Source::Stderr => &self.stderr,
            Source::Terminal => &self.terminal,
        };
        String::from_utf8_lossy(&history.partial).into_owned()
    }

    /// All lines kept, in the order in which they began.
    pub(crate) fn merged(&self) -> Vec<SeenLine> {
        let mut all: Vec<(u64, SeenLine)> = Vec::new();
        for (source, history) in [
            (Source::Stdout, &self.stdout),
            (Source::Stderr, &self.stderr),
            (Source::Terminal, &self.terminal),
        ] {
            let partial = Some((history.began, &history.partial)).filter(|(_, p)| !p.is_empty());
            let lines = history.lines.iter().map(|(at, line)| (*at, line)).chain(partial);
            all.extend(lines.map(|(at, line)| (at, SeenLine { source, text: self.shown(line) })));
        }
        all.sort_by_key(|(at, _)| *at);
        all.into_iter().map(|(_, line)| line).filter(|line| !line.text.trim().is_empty()).collect()
    }

    /// Whether a line that was kept satisfies `test`.
    pub(crate) fn any(&self, test: impl Fn(&str) -> bool) -> bool {
        self.merged().iter().any(|line| test(&line.text))
    }

    fn shown(&self, line: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(line).into_owned();
        for secret in &self.blotted {
            text = text.replace(secret.as_str(), "[secret]");
        }
        // Terminals obey control characters, and errors are shown on terminals.
        text.trim_matches('\r').chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
    }
}

impl History {
    fn extend(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.bytes += line.len();
        self.lines.push_back((self.began, line));
        while self.lines.len() > KEPT_LINES || self.bytes > KEPT_BYTES {
            if let Some((_, line)) = self.lines.pop_front() {
                self.bytes -= line.len();
            }
        }
    }
}
