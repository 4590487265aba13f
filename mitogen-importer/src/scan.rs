//! The imports that a source names.
//!
//! `import` and `from` are keywords in every dialect, and where a statement can begin (at the start of a
//! line, behind `;` and behind `:`) they begin an import and nothing else. So no grammar is needed: the
//! tokens of `mitogen_wire::python` are walked once, with one word of memory for each open block. It
//! never fails; of a source that is no Python it takes what looks like imports.

use crate::name::is_identifier;
use mitogen_wire::python::{Lexer, Token, TokenKind};

/// An import that a source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The line of the statement's first word, from 1.
    pub line: u32,
    /// How many dots stand in front of the module's name.
    pub level: u32,
    /// The module's name; empty in `from . import x`.
    pub module: String,
    /// The names that `from MODULE import` takes, `*` among them; `None` for `import MODULE`.
    pub names: Option<Vec<String>>,
    /// When it is carried out.
    pub runs: Runs,
}

/// When a statement is carried out, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runs {
    /// When its module is imported.
    Always,
    /// When its module is imported, perhaps: within `if`, `try` and the like.
    Perhaps,
    /// Later, if at all: within a function.
    Later,
    /// Never in a context: for type checkers alone, or under the guard of the main program.
    Never,
}

/// What there is to know of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The imports, in the order in which they stand there.
    pub imports: Vec<Import>,
    /// Whether `import x` cannot mean a sibling, not even to Python 2: `absolute_import` was asked for.
    pub absolute: bool,
    /// Where the main program's guard (`if __name__ == '__main__':`) begins, if there is one: an offset in bytes.
    pub main_guard: Option<usize>,
}

/// Finds the imports of a source of any dialect from 2.4 on.
///
/// Linear in the source's length; its stack is flat. Names that are no UTF-8 are left out.
pub fn scan(source: &[u8]) -> Scan {
    let mut tokens = Tokens { lexer: Lexer::new(source), source };
    let mut found = Scan::default();
    // When the statements of each open block run.
    let mut blocks: Vec<Runs> = Vec::new();
    let mut line = Line::default();
    // Whether a statement can begin here.
    let mut boundary = true;
    while let Some(token) = tokens.next() {
        match token.kind {
            TokenKind::Newline => {
                line.seen = 0;
                boundary = true;
                continue;
            }
            TokenKind::Indent => {
                blocks.push(line.runs);
                continue;
            }
            TokenKind::Dedent => {
                blocks.pop();
                continue;
            }
            _ => {}
        }
        let text = token.text(source);
        if line.seen == 0 {
            line.begin(token, blocks.last().copied().unwrap_or(Runs::Always), blocks.is_empty());
        }
        if boundary && matches!(text, b"import" | b"from") {
            let ended = match text {
                b"import" => import(&mut tokens, token.line, line.runs, &mut found),
                _ => from(&mut tokens, token.line, line.runs, &mut found),
            };
            // What follows a broken one is skipped with its line.
            boundary = true;
            line.seen += 1;
            match ended {
                Some(End::Newline) => line.seen = 0,
                Some(End::Semicolon) => {}
                None => boundary = false,
            }
            continue;
        }
        line.word(text, &mut found);
        boundary = matches!(text, b";" | b":");
    }
    found.absolute = found.imports.iter().any(|import| {
        let names = import.names.as_deref().unwrap_or_default();
        import.module == "__future__"
            && import.level == 0
            && names.iter().any(|name| name == "absolute_import")
    });
    found
}

/// What a logical line does to the statements behind its colon.
struct Line {
    runs: Runs,
    /// How many words of it were seen; saturating.
    seen: usize,
    /// The words of an `if`, as long as it can be one of the two that are known.
    header: Header,
    start: usize,
    outermost: bool,
}

impl Default for Line {
    fn default() -> Line {
        Line { runs: Runs::Always, seen: 0, header: Header::Other, start: 0, outermost: true }
    }
}

/// The condition of an `if`, so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    /// Of no interest.
    Other,
    /// `if`
    If,
    /// `if typing`: a name; with a dot behind it or not.
    Name,
    Dot,
    /// `if TYPE_CHECKING`, `if typing.TYPE_CHECKING`
    TypeChecking,
    /// `if __name__`
    MainName,
    MainEquals,
    /// `if __name__ == '__main__'`, either way round
    Main,
    MainText,
    MainTextEquals,
}

impl Line {
    fn begin(&mut self, token: Token, block: Runs, outermost: bool) {
        *self = Line { runs: block, start: token.start, outermost, ..Line::default() };
    }

