//! The ends of numbers and strings.
//!
//! ```text
//!   f"a{b['c']:>{d}}e"      text of the string ──'{'──> field ──':'──> format of the field
//!                                ^   ^                    │  │            │   │
//!                                │   └────────'}'─────────┘  └─f"─> text  │   └─'{'─> field
//!                                └────────────────'}'─────────────────────┘
//! ```
//! An f-string may nest any string, with any quotes, in its replacement fields (Python 3.12); what
//! older versions accept reads the same. What is open stands on an explicit stack.

use super::lexer::{is_word, newline_len};
use memchr::memchr2;

/// What a string's prefix says about its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefix {
    /// A backslash stands for itself (but still hides a quote).
    raw: bool,
    /// It has replacement fields.
    formatted: bool,
}

/// What a prefix means, if `letters` is one in any version.
pub(super) fn string_prefix(letters: &[u8]) -> Option<Prefix> {
    let plain = Prefix::default();
    let raw = Prefix { raw: true, ..plain };
    let formatted = Prefix { formatted: true, ..plain };
    let lower = |at: usize| letters[at].to_ascii_lowercase();
    match letters.len() {
        0 => Some(plain),
        1 => match lower(0) {
            b'b' | b'u' => Some(plain),
            b'r' => Some(raw),
            b'f' | b't' => Some(formatted),
            _ => None,
        },
        2 => match (lower(0), lower(1)) {
            (b'b' | b'u', b'r') | (b'r', b'b') => Some(raw),
            (b'f' | b't', b'r') | (b'r', b'f' | b't') => Some(Prefix { raw: true, formatted: true }),
            _ => None,
        },
        _ => None,
    }
}

/// Where a string ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan {
    /// Behind its last byte.
    pub(super) end: usize,
    /// Whether its closing quote is there; if not, `end` is where a lexer should go on.
    pub(super) closed: bool,
    /// Newlines within.
    pub(super) newlines: u32,
}

/// The quotes that end a string.
#[derive(Clone, Copy, Debug)]
struct Quotes {
    byte: u8,
    triple: bool,
}

impl Quotes {
    /// The quotes that open at `at`, and where the text behind them begins.
    fn open(source: &[u8], at: usize) -> (Quotes, usize) {
        let byte = source[at];
        let triple = source[at..].starts_with(&[byte; 3]);
        (Quotes { byte, triple }, at + if triple { 3 } else { 1 })
    }

    /// Where the text ends if these quotes close at `at`.
    fn close(self, source: &[u8], at: usize) -> Option<usize> {
        let len = if self.triple { 3 } else { 1 };
        let found = source.get(at..at + len)?;
        found.iter().all(|&byte| byte == self.byte).then_some(at + len)
    }
}

/// Finds the end of the string whose opening quote is at `quote`.
///
/// Everything looked at is part of the string or of the error, so no byte is ever scanned twice.
pub(super) fn scan_string(source: &[u8], quote: usize, prefix: Prefix) -> Scan {
    let (quotes, text) = Quotes::open(source, quote);
    let (end, closed) = if prefix.formatted {
        scan_formatted(source, text, quotes, prefix.raw)
    } else {
        scan_plain(source, text, quotes)
    };
    let newlines = count_newlines(&source[quote..end]);
    Scan { end, closed, newlines }
}

/// The newlines in `text`: LF, CR LF or CR.
fn count_newlines(text: &[u8]) -> u32 {
    let mut count = 0u32;
    let mut at = 0;
    while let Some(found) = memchr2(b'\n', b'\r', &text[at..]) {
        at += found;
        at += newline_len(text, at);
        count = count.saturating_add(1);
    }
    count
}

/// The place behind the backslash at `at` and what it hides.
fn behind_escape(source: &[u8], at: usize) -> usize {
    (at + 1 + newline_len(source, at + 1).max(1)).min(source.len())
}

/// The end of a string without replacement fields.
fn scan_plain(source: &[u8], mut at: usize, quotes: Quotes) -> (usize, bool) {
    loop {
        let rest = &source[at..];
        let found = if quotes.triple {
            memchr2(quotes.byte, b'\\', rest)
        } else {
            rest.iter().position(|&b| b == quotes.byte || b == b'\\' || b == b'\n' || b == b'\r')
        };
        at += match found {
            Some(found) => found,
            None => return (source.len(), false),
        };
        match source[at] {
            b'\\' => at = behind_escape(source, at),
            b'\n' | b'\r' => return (at, false),
            _ => match quotes.close(source, at) {
                Some(end) => return (end, true),
                None => at += 1,
            },
        }
    }
}

/// What is open inside an f-string.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// Its text.
    Text { quotes: Quotes, raw: bool },
    /// The expression of a replacement field, within so many brackets.
    Field { depth: usize, quotes: Quotes, raw: bool },
    /// The format of a replacement field; the string is the one that the field belongs to.
    Format { quotes: Quotes, raw: bool },
}

