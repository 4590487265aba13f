//! Rust values as Python source: the only place that writes Python literals.
//!
//! What is written is ASCII without newlines and means the same to Python 2.4 and to 3.15 (3.0 to
//! 3.2, which lack `u''`, excepted). An ASCII text becomes a plain literal, which is a byte string on
//! Python 2 as any name there is; other text becomes a `u''` literal, which is text on both.

use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Writes `text` as a Python string literal.
pub(crate) fn text(out: &mut String, text: &str) {
    if !text.is_ascii() {
        out.push('u');
    }
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                let code = c as u32;
                // Writing to a string cannot fail.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('\'');
}

/// A list display under construction, erased from memory when dropped.
pub(crate) struct List(Zeroizing<String>);

impl List {
    /// An empty list.
    pub(crate) fn new() -> List {
        // Room for all that we ever write, so that growing leaves no copy of a key behind.
        let mut out = String::with_capacity(1024);
        out.push('[');
        List(Zeroizing::new(out))
    }

    /// Adds an integer.
    pub(crate) fn number(&mut self, value: u64) {
        let _ = write!(self.next(), "{value}");
    }

    /// Adds a truth value.
    pub(crate) fn boolean(&mut self, value: bool) {
        self.next().push_str(if value { "True" } else { "False" });
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, value: &str) {
        text(self.next(), value);
    }

    /// Adds a list of integers.
    pub(crate) fn list(&mut self, values: impl Iterator<Item = u64>) {
        let out = self.next();
        out.push('[');
        for (at, value) in values.enumerate() {
            let _ = write!(out, "{}{value}", if at > 0 { "," } else { "" });
        }
        out.push(']');
    }

    /// The list's source. Cut short anywhere, it is no Python.
    pub(crate) fn finish(mut self) -> Zeroizing<String> {
        self.0.push(']');
        self.0
    }

    fn next(&mut self) -> &mut String {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        &mut self.0
    }
}
