//! A minified source compiles to the same code on the same lines; minifying again changes nothing.

#[path = "../../mitogen-wire/tests/support/mod.rs"]
mod support;

use mitogen_bootstrap::{Header, minify};
use mitogen_wire::python::{Lexer, TokenKind};
use proptest::prelude::*;

/// Kinds, lines and texts of the tokens that a parser sees, CR LF and CR as LF.
fn tokens(source: &[u8]) -> Vec<(TokenKind, u32, Vec<u8>)> {
    Lexer::new(source)
        .filter(|token| !token.kind.is_trivia())
        .map(|token| match token.kind {
            TokenKind::Newline | TokenKind::Indent | TokenKind::Dedent => (token.kind, 0, Vec::new()),
            kind => {
                let text =
                    String::from_utf8_lossy(token.text(source)).replace("\r\n", "\n").replace('\r', "\n");
                (kind, token.line, text.into_bytes())
            }
        })
        .collect()
}

fn small(source: &str) -> String {
    let minified = minify(source.as_bytes(), Header::Strip);
    assert_eq!(minify(&minified, Header::Strip), minified, "minifying {source:?} again changes it");
    String::from_utf8(minified).expect("ASCII in, ASCII out")
}

#[test]
fn standard_libraries_keep_their_code_and_lines() {
    let lister = concat!(
        include_str!("../../mitogen-wire/tests/support/library.py"),
        "for path, data in sources():\n    emit(data)\n"
    );
    let checker = concat!("import sys\n", include_str!("support/same_code.py"));
    let budget = support::library_budget(300_000);
    let pythons = support::pythons();
    std::thread::scope(|scope| {
        for python in &pythons {
            let budget = budget.as_str();
            scope.spawn(move || {
                let output = python.run(lister, &[budget], b"");
                let mut pairs = Vec::new();
                for source in support::records(&output) {
                    let minified = minify(source, Header::Keep);
                    assert_eq!(minify(&minified, Header::Keep), minified, "minifying twice changes more");
                    for record in [source, &minified] {
                        pairs.extend_from_slice(format!("{}\n", record.len()).as_bytes());
                        pairs.extend_from_slice(record);
                    }
                }
                python.run(checker, &[], &pairs);
            });
        }
    });
}

#[test]
fn comments_docstrings_and_blanks_go() {
    assert_eq!(small("x = 1 # one\n\n\n# two\n"), "x=1\n");
    assert_eq!(small("'''doc\nstring'''\nimport  os"), "\n\nimport os\n");
    assert_eq!(
        small("def f( a , b = 2 ) :\n\t'doc'\n\treturn a if a else b [ 1 ]\n"),
        "def f(a,b=2):\n\n return a if a else b[1]\n"
    );
    assert_eq!(small("class A:\n    '''only\n    this'''\n\nx = 1\n"), "class A:\n pass\n\n\nx=1\n");
    assert_eq!(small("if x:\n    'a'\n    'b'\nelse:\n    f'{y()}'\n"), "if x:\n pass\n\nelse:\n f'{y()}'\n");
    assert_eq!(small("if x:\n  if y:\n    'a' \\\n      'b'\n"), "if x:\n if y:\n  pass\n");
    assert_eq!(small("x = (1, # one\n     2)\ny = a + \\\n    b\n"), "x=(1,\n2)\ny=a+\\\nb\n");
    assert_eq!(small("if x:\r\n  y\r\n  \\\r\n  z\r\n"), "if x:\n y\n\n z\n");
    assert_eq!(small("x = '''a\r\nb'''"), "x='''a\nb'''\n");
    assert_eq!(small("# nothing\n"), "");
    assert_eq!(small("def f(): 'doc'\nx: 'int'\n"), "def f():'doc'\nx:'int'\n");
}

#[test]
fn tokens_that_would_merge_stay_apart() {
    assert_eq!(small("1 .real; a . b; '' 'a'; b - -c; x [. . .]\n"), "1 .real;a.b;'' 'a';b--c;x[. . .]\n");
    assert_eq!(small("print >> f , 1 if 2 else 'x'\n"), "print>>f,1 if 2 else 'x'\n");
}

#[test]
fn the_header_stays_when_asked() {
    let source = b"\xef\xbb\xbf#! /usr/bin/python\n# vim: coding=latin-1 :\n# third coding: x\nx\n";
    assert_eq!(
        minify(source, Header::Keep),
        b"\xef\xbb\xbf#! /usr/bin/python\n# vim: coding=latin-1 :\n\nx\n"
    );
    assert_eq!(minify(source, Header::Strip), b"\n\n\nx\n");
}

#[test]
fn what_is_not_python_is_left_alone() {
    for source in ["x = 'open\n  y # c\n", "x ?  y\n", "if x:\n   y\n  z\n"] {
        assert_eq!(small(source), source);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_token_is_lost_moved_or_made(pieces in prop::collection::vec(prop::sample::select(vec![
        "\n", "\n", "\r\n", " ", "  ", "\t", "\\\n", "# c", "if x:\n", "(", ")", "[", "]", "a", "1", "1.", ".5", ".", "...",
        "=", "==", "<", ">", "*", "**", "/", ":", ":=", "-", "->", "!=", "@", ",", ";", "`", "0x1", "1e", "L", "if", "r",
    ]), 0..40)) {
        let source = pieces.concat();
        let minified = small(&source);
        prop_assert_eq!(tokens(source.as_bytes()), tokens(minified.as_bytes()));
    }

    #[test]
    fn minifying_twice_changes_nothing_more(pieces in prop::collection::vec(prop::sample::select(vec![
        "\n", "\n ", "\n  ", "\r", " ", "\\\n", "\\\n ", "# c", "if x:", "'a'", "'''b\n'''", "f'{x}'", "u'x'", ";", "(", ")", "x",
    ]), 0..40)) {
        small(&pieces.concat());
    }
}