/// The end of a string with replacement fields.
fn scan_formatted(source: &[u8], mut at: usize, quotes: Quotes, raw: bool) -> (usize, bool) {
    let mut stack = vec![Open::Text { quotes, raw }];
    while let Some(open) = stack.last_mut() {
        match open {
            Open::Text { quotes, raw } | Open::Format { quotes, raw } => {
                let (quotes, raw) = (*quotes, *raw);
                let in_format = matches!(open, Open::Format { .. });
                at = skip_text(source, at, quotes);
                let Some(&byte) = source.get(at) else { return (at, false) };
                match byte {
                    b'\\' => at = behind_text_escape(source, at, raw),
                    b'{' if !in_format && source.get(at + 1) == Some(&b'{') => at += 2,
                    b'{' => {
                        at += 1;
                        stack.push(Open::Field { depth: 0, quotes, raw });
                    }
                    b'}' if in_format => {
                        at += 1;
                        stack.pop();
                    }
                    b'}' => at += 1,
                    b'\n' | b'\r' => {
                        if !quotes.triple && !in_format {
                            return (at, false);
                        }
                        at += 1;
                    }
                    _ => match quotes.close(source, at) {
                        // The string ends in the middle of a replacement field.
                        Some(end) if in_format => return (end, false),
                        Some(end) => {
                            at = end;
                            stack.pop();
                        }
                        None => at += 1,
                    },
                }
            }
            Open::Field { depth, quotes, raw } => {
                let Some(&byte) = source.get(at) else { return (at, false) };
                match byte {
                    b'(' | b'[' | b'{' => *depth += 1,
                    b')' | b']' => *depth = depth.saturating_sub(1),
                    b'}' if *depth == 0 => {
                        stack.pop();
                    }
                    b'}' => *depth -= 1,
                    b':' if *depth == 0 => *open = Open::Format { quotes: *quotes, raw: *raw },
                    _ => {}
                }
                if byte == b'#' {
                    let rest = &source[at..];
                    at += memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                } else if byte == b'"' || byte == b'\'' || is_word(byte) {
                    match nested(source, at) {
                        Nested::Word(end) => at = end,
                        Nested::Broken(end) => return (end, false),
                        Nested::Formatted { text, quotes, raw } => {
                            at = text;
                            stack.push(Open::Text { quotes, raw });
                        }
                    }
                } else {
                    at += 1;
                }
            }
        }
    }
    (at, true)
}

/// The next byte of an f-string's text that can mean anything, or the end of the source.
fn skip_text(source: &[u8], at: usize, quotes: Quotes) -> usize {
    source[at..]
        .iter()
        .position(|&b| b == quotes.byte || matches!(b, b'\\' | b'{' | b'}' | b'\n' | b'\r'))
        .map_or(source.len(), |found| at + found)
}

/// The place behind a backslash in an f-string's text: it hides no brace, and in `\N{...}` the braces
/// are no field's.
fn behind_text_escape(source: &[u8], at: usize, raw: bool) -> usize {
    match source.get(at + 1) {
        Some(b'{' | b'}') => at + 1,
        Some(b'N') if !raw && source.get(at + 2) == Some(&b'{') => {
            let mut end = at + 3;
            while source.get(end).is_some_and(|&b| b.is_ascii_alphanumeric() || b == b' ' || b == b'-') {
                end += 1;
            }
            end + usize::from(source.get(end) == Some(&b'}'))
        }
        _ => behind_escape(source, at),
    }
}

/// A word or string inside a replacement field.
enum Nested {
    /// A name, a number, or a whole string without fields, up to here.
    Word(usize),
    /// A string without its end.
    Broken(usize),
    /// A string with fields: its text begins at `text`.
    Formatted { text: usize, quotes: Quotes, raw: bool },
}

fn nested(source: &[u8], at: usize) -> Nested {
    let mut end = at;
    while source.get(end).is_some_and(|&b| is_word(b)) {
        end += 1;
    }
    if !matches!(source.get(end), Some(b'"' | b'\'')) {
        return Nested::Word(end);
    }
    let prefix = string_prefix(&source[at..end]).unwrap_or_default();
    let (quotes, text) = Quotes::open(source, end);
    if prefix.formatted {
        return Nested::Formatted { text, quotes, raw: prefix.raw };
    }
    match scan_plain(source, text, quotes) {
        (end, true) => Nested::Word(end),
        (end, false) => Nested::Broken(end),
    }
}

/// The end of the number that begins at `start` with a digit, or with a point and a digit.
///
/// Takes what either dialect takes: `0777L`, `0o17`, `1_000`, `1.e-5J`.
pub(super) fn scan_number(source: &[u8], start: usize) -> usize {
    let peek = |at: usize| source.get(at).copied().unwrap_or(0);
    if peek(start) == b'0' {
        let digit: fn(u8) -> bool = match peek(start + 1) | 0x20 {
            b'x' => |b| b.is_ascii_hexdigit(),
            b'o' => |b| matches!(b, b'0'..=b'7'),
            b'b' => |b| matches!(b, b'0' | b'1'),
            _ => |_| false,
        };
        let end = digits(source, start + 2, digit);
        if end > start + 2 {
            return end + usize::from(matches!(peek(end), b'l' | b'L'));
        }
    }
    let decimal: fn(u8) -> bool = |b| b.is_ascii_digit();
    let mut end = digits(source, start, decimal);
    if matches!(peek(end), b'l' | b'L') {
        return end + 1;
    }
    if peek(end) == b'.' {
        end += 1;
        if peek(end).is_ascii_digit() {
            end = digits(source, end, decimal);
        }
    }
    if matches!(peek(end), b'e' | b'E') {
        let exponent = end + 1 + usize::from(matches!(peek(end + 1), b'+' | b'-'));
        if peek(exponent).is_ascii_digit() {
            end = digits(source, exponent, decimal);
        }
    }
    end + usize::from(matches!(peek(end), b'j' | b'J'))
}

/// The end of the digits at `at`, single underscores between them included.
fn digits(source: &[u8], mut at: usize, digit: fn(u8) -> bool) -> usize {
    let is = |at: usize| source.get(at).is_some_and(|&b| digit(b));
    loop {
        if is(at) || (source.get(at) == Some(&b'_') && is(at + 1)) {
            at += 1;
        } else {
            return at;
        }
    }
}
