//! A lexer for Python source, of every dialect from 2.4 to 3.15 at once.
//!
//! It stands in the wire crate for one reason: the importer (which scans sources for the modules
//! that they import) and the bootstrap (which minifies the agent) both need it, and must not know
//! each other. What it lexes is what travels: module sources are bodies of `LOAD_MODULE`.
//!
//! It is a lexer alone: no grammar, no names, no values. Its promises are
//!
//! - it never fails and never panics: a byte that begins no token becomes a [`TokenKind::Error`];
//! - the tokens' ranges tile the input: each begins where the one before it ends, the first at 0, the
//!   last ends at the input's end (indents, dedents and implied newlines are empty ranges);
//! - its time is linear in the input and its stack is flat, whatever the input holds;
//! - it reads bytes, so a source in any ASCII-compatible encoding passes through undamaged.
//!
//! ```
//! use mitogen_wire::python::{Lexer, TokenKind};
//!
//! let source = b"if x: # why\n\tprint 0777L\n";
//! let kinds: Vec<_> = Lexer::new(source).filter(|t| !t.kind.is_trivia()).map(|t| t.kind).collect();
//! use TokenKind::*;
//! assert_eq!(kinds, [Name, Name, Operator, Newline, Indent, Name, Number, Newline, Dedent]);
//! ```

mod lexer;
mod literal;

pub use lexer::Lexer;

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// An identifier or keyword. Bytes above 127 count as letters.
    Name,
    /// A number of either dialect: `0777L`, `1_000`, `0x1f`, `1e-3j`.
    Number,
    /// A string with its prefix and quotes. An f-string or t-string is one token, whatever is
    /// nested in its replacement fields.
    String,
    /// An operator or delimiter, the longest that fits: `**=`, `<>`, `->`, `:=`, `...`, a backquote.
    Operator,
    /// The end of a logical line. Empty at the end of a source that ends without a newline.
    Newline,
    /// An empty range in front of the first token of a line that is indented deeper.
    Indent,
    /// An empty range in front of the first token of a line that ends a block; one for each block.
    Dedent,
    /// A newline that ends no logical line: of an empty line, of a comment's line, within brackets.
    BlankNewline,
    /// From `#` to the end of the line, without the newline.
    Comment,
    /// Spaces, tabs, form feeds; also the byte order mark at the very start.
    Blank,
    /// A backslash with the newline that it hides.
    Continuation,
    /// What no Python takes: a stray byte, a string without its end. An empty range where a line
    /// is dedented to a depth that no open block has.
    Error,
}

impl TokenKind {
    /// Whether a parser would not see this token.
    pub fn is_trivia(self) -> bool {
        use TokenKind::{Blank, BlankNewline, Comment, Continuation};
        matches!(self, Blank | BlankNewline | Comment | Continuation)
    }
}

/// A token: what it is, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Offset of its first byte.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
    /// The line of its first byte, counted from 1. LF, CR LF and CR each end a line.
    pub line: u32,
}

impl Token {
    /// Its bytes' offsets.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Its bytes, given the source that it was lexed from.
    ///
    /// # Panics
    /// If `source` is shorter than the one that it was lexed from.
    pub fn text<'a>(&self, source: &'a [u8]) -> &'a [u8] {
        &source[self.range()]
    }
}
