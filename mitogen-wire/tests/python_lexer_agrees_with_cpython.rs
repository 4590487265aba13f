//! The lexer reads the interpreters' own libraries as their own `tokenize` module does.

mod support;

use mitogen_wire::python::{Lexer, TokenKind};

/// The tokens of a source in the form that `tokens.py` writes.
fn describe(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for token in Lexer::new(source).filter(|token| !token.kind.is_trivia()) {
        let kind = match token.kind {
            TokenKind::Name => 'N',
            TokenKind::Number => '0',
            TokenKind::String => 'S',
            TokenKind::Operator => 'O',
            TokenKind::Newline => 'E',
            TokenKind::Indent => 'I',
            TokenKind::Dedent => 'D',
            _ => '?',
        };
        let (line, text) = match kind {
            'E' | 'I' | 'D' => (0, Vec::new()),
            _ => (token.line, without_returns(token.text(source))),
        };
        if !out.is_empty() {
            out.push(0);
        }
        out.extend_from_slice(format!("{kind}{line} ").as_bytes());
        out.extend_from_slice(&text);
    }
    out
}

fn without_returns(text: &[u8]) -> Vec<u8> {
    let crlf = |at: usize| text[at] == b'\r' && text.get(at + 1) == Some(&b'\n');
    (0..text.len()).filter(|&at| !crlf(at)).map(|at| text[at]).collect()
}

#[test]
fn on_a_sample_of_every_standard_library() {
    let script = concat!(include_str!("support/library.py"), include_str!("support/tokens.py"));
    let budget = support::library_budget(400_000);
    let pythons = support::pythons();
    std::thread::scope(|scope| {
        for python in &pythons {
            let budget = budget.as_str();
            scope.spawn(move || {
                let output = python.run(script, &[budget], b"");
                let records = support::records(&output);
                assert!(records.len() > 30, "Python {} lexed too few sources", python.version);
                for record in records.chunks_exact(3) {
                    let (path, source, expected) = (record[0], record[1], record[2]);
                    compare(&python.version, &String::from_utf8_lossy(path), &describe(source), expected);
                }
                eprintln!("Python {}: {} sources agree", python.version, records.len() / 3);
            });
        }
    });
}

fn compare(version: &str, path: &str, ours: &[u8], theirs: &[u8]) {
    if ours == theirs {
        return;
    }
    let (ours, theirs) = (String::from_utf8_lossy(ours), String::from_utf8_lossy(theirs));
    let pairs = ours.split('\0').zip(theirs.split('\0'));
    let differing = pairs.enumerate().find(|(_, (ours, theirs))| ours != theirs);
    panic!("Python {version} lexes {path} otherwise: token, (ours, theirs) = {differing:?}");
}
