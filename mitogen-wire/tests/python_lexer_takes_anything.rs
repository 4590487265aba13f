//! Whatever the bytes: the lexer ends, its tokens tile the input, its blocks balance, and its time is
//! linear.

use mitogen_wire::python::{Lexer, Token, TokenKind};
use proptest::prelude::*;

/// Lexes, and checks all that the module promises of any input.
fn lex(source: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut at, mut line, mut blocks) = (0, 1, 0i64);
    for token in Lexer::new(source) {
        assert_eq!(token.start, at, "no gap and no overlap");
        assert_eq!(token.line, line, "lines are counted at {token:?}");
        let empty_allowed = matches!(
            token.kind,
            TokenKind::Indent | TokenKind::Dedent | TokenKind::Newline | TokenKind::Error
        );
        assert!(token.end > token.start || empty_allowed, "{token:?} is empty");
        line += newlines(token.text(source));
        at = token.end;
        blocks += match token.kind {
            TokenKind::Indent => 1,
            TokenKind::Dedent => -1,
            _ => 0,
        };
        assert!(blocks >= 0, "a block is closed that was not open");
        tokens.push(token);
    }
    assert_eq!(at, source.len(), "the tokens reach the end");
    assert_eq!(blocks, 0, "every block is closed");
    tokens
}

fn newlines(text: &[u8]) -> u32 {
    let ends = |at: usize| text[at] == b'\n' || (text[at] == b'\r' && text.get(at + 1) != Some(&b'\n'));
    (0..text.len()).filter(|&at| ends(at)).count() as u32
}

/// The tokens that a parser would see, as text; `>` and `<` for indents and dedents.
fn shape(source: &str) -> Vec<String> {
    lex(source.as_bytes())
        .iter()
        .filter(|token| !token.kind.is_trivia())
        .map(|token| match token.kind {
            TokenKind::Indent => ">".into(),
            TokenKind::Dedent => "<".into(),
            TokenKind::Newline => ";".into(),
            TokenKind::Error => format!("!{}", &source[token.range()]),
            _ => source[token.range()].to_owned(),
        })
        .collect()
}

/// Pieces that make lexers stumble, and some noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"    ",
        b"\t",
        b"\x0c",
        b"\\\n",
        b"\\",
        b"\\\r\n",
        b"#",
        b"# c\n",
        b"'",
        b"\"",
        b"'''",
        b"\"\"\"",
        b"f'",
        b"f\"",
        b"rf'''",
        b"Rb\"",
        b"ur'",
        b"{",
        b"}",
        b"{{",
        b"}}",
        b"(",
        b")",
        b"[",
        b"]",
        b":",
        b"!r",
        b"\\N{DASH}",
        b"\\{",
        b"x",
        b"if x:",
        b"0x",
        b"0x1fL",
        b"1e",
        b"1e-5j",
        b".5",
        b"1_0",
        b"...",
        b"..",
        b"**=",
        b"<>",
        b"->",
        b":=",
        b"!",
        b"$",
        b"?",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3\xa9",
        b"`",
    ];
    prop_oneof![9 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec), 1 => any::<u8>().prop_map(|b| vec![b])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn tokens_tile_any_input(pieces in prop::collection::vec(piece(), 0..60)) {
        lex(&pieces.concat());
    }
}

#[test]
fn tokens_of_both_dialects() {
    assert_eq!(
        shape("print >>f, 0777L, ur'\\'', `x` <> 1_0.e-5J\n"),
        ["print", ">>", "f", ",", "0777L", ",", "ur'\\''", ",", "`", "x", "`", "<>", "1_0.e-5J", ";"]
    );
    assert_eq!(
        shape("a@=b:=...->c//=1**=2"),
        ["a", "@=", "b", ":=", "...", "->", "c", "//=", "1", "**=", "2", ";"]
    );
    assert_eq!(shape("0xfor 1 1if 1else 0b12"), ["0xf", "or", "1", "1", "if", "1", "else", "0b1", "2", ";"]);
    assert_eq!(shape("\u{feff}# -*- coding: utf-8 -*-\rx\r\ny"), ["x", ";", "y", ";"]);
    assert_eq!(shape("a ? b\0c ! d"), ["a", "!?", "b", "!\0", "c", "!!", "d", ";"]);
}

#[test]
fn indentation_as_cpython_counts_it() {
    assert_eq!(shape("if x:\n\ty\n        z\n"), ["if", "x", ":", ";", ">", "y", ";", "z", ";", "<"]);
    assert_eq!(shape("if x:\n  y\n # c\n\n  z"), ["if", "x", ":", ";", ">", "y", ";", "z", ";", "<"]);
    assert_eq!(
        shape("if x:\n    y\n  z\n"),
        ["if", "x", ":", ";", ">", "y", ";", "<", "!", ">", "z", ";", "<"]
    );
    assert_eq!(shape("if x:\n  \x0c  y\n  z"), ["if", "x", ":", ";", ">", "y", ";", "z", ";", "<"]);
    assert_eq!(shape("if x:\n  \\\n      y\n  z"), ["if", "x", ":", ";", ">", "y", ";", "z", ";", "<"]);
    assert_eq!(shape("f(\n  1,\n      # c\n2)\n"), ["f", "(", "1", ",", "2", ")", ";"]);
}

#[test]
fn formatted_strings_nest() {
    for whole in [
        r#"f"{a["b"]}""#,
        r#"f"{f"{f"{1}"}"}""#,
        r#"f'{x!r:>{w}}{{'"#,
        r#"f"{'}'}{"{"}""#,
        r#"f'\N{EM DASH}{d['k']}'"#,
        r#"rf"\{x}\"""#,
        r#"f"{x:{"a":>{"b"}}}""#,
        "f'''{\nx # }'''\n}'''",
        "t\"{lambda_(lambda: 1)}\"",
        r#"f"{a[b:c]:d}""#,
    ] {
        assert_eq!(shape(whole), [whole, ";"]);
    }
    assert_eq!(shape("f'{x'\ny"), ["!f'{x'", ";", "y", ";"]);
    assert_eq!(shape("f'a\ny"), ["!f'a", ";", "y", ";"]);
}

#[test]
fn a_string_without_its_end_is_an_error_of_its_line() {
    assert_eq!(shape("x = 'a\ny"), ["x", "=", "!'a", ";", "y", ";"]);
    assert_eq!(shape("x = 'a\\\nb'\ny"), ["x", "=", "'a\\\nb'", ";", "y", ";"]);
    assert_eq!(shape("x = '''a\ny"), ["x", "=", "!'''a\ny", ";"]);
}

/// Each of these has broken some lexer's time or stack. 20 MB in all: a quadratic lexer would not
/// come back, a recursive one would crash.
#[test]
fn hostile_inputs_take_linear_time_and_no_stack() {
    let repeat = |unit: &[u8], len: usize| unit.iter().copied().cycle().take(len).collect::<Vec<u8>>();
    let units: [&[u8]; 14] = [
        b"\\\n",
        b"1+",
        b"(",
        b")",
        b"f\"{",
        b"f'",
        b"f'''{\n",
        b"'",
        b"'\n",
        b"\"\"\"\"",
        b"f'{x:{",
        b" \\\n",
        b"`{[",
        b"f'\\N{A",
    ];
    for unit in units {
        lex(&repeat(unit, 400_000));
    }
    let mut staircase = Vec::new();
    for depth in 0..1500 {
        staircase.extend(repeat(b" ", depth));
        staircase.extend_from_slice(b"if x:\n");
    }
    lex(&staircase);
    staircase.extend_from_slice(b" x\n");
    lex(&staircase);
}
