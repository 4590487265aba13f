//! The lexer's state: lines, indentation, brackets.

use super::literal::{scan_number, scan_string, string_prefix};
use super::{Token, TokenKind};
use memchr::memchr2;

/// Splits Python source into [`Token`]s.
///
/// An iterator; what it promises is said at [the module](super).
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    source: &'a [u8],
    /// Where the next token begins; at most `source.len()`.
    at: usize,
    /// The line of `at`, from 1.
    line: u32,
    /// Brackets open; newlines within them end nothing.
    depth: usize,
    /// Columns of the open blocks, strictly ascending, without the outermost's 0.
    indents: Vec<u32>,
    place: Place,
    /// Empty tokens that stand at `at`, to be given out in this order.
    due: Due,
}

/// Where on a line the lexer stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In front of the first token of a logical line.
    Start {
        /// The column so far.
        column: u32,
        /// The column of the first backslash that stood here, if it was not 0: "indentation cannot
        /// be split over lines", so that column counts. (CPython from 3.9 on; older ones stop
        /// counting at the backslash even at column 0.)
        held: u32,
    },
    /// Behind it.
    Inside,
}

const LINE_START: Place = Place::Start { column: 0, held: 0 };

#[derive(Clone, Copy, Debug, Default)]
struct Due {
    dedents: usize,
    error: bool,
    indent: bool,
}

/// What a byte can begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Blank,
    Newline,
    Letter,
    Digit,
    Quote,
    Dot,
    Hash,
    Backslash,
    Open,
    Close,
    Operator,
    Stray,
}

const CLASSES: [Class; 256] = {
    let mut table = [Class::Stray; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t' | b'\x0c' => Class::Blank,
            b'\n' | b'\r' => Class::Newline,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 128..=255 => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'"' | b'\'' => Class::Quote,
            b'.' => Class::Dot,
            b'#' => Class::Hash,
            b'\\' => Class::Backslash,
            b'(' | b'[' | b'{' => Class::Open,
            b')' | b']' | b'}' => Class::Close,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'~' | b'<' | b'>' | b'=' | b'!'
            | b',' | b';' | b':' | b'@' | b'`' => Class::Operator,
            _ => Class::Stray,
        };
        byte += 1;
    }
    table
};

/// Whether a byte can continue a name.
pub(super) fn is_word(byte: u8) -> bool {
    matches!(CLASSES[byte as usize], Class::Letter | Class::Digit)
}