    /// Looks at a word that is not an import's.
    fn word(&mut self, text: &[u8], found: &mut Scan) {
        use Header::*;
        let first = self.seen == 0;
        self.seen = self.seen.saturating_add(1);
        if first {
            let inner = match text {
                b"def" => Runs::Later,
                b"if" | b"elif" | b"else" | b"try" | b"except" | b"finally" | b"for" | b"while" | b"case"
                | b"match" => Runs::Perhaps,
                // `async def`, `async for`: a function or a part of one.
                b"async" => Runs::Later,
                _ => self.runs,
            };
            self.runs = self.runs.max(inner);
            self.header = if text == b"if" { If } else { Other };
            return;
        }
        self.header = match (self.header, text) {
            (Other, _) => return,
            (same, b"(" | b")") => same,
            (If, b"TYPE_CHECKING") | (Dot, b"TYPE_CHECKING") => TypeChecking,
            (If, b"__name__") => MainName,
            (If, text) if is_main_text(text) => MainText,
            (If | Dot, text) if std::str::from_utf8(text).is_ok_and(is_identifier) && text != b"not" => Name,
            (Name, b".") => Dot,
            (MainName, b"==") => MainEquals,
            (MainEquals, text) if is_main_text(text) => Main,
            (MainText, b"==") => MainTextEquals,
            (MainTextEquals, b"__name__") => Main,
            (TypeChecking, b":") => {
                self.runs = Runs::Never;
                Other
            }
            (Main, b":") if self.outermost => {
                self.runs = Runs::Never;
                found.main_guard.get_or_insert(self.start);
                Other
            }
            _ => Other,
        };
    }
}

/// Whether a token is the text `__main__`.
fn is_main_text(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"u").or(text.strip_prefix(b"b")).unwrap_or(text);
    matches!(text, b"'__main__'" | b"\"__main__\"")
}

/// How an import ended.
enum End {
    Newline,
    Semicolon,
}

/// The tokens that a parser would see.
struct Tokens<'a> {
    lexer: Lexer<'a>,
    source: &'a [u8],
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token> {
        self.lexer.by_ref().find(|token| !token.kind.is_trivia())
    }

    /// The next token's kind and text; a newline at the end.
    fn text(&mut self) -> (TokenKind, &'a [u8]) {
        self.next().map_or((TokenKind::Newline, b""), |token| (token.kind, token.text(self.source)))
    }
}

fn end(kind: TokenKind, text: &[u8]) -> Option<End> {
    match (kind, text) {
        (TokenKind::Newline, _) => Some(End::Newline),
        (_, b";") => Some(End::Semicolon),
        _ => None,
    }
}

/// A dotted name that begins with the token given; also the token behind it.
fn dotted<'a>(
    tokens: &mut Tokens<'a>,
    (mut kind, mut text): (TokenKind, &'a [u8]),
) -> (Option<String>, (TokenKind, &'a [u8])) {
    let mut name = String::new();
    let mut sound = true;
    loop {
        if kind != TokenKind::Name {
            return (None, (kind, text));
        }
        match std::str::from_utf8(text) {
            Ok(part) => name.push_str(part),
            Err(_) => sound = false,
        }
        (kind, text) = tokens.text();
        if text != b"." || kind != TokenKind::Operator {
            return (sound.then_some(name), (kind, text));
        }
        name.push('.');
        (kind, text) = tokens.text();
    }
}

/// `as NAME`, if it stands here; the token behind it.
fn alias<'a>(tokens: &mut Tokens<'a>, (kind, text): (TokenKind, &'a [u8])) -> (TokenKind, &'a [u8]) {
    if text != b"as" {
        return (kind, text);
    }
    match tokens.text() {
        (TokenKind::Name, _) => tokens.text(),
        other => other,
    }
}

/// What follows `import`.
fn import(tokens: &mut Tokens<'_>, line: u32, runs: Runs, found: &mut Scan) -> Option<End> {
    loop {
        let first = tokens.text();
        let (module, next) = dotted(tokens, first);
        if let Some(module) = module {
            found.imports.push(Import { line, level: 0, module, names: None, runs });
        }
        let (kind, text) = alias(tokens, next);
        if text != b"," {
            return end(kind, text);
        }
    }
}

/// What follows `from`.
fn from(tokens: &mut Tokens<'_>, line: u32, runs: Runs, found: &mut Scan) -> Option<End> {
    let mut level: u32 = 0;
    let mut next = tokens.text();
    while next.0 == TokenKind::Operator && !next.1.is_empty() && next.1.iter().all(|&b| b == b'.') {
        level = level.saturating_add(next.1.len() as u32);
        next = tokens.text();
    }
    let mut module = Some(String::new());
    if next.1 != b"import" {
        (module, next) = dotted(tokens, next);
    }
    if next.1 != b"import" {
        return end(next.0, next.1);
    }
    let mut names = Vec::new();
    let mut next = tokens.text();
    let bracket = next.1 == b"(";
    if bracket {
        next = tokens.text();
    }
    loop {
        match next {
            (TokenKind::Name, text) => {
                names.extend(std::str::from_utf8(text).ok().map(str::to_owned));
                let behind = tokens.text();
                next = alias(tokens, behind);
            }
            (_, b"*") => {
                names.push("*".to_owned());
                next = tokens.text();
            }
            _ => {}
        }
        if next.1 != b"," {
            break;
        }
        next = tokens.text();
    }
    if bracket && next.1 == b")" {
        next = tokens.text();
    }
    if let Some(module) = module.filter(|module| level > 0 || !module.is_empty()) {
        found.imports.push(Import { line, level, module, names: Some(names), runs });
    }
    end(next.0, next.1)
}
