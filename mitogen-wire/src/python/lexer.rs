//! The lexer's main loop.

use super::Token;

/// Splits Python source into [`Token`]s.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    source: &'a [u8],
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `source`.
    pub fn new(source: &'a [u8]) -> Lexer<'a> {
        Lexer { source }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let _ = self.source;
        None
    }
}