/// The length of the newline that begins at `at`: 2 for CR LF, 1 for LF or CR, else 0.
pub(super) fn newline_len(source: &[u8], at: usize) -> usize {
    match source.get(at) {
        Some(b'\n') => 1,
        Some(b'\r') => 1 + usize::from(source.get(at + 1) == Some(&b'\n')),
        _ => 0,
    }
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `source`.
    pub fn new(source: &'a [u8]) -> Lexer<'a> {
        Lexer {
            source,
            at: 0,
            line: 1,
            depth: 0,
            indents: Vec::new(),
            place: LINE_START,
            due: Due::default(),
        }
    }

    /// The byte `ahead` bytes from here.
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    /// Gives out the token that ends at `end`.
    fn token(&mut self, kind: TokenKind, end: usize) -> Token {
        debug_assert!(self.at <= end && end <= self.source.len());
        let token = Token { kind, start: self.at, end, line: self.line };
        self.at = end;
        token
    }

    /// Gives out a token of one line, with the newline that is its end.
    fn line_token(&mut self, kind: TokenKind, end: usize) -> Token {
        let token = self.token(kind, end);
        self.line = self.line.saturating_add(1);
        token
    }

    /// An empty token that is due here, if any.
    fn take_due(&mut self) -> Option<Token> {
        if self.due.dedents > 0 {
            self.due.dedents -= 1;
            return Some(self.token(TokenKind::Dedent, self.at));
        }
        if std::mem::take(&mut self.due.error) {
            return Some(self.token(TokenKind::Error, self.at));
        }
        if std::mem::take(&mut self.due.indent) {
            return Some(self.token(TokenKind::Indent, self.at));
        }
        None
    }

    /// A token in front of a logical line's first; none if that first token stands here, for which
    /// what is due has then been noted.
    fn before_line(&mut self, column: u32, held: u32) -> Option<Token> {
        let first = self.source[self.at];
        match CLASSES[first as usize] {
            Class::Blank => {
                let (end, column) = self.indentation(column);
                self.place = Place::Start { column, held };
                Some(self.token(TokenKind::Blank, end))
            }
            Class::Newline => {
                self.place = LINE_START;
                Some(self.line_token(TokenKind::BlankNewline, self.at + newline_len(self.source, self.at)))
            }
            Class::Hash => Some(self.comment()),
            Class::Backslash if newline_len(self.source, self.at + 1) > 0 => {
                self.place = Place::Start { column, held: if held == 0 { column } else { held } };
                Some(self.continuation())
            }
            _ if self.at == 0 && self.source.starts_with(b"\xef\xbb\xbf") => {
                Some(self.token(TokenKind::Blank, 3))
            }
            _ => {
                self.note_blocks(if held == 0 { column } else { held });
                self.place = Place::Inside;
                None
            }
        }
    }

    /// The end of the blanks that begin here, and the column there, counted as CPython does: a tab
    /// goes to the next multiple of 8, a form feed starts afresh.
    fn indentation(&self, mut column: u32) -> (usize, u32) {
        let mut end = self.at;
        while let Some(&byte) = self.source.get(end) {
            column = match byte {
                b' ' => column.saturating_add(1),
                b'\t' => (column / 8).saturating_add(1).saturating_mul(8),
                b'\x0c' => 0,
                _ => break,
            };
            end += 1;
        }
        (end, column)
    }

    /// Opens or closes blocks for a line that begins in `column`.
    fn note_blocks(&mut self, column: u32) {
        let kept = self.indents.iter().rposition(|&open| open <= column).map_or(0, |last| last + 1);
        self.due.dedents = self.indents.len() - kept;
        self.indents.truncate(kept);
        if column > self.indents.last().copied().unwrap_or(0) {
            self.due.error = self.due.dedents > 0;
            self.due.indent = true;
            self.indents.push(column);
        }
    }

    /// The end of the input: ends the line and the blocks that are open.
    fn finish(&mut self) -> Option<Token> {
        if let Place::Inside = self.place {
            self.place = LINE_START;
            self.depth = 0;
            return Some(self.token(TokenKind::Newline, self.at));
        }
        self.due.dedents = self.indents.len();
        self.indents.clear();
        self.take_due()
    }

    fn comment(&mut self) -> Token {
        let rest = &self.source[self.at..];
        let end = self.at + memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        self.token(TokenKind::Comment, end)
    }

    fn continuation(&mut self) -> Token {
        self.line_token(TokenKind::Continuation, self.at + 1 + newline_len(self.source, self.at + 1))
    }

    fn newline(&mut self) -> Token {
        let end = self.at + newline_len(self.source, self.at);
        if self.depth > 0 {
            return self.line_token(TokenKind::BlankNewline, end);
        }
        self.place = LINE_START;
        self.line_token(TokenKind::Newline, end)
    }

    fn blank(&mut self) -> Token {
        let mut end = self.at + 1;
        while self.source.get(end).is_some_and(|&b| CLASSES[b as usize] == Class::Blank) {
            end += 1;
        }
        self.token(TokenKind::Blank, end)
    }

    /// A name, or a string with a prefix.
    fn word(&mut self) -> Token {
        let mut end = self.at + 1;
        while self.source.get(end).is_some_and(|&b| is_word(b)) {
            end += 1;
        }
        if matches!(self.source.get(end), Some(b'"' | b'\''))
            && string_prefix(&self.source[self.at..end]).is_some()
        {
            return self.string(end);
        }
        self.token(TokenKind::Name, end)
    }

    /// A string whose opening quote is at `quote`.
    fn string(&mut self, quote: usize) -> Token {
        let prefix = string_prefix(&self.source[self.at..quote]).unwrap_or_default();
        let scan = scan_string(self.source, quote, prefix);
        let kind = if scan.closed { TokenKind::String } else { TokenKind::Error };
        let token = self.token(kind, scan.end);
        self.line = self.line.saturating_add(scan.newlines);
        token
    }

    /// The length of the operator that begins here.
    fn operator_len(&self) -> usize {
        let first = self.source[self.at];
        match (first, self.peek(1)) {
            (b'*' | b'/' | b'<' | b'>', Some(second)) if second == first => {
                2 + usize::from(self.peek(2) == Some(b'='))
            }
            (b'<' | b'-', Some(b'>')) => 2,
            (b',' | b';' | b'~' | b'`', _) => 1,
            (_, Some(b'=')) => 2,
            _ => 1,
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if let Some(token) = self.take_due() {
            return Some(token);
        }
        let Some(first) = self.peek(0) else {
            return self.finish();
        };
        if let Place::Start { column, held } = self.place
            && let Some(token) = self.before_line(column, held).or_else(|| self.take_due())
        {
            return Some(token);
        }
        Some(match CLASSES[first as usize] {
            Class::Letter => self.word(),
            Class::Blank => self.blank(),
            Class::Newline => self.newline(),
            Class::Quote => self.string(self.at),
            Class::Digit => self.token(TokenKind::Number, scan_number(self.source, self.at)),
            Class::Dot => match (self.peek(1), self.peek(2)) {
                (Some(b'0'..=b'9'), _) => self.token(TokenKind::Number, scan_number(self.source, self.at)),
                (Some(b'.'), Some(b'.')) => self.token(TokenKind::Operator, self.at + 3),
                _ => self.token(TokenKind::Operator, self.at + 1),
            },
            Class::Hash => self.comment(),
            Class::Backslash if newline_len(self.source, self.at + 1) > 0 => self.continuation(),
            Class::Open => {
                self.depth += 1;
                self.token(TokenKind::Operator, self.at + 1)
            }
            Class::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.token(TokenKind::Operator, self.at + 1)
            }
            Class::Operator if first == b'!' && self.peek(1) != Some(b'=') => {
                self.token(TokenKind::Error, self.at + 1)
            }
            Class::Operator => self.token(TokenKind::Operator, self.at + self.operator_len()),
            Class::Backslash | Class::Stray => self.token(TokenKind::Error, self.at + 1),
        })
    }
}

impl std::iter::FusedIterator for Lexer<'_> {}
