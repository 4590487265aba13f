//! Makes Python source smaller without changing what it does or where its lines are.
//!
//! The build script includes this file too: what it packs is what a test sees.

use mitogen_wire::python::{Lexer, Token, TokenKind};

/// What becomes of the byte order mark, and of a shebang and a coding declaration in the first two
/// lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// They stay: the source may hold bytes that only the declaration explains.
    Keep,
    /// They go, as any comment.
    Strip,
}

/// Strips comments, docstrings (all statements that are only a string) and needless blanks from a
/// Python source, and indents by one space per level.
///
/// Every token that remains keeps its line, so tracebacks stay true; newlines become LF. A body that
/// held only a docstring gets a `pass`. Minifying twice changes nothing more. A source that the lexer
/// finds an error in is returned as it is.
///
/// ```
/// use mitogen_bootstrap::{Header, minify};
///
/// let source = b"#!/usr/bin/python\ndef f(x):\n    '''Says nothing.'''\n    return x + 1  # more\n";
/// assert_eq!(minify(source, Header::Strip), b"\ndef f(x):\n\n return x+1\n");
/// ```
pub fn minify(source: &[u8], header: Header) -> Vec<u8> {
    let tokens: Vec<Token> = Lexer::new(source).collect();
    if tokens.iter().any(|token| token.kind == TokenKind::Error) {
        return source.to_vec();
    }
    let fates = fates(source, &tokens);
    let mut writer = Writer::new(source, header);
    for (token, fate) in tokens.iter().zip(fates) {
        writer.token(token, fate);
    }
    writer.finish()
}

/// What becomes of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    /// Part of a docstring: only its newlines stay.
    Drop,
    /// The same, with a `pass` in its place.
    Pass,
}

/// A block that is open while fates are decided.
#[derive(Default)]
struct Block {
    /// Whether a statement in it stays.
    inhabited: bool,
    /// Its first docstring's first token.
    first: Option<usize>,
}

/// Decides what becomes of every token.
fn fates(source: &[u8], tokens: &[Token]) -> Vec<Fate> {
    let mut fates = vec![Fate::Keep; tokens.len()];
    let mut blocks = vec![Block::default()];
    // The statement being read: where its first token is, and whether it holds strings alone.
    let mut statement: Option<(usize, bool)> = None;
    for (at, token) in tokens.iter().enumerate() {
        let is_string = token.kind == TokenKind::String && !is_formatted(token.text(source));
        match token.kind {
            _ if token.kind.is_trivia() => {}
            TokenKind::Indent => blocks.push(Block::default()),
            TokenKind::Dedent => {
                if let Some(Block { inhabited: false, first: Some(first) }) = blocks.pop() {
                    fates[first] = Fate::Pass;
                }
            }
            TokenKind::Newline => {
                let Some((first, strings_alone)) = statement.take() else { continue };
                let Some(block) = blocks.last_mut() else { continue };
                if strings_alone {
                    block.first.get_or_insert(first);
                    fates[first..at].fill(Fate::Drop);
                } else {
                    block.inhabited = true;
                }
            }
            _ => {
                let (_, strings_alone) = statement.get_or_insert((at, true));
                *strings_alone &= is_string;
            }
        }
    }
    fates
}

/// Whether a string has replacement fields, and so may do something.
fn is_formatted(string: &[u8]) -> bool {
    string.iter().take_while(|&&b| b != b'"' && b != b'\'').any(|b| matches!(b, b'f' | b'F' | b't' | b'T'))
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Writes what remains.
struct Writer<'a> {
    source: &'a [u8],
    header: Header,
    out: Vec<u8>,
    /// Blocks open.
    level: usize,
    /// Whether a token of the current logical line has been written.
    begun: bool,
    /// The token before, if it is on the same physical line.
    before: Option<Token>,
    /// Whether blanks stood behind it.
    spaced: bool,
}

