//! Python sources: any bytes lexed and minified.

use mitogen_bootstrap::Header;
use mitogen_wire::python::{Lexer, TokenKind};

/// Tokens tile the source, and blocks that are opened are closed.
pub fn python_lexer(source: &[u8]) {
    let mut end = 0;
    let mut depth = 0i64;
    for token in Lexer::new(source) {
        let range = token.range();
        assert_eq!(range.start, end, "{token:?} begins where the one before it ends");
        end = range.end;
        match token.kind {
            TokenKind::Indent => depth += 1,
            TokenKind::Dedent => depth -= 1,
            _ => {}
        }
        assert!(depth >= 0, "no more blocks are closed than were opened");
    }
    assert_eq!(end, source.len(), "the last token ends with the source");
    assert_eq!(depth, 0, "every block is closed");
}

/// What is minified is sound if the source was, keeps its lines' numbers, and is not minified
/// further.
///
/// First byte: whether a shebang and a coding declaration stay. The rest is the source.
pub fn minify(data: &[u8]) {
    let Some((&control, source)) = data.split_first() else { return };
    let header = if control & 1 == 0 { Header::Keep } else { Header::Strip };
    let small = mitogen_bootstrap::minify(source, header);
    assert_eq!(mitogen_bootstrap::minify(&small, header), small, "minifying again changes nothing");
    if Lexer::new(source).any(|token| token.kind == TokenKind::Error) {
        assert_eq!(small, source, "what is no Python is left alone");
        return;
    }
    let remain = words(&small);
    let mut before = words(source).into_iter();
    for (text, line) in remain {
        // A `pass` may stand where a docstring was.
        let found = text == b"pass" || before.by_ref().any(|word| word == (text.clone(), line));
        assert!(found, "{:?} is on another line than {line}", String::from_utf8_lossy(&text));
    }
}

/// The names, numbers and operators of a source, each with its line.
fn words(source: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let mut line = 1;
    let mut words = Vec::new();
    for token in Lexer::new(source) {
        let text = token.text(source);
        if matches!(token.kind, TokenKind::Name | TokenKind::Number | TokenKind::Operator) {
            words.push((text.to_vec(), line));
        }
        line += lines(text);
    }
    words
}

/// How many lines a token ends: CR, LF and CR LF all end one.
fn lines(text: &[u8]) -> usize {
    let feeds = text.iter().filter(|&&byte| byte == b'\n').count();
    let lone_returns = text
        .iter()
        .enumerate()
        .filter(|&(at, &byte)| byte == b'\r' && text.get(at + 1) != Some(&b'\n'))
        .count();
    feeds + lone_returns
}