impl<'a> Writer<'a> {
    fn new(source: &'a [u8], header: Header) -> Writer<'a> {
        let out = Vec::with_capacity(source.len());
        Writer { source, header, out, level: 0, begun: false, before: None, spaced: false }
    }

    fn token(&mut self, token: &Token, fate: Fate) {
        let text = token.text(self.source);
        match (token.kind, fate) {
            (TokenKind::Indent, _) => self.level += 1,
            (TokenKind::Dedent, _) => self.level -= 1,
            (TokenKind::Blank, _) if token.start == 0 && text.starts_with(BOM) => {
                // Without the first of two, which is no Python, the second would count as one.
                if self.header == Header::Keep || self.source[token.end..].starts_with(BOM) {
                    self.out.extend_from_slice(text);
                }
            }
            (TokenKind::Blank, _) => self.spaced = true,
            (TokenKind::Comment, _) => {
                if self.header == Header::Keep && !self.begun && is_header(text, token.line) {
                    self.out.extend_from_slice(text);
                }
            }
            (TokenKind::Newline, _) => {
                self.newline();
                self.begun = false;
            }
            (TokenKind::BlankNewline, _) => self.newline(),
            (TokenKind::Continuation, _) => {
                // In front of a line, or in place of a docstring, it only counts as a line.
                if self.begun && fate == Fate::Keep {
                    self.out.push(b'\\');
                }
                self.newline();
            }
            (_, Fate::Keep) => self.keep(token),
            (_, Fate::Drop | Fate::Pass) => {
                if fate == Fate::Pass {
                    self.begin_line();
                    self.out.extend_from_slice(b"pass");
                }
                self.out.extend(without_returns(text).filter(|&b| b == b'\n'));
            }
        }
    }

    fn keep(&mut self, token: &Token) {
        self.begin_line();
        let must = |before| must_part(self.source, &before, token) || self.ends_in_exponent(token);
        if self.spaced && self.before.is_some_and(must) {
            self.out.push(b' ');
        }
        self.out.extend(without_returns(token.text(self.source)));
        self.before = Some(*token);
        self.spaced = false;
    }

    /// Whether `token` would become part of an exponent: `0 e- 0` and `0e -0` are no Python, but
    /// have more numbers than `0e-0`.
    fn ends_in_exponent(&self, token: &Token) -> bool {
        let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'_');
        match (token.kind, &self.out[..]) {
            (TokenKind::Number, [.., digit, b'e' | b'E', b'+' | b'-']) => digits(digit),
            (TokenKind::Operator, [.., digit, b'e' | b'E']) => digits(digit),
            _ => false,
        }
    }

    fn begin_line(&mut self) {
        if !self.begun {
            self.begun = true;
            self.out.extend(std::iter::repeat_n(b' ', self.level));
        }
    }

    fn newline(&mut self) {
        self.out.push(b'\n');
        self.before = None;
        self.spaced = false;
    }

    /// The result, without empty lines at its end.
    fn finish(mut self) -> Vec<u8> {
        let used = self.out.iter().rposition(|&b| b != b'\n').map_or(0, |last| last + 1);
        let ended = self.out.len() > used;
        self.out.truncate(used);
        if used > 0 && ended {
            self.out.push(b'\n');
        }
        self.out
    }
}

/// Whether two tokens that blanks parted would become others if they met.
fn must_part(source: &[u8], left: &Token, right: &Token) -> bool {
    let (first, last) = (source[right.start], source[left.end - 1]);
    match (left.kind == TokenKind::Operator, right.kind == TokenKind::Operator) {
        (false, false) => true,
        // `1 .real`, but not `a .real`.
        (false, true) => left.kind == TokenKind::Number && first == b'.',
        (true, false) => last == b'.' && right.kind == TokenKind::Number,
        (true, true) => b"=<>*/.".contains(&first) && b"=<>*/.:+-%&|^@!".contains(&last),
    }
}

/// Whether a comment is a shebang or a coding declaration, where such may stand.
fn is_header(comment: &[u8], line: u32) -> bool {
    let declares = |mark: &[u8]| comment.windows(mark.len()).any(|window| window == mark);
    (line == 1 && comment.starts_with(b"#!")) || (line <= 2 && (declares(b"coding:") || declares(b"coding=")))
}

/// The bytes of a text, with LF for CR LF and CR.
fn without_returns(text: &[u8]) -> impl Iterator<Item = u8> {
    let byte = |at: usize| match text[at] {
        b'\r' if text.get(at + 1) == Some(&b'\n') => None,
        b'\r' => Some(b'\n'),
        other => Some(other),
    };
    (0..text.len()).filter_map(byte)
}
