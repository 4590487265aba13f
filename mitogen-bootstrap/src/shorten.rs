//! Gives the agent's local variables and private attributes names of one letter.
//!
//! The build script includes this file; the crate itself holds it for its tests. It saves a twelfth of
//! the compressed core, and costs nothing where the agent is read: the sources keep their names.
//!
//! Only the agent's own sources pass through here, and only a name that can be nothing but a local
//! variable is touched: one that its function binds (as a parameter, by assignment, `for` or `as`),
//! that is no builtin, that the module never uses outside functions, and that no `import`, `global` or
//! `def` mentions. A parameter keeps its name if it has a default, if any call of any module passes
//! an argument by that name, or if its function takes any argument by name (`**`): one of those may have
//! the letter that it would get. A function with a class, an f-string, `locals`, `vars`, `dir` or `eval` in
//! it keeps all its names. A function and all that is nested in it are renamed as one, so that closures
//! agree.
//!
//! What is left to the agent's author: a positional parameter that *users* pass by its name must be
//! listed with `keep NAME` in the manifest; an attribute (a method's name, a variable of objects or of a
//! class) is shortened if it is listed with `private NAME`. That name must belong to our classes alone:
//! every `.NAME` of every module is renamed, whatever stands in front of the dot.

use mitogen_wire::python::{Lexer, Token, TokenKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Builtins of either dialect that somebody might also use as a variable's name.
const BUILTINS: &str = " abs all any apply ascii bin bool buffer bytearray bytes callable chr classmethod cmp coerce \
    compile complex copyright credits delattr dict dir divmod enumerate eval exec execfile exit file filter float \
    format frozenset getattr globals hasattr hash help hex id input int intern isinstance issubclass iter len \
    license list locals long map max memoryview min next object oct open ord pow print property quit range \
    raw_input reduce reload repr reversed round set setattr slice sorted staticmethod str sum super tuple \
    type unichr unicode vars xrange zip ";

/// Shortens the local names of all the agent's modules, and the attributes `private`. `keep` are names
/// that must stay.
///
/// # Panics
/// When a name in `private` is something else besides an attribute, or there are too many.
pub(crate) fn shorten(
    sources: &[Vec<u8>],
    keep: &BTreeSet<String>,
    private: &BTreeSet<String>,
) -> Vec<Vec<u8>> {
    let sources = &shorten_attributes(sources, private)[..];
    let modules: Vec<Module<'_>> = sources.iter().map(|source| Module::new(source)).collect();
    let mut reserved: BTreeSet<&[u8]> = keep.iter().map(|name| name.as_bytes()).collect();
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    for module in &modules {
        for at in 0..module.tokens.len() {
            if module.is_bare(at) {
                *counts.entry(module.text(at)).or_default() += 1;
            }
        }
        reserved.extend(module.keywords());
    }
    // A name gets the same letter everywhere if it can: that is what compresses.
    let mut letters = BTreeMap::new();
    modules.iter().map(|module| module.shortened(&reserved, &counts, &mut letters)).collect()
}

/// Gives the attributes `private` names of one letter, the most frequent one first.
fn shorten_attributes(sources: &[Vec<u8>], private: &BTreeSet<String>) -> Vec<Vec<u8>> {
    let modules: Vec<Module<'_>> = sources.iter().map(|source| Module::new(source)).collect();
    let mut counts: BTreeMap<&[u8], usize> = private.iter().map(|name| (name.as_bytes(), 0)).collect();
    for module in &modules {
        module.check_private(&counts);
        for at in module.attributes() {
            if let Some(count) = counts.get_mut(module.text(at)) {
                *count += 1;
            }
        }
    }
    let taken: BTreeSet<&[u8]> =
        modules.iter().flat_map(|module| module.attributes().map(|at| module.text(at))).collect();
    let mut names: Vec<&[u8]> = counts.keys().copied().collect();
    names.sort_by_key(|name| (std::cmp::Reverse(counts[name]), *name));
    let mut free = (b'a'..=b'z').chain(b'A'..=b'Z').filter(|letter| !taken.contains(&[*letter] as &[u8]));
    let letters: BTreeMap<&[u8], u8> =
        names.into_iter().map(|name| (name, free.next().expect("a letter for each private name"))).collect();
    let edits = |module: &Module<'_>| {
        let edit = |at| Some((at, *letters.get(module.text(at))?));
        module.attributes().filter_map(edit).collect()
    };
    modules.iter().map(|module| module.edited(&edits(module))).collect()
}

/// A module's tokens, without trivia.
struct Module<'a> {
    source: &'a [u8],
    tokens: Vec<Token>,
    /// The brackets open at each token.
    depths: Vec<usize>,
}

impl<'a> Module<'a> {
    fn new(source: &'a [u8]) -> Module<'a> {
        let tokens: Vec<Token> = Lexer::new(source).filter(|token| !token.kind.is_trivia()).collect();
        let mut depth = 0usize;
        let depths = tokens.iter().map(|token| match token.text(source) {
            b"(" | b"[" | b"{" => {
                depth += 1;
                depth - 1
            }
            b")" | b"]" | b"}" => {
                depth = depth.saturating_sub(1);
                depth
            }
            _ => depth,
        });
        let depths = depths.collect();
        Module { source, tokens, depths }
    }

    /// A token's text; nothing outside of the module.
    fn text(&self, at: usize) -> &'a [u8] {
        self.tokens.get(at).map_or(b"", |token| token.text(self.source))
    }

    fn before(&self, at: usize) -> &'a [u8] {
        at.checked_sub(1).map_or(b"", |before| self.text(before))
    }

    /// Whether a token is a name, and no attribute's.
    fn is_bare(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Name) && self.before(at) != b"."
    }

    fn is(&self, at: usize, kind: TokenKind) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == kind)
    }

    /// The outermost functions, each from its `def` to the end of its body.
    fn functions(&self) -> Vec<Range<usize>> {
        let mut functions = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if !(self.is_bare(at) && self.text(at) == b"def") {
                at += 1;
                continue;
            }
            let start = at;
            while at < self.tokens.len() && !self.is(at, TokenKind::Newline) {
                at += 1;
            }
            at += 1;
            let mut blocks = 0usize;
            while self.is(at, TokenKind::Indent) || blocks > 0 {
                blocks += usize::from(self.is(at, TokenKind::Indent));
                blocks -= usize::from(self.is(at, TokenKind::Dedent));
                at += 1;
            }
            functions.push(start..at.min(self.tokens.len()));
        }
        functions
    }

    fn shortened(
        &self,
        reserved: &BTreeSet<&[u8]>,
        counts: &BTreeMap<&[u8], usize>,
        letters: &mut BTreeMap<&'a [u8], u8>,
    ) -> Vec<u8> {
        let functions = self.functions();
        let inside = |at: usize| functions.iter().any(|function| function.contains(&at));
        let mut global: BTreeSet<&[u8]> = (0..self.tokens.len())
            .filter(|&at| self.is_bare(at) && !inside(at))
            .map(|at| self.text(at))
            .collect();
        global.extend(functions.iter().map(|function| self.text(function.start + 1)));

        let mut edits: BTreeMap<usize, u8> = BTreeMap::new();
        for function in functions.iter().filter(|function| self.is_plain(function)) {
            let used: BTreeSet<&[u8]> =
                function.clone().filter(|&at| self.is_bare(at)).map(|at| self.text(at)).collect();
            let mut names: Vec<&[u8]> = self.locals(function, reserved).into_iter().collect();
            names.retain(|name| name.len() > 1 && !global.contains(name));
            names.sort_by_key(|name| (std::cmp::Reverse(counts.get(name)), *name));
            let mut free: Vec<u8> = (b'a'..=b'z')
                .chain(b'A'..=b'Z')
                .filter(|letter| !used.contains(&[*letter] as &[u8]))
                .collect();
            let mut chosen = BTreeMap::new();
            for name in names {
                let wanted = letters.get(name).and_then(|letter| free.iter().position(|f| f == letter));
                if free.is_empty() {
                    break;
                }
                let letter = free.remove(wanted.unwrap_or(0));
                letters.entry(name).or_insert(letter);
                chosen.insert(name, letter);
            }
            for at in function.clone().filter(|&at| self.is_bare(at) && !self.is_keyword(at)) {
                if let Some(&letter) = chosen.get(self.text(at)) {
                    edits.insert(at, letter);
                }
            }
        }

        self.edited(&edits)
    }

    /// The source with letters in the place of some tokens.
    fn edited(&self, edits: &BTreeMap<usize, u8>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.source.len());
        let mut copied = 0;
        for (&at, &letter) in edits {
            out.extend_from_slice(&self.source[copied..self.tokens[at].start]);
            out.push(letter);
            copied = self.tokens[at].end;
        }
        out.extend_from_slice(&self.source[copied..]);
        out
    }

    /// Where names of attributes stand: behind a dot, and where a class binds them.
    fn attributes(&self) -> impl Iterator<Item = usize> {
        let functions = self.functions();
        let mut level = 0usize;
        (0..self.tokens.len()).filter(move |&at| {
            level += usize::from(self.is(at, TokenKind::Indent));
            level -= usize::from(self.is(at, TokenKind::Dedent));
            if !self.is(at, TokenKind::Name) || !self.is_bare(at) {
                return self.is(at, TokenKind::Name);
            }
            let function = functions.iter().find(|function| function.contains(&at));
            level > 0
                && self.depths[at] == 0
                && function.map_or_else(|| self.is_target(at), |function| at == function.start + 1)
        })
    }

    /// # Panics
    /// When a name in `private` is also something of the module itself, an argument passed by name or
    /// the whole of a string.
    fn check_private(&self, private: &BTreeMap<&[u8], usize>) {
        let functions = self.functions();
        let mut level = 0usize;
        for at in 0..self.tokens.len() {
            level += usize::from(self.is(at, TokenKind::Indent));
            level -= usize::from(self.is(at, TokenKind::Dedent));
            let text = self.text(at);
            let string = self.is(at, TokenKind::String);
            let name = if string { text.trim_ascii().get(1..text.len() - 1).unwrap_or(text) } else { text };
            let outside = level == 0
                && !functions.iter().any(|function| function.contains(&at) && at != function.start + 1);
            let wrong = string || self.is_bare(at) && (outside || self.is_keyword(at));
            assert!(
                !(wrong && private.contains_key(name)),
                "{:?} is not only an attribute",
                name.escape_ascii().to_string()
            );
        }
    }

    /// Whether nothing in a function lets its variables' names be seen.
    fn is_plain(&self, function: &Range<usize>) -> bool {
        const REVEALING: [&[u8]; 5] = [b"class", b"locals", b"vars", b"dir", b"eval"];
        function.clone().all(|at| {
            let text = self.text(at);
            let formatted = self.is(at, TokenKind::String)
                && text.iter().take_while(|b| b.is_ascii_alphabetic()).any(|b| b"fFtT".contains(b));
            !(formatted || (self.is_bare(at) && REVEALING.contains(&text)))
        })
    }

    /// The names that a function binds and that nothing else gives a meaning to.
    fn locals(&self, function: &Range<usize>, reserved: &BTreeSet<&[u8]>) -> BTreeSet<&'a [u8]> {
        let mut bound = BTreeSet::new();
        let mut foreign = BTreeSet::new();
        let mut parameters = Vec::new();
        for at in function.clone().filter(|&at| self.is_bare(at)) {
            match self.text(at) {
                b"def" => {
                    foreign.insert(self.text(at + 1));
                    parameters.extend(self.parameters(at));
                    foreign.extend(self.rivals(at));
                }
                b"lambda" => {
                    parameters.extend(self.parameters(at));
                    foreign.extend(self.rivals(at));
                }
                b"for" => {
                    let targets = (at + 1..function.end).take_while(|&at| self.text(at) != b"in");
                    bound.extend(targets.filter(|&at| self.is_bare(at)).map(|at| self.text(at)));
                }
                b"as" => {
                    bound.insert(self.text(at + 1));
                }
                b"import" | b"from" | b"global" | b"nonlocal" => {
                    let line = (at + 1..function.end).take_while(|&at| !self.is(at, TokenKind::Newline));
                    foreign.extend(line.map(|at| self.text(at)));
                }
                name if self.depths[at] == 0 && self.is_target(at) => {
                    bound.insert(name);
                }
                _ => {}
            }
        }
        for at in parameters {
            let name = self.text(at);
            bound.insert(name);
            if self.text(at + 1) == b"=" || reserved.contains(name) {
                foreign.insert(name);
            }
        }
        bound.retain(|name| {
            let word = [b" ", *name, b" "].concat();
            !foreign.contains(name) && !BUILTINS.as_bytes().windows(word.len()).any(|known| known == word)
        });
        bound
    }

    /// Whether the bare name at `at`, outside brackets, is assigned to: `NAME =`, or `NAME, ... =`.
    fn is_target(&self, at: usize) -> bool {
        let mut end = at + 1;
        while self.text(end) == b"," && self.is_bare(end + 1) {
            end += 2;
        }
        self.text(end) == b"="
    }

    /// The parameters of the `def` or `lambda` at `at`, as indices of tokens.
    fn parameters(&self, at: usize) -> Vec<usize> {
        let (first, depth) = match self.text(at) {
            b"def" => (at + 3, self.depths[at] + 1),
            _ => (at + 1, self.depths[at]),
        };
        let list = (first..self.tokens.len()).take_while(|&at| {
            self.depths[at] >= depth && !(self.depths[at] == depth && self.text(at) == b":")
        });
        list.filter(|&at| {
            self.depths[at] == depth
                && self.is_bare(at)
                && matches!(self.before(at), b"(" | b"," | b"*" | b"**" | b"lambda")
        })
        .collect()
    }

    /// The parameters that an argument for `**` would clash with, if it had their name.
    fn rivals(&self, at: usize) -> impl Iterator<Item = &'a [u8]> {
        let parameters = self.parameters(at);
        let takes_any = parameters.iter().any(|&at| self.before(at) == b"**");
        let named = parameters.into_iter().filter(move |&at| takes_any && !self.before(at).starts_with(b"*"));
        named.map(|at| self.text(at))
    }

    /// Whether the name at `at` is in front of a `=` within brackets.
    fn is_keyword(&self, at: usize) -> bool {
        self.depths[at] > 0 && self.text(at + 1) == b"="
    }

    /// The names by which calls of this module pass arguments.
    fn keywords(&self) -> BTreeSet<&'a [u8]> {
        let bare = || (0..self.tokens.len()).filter(|&at| self.is_bare(at));
        let definitions = bare().filter(|&at| matches!(self.text(at), b"def" | b"lambda"));
        let parameters: BTreeSet<usize> = definitions.flat_map(|at| self.parameters(at)).collect();
        bare()
            .filter(|&at| self.is_keyword(at) && !parameters.contains(&at))
            .map(|at| self.text(at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(source: &str) -> String {
        shorten_all(&[source]).remove(0)
    }

    fn shorten_all(sources: &[&str]) -> Vec<String> {
        let keep = BTreeSet::from(["kept".to_owned()]);
        let sources: Vec<Vec<u8>> = sources.iter().map(|source| source.as_bytes().to_vec()).collect();
        shorten(&sources, &keep, &BTreeSet::new())
            .into_iter()
            .map(|out| String::from_utf8(out).expect("ASCII"))
            .collect()
    }

    #[test]
    fn parameters_and_variables_become_letters() {
        assert_eq!(
            short(
                "def f(first, *rest):\n    total = first\n    for item in rest:\n        total += item.rest\n"
            ),
            "def f(a, *c):\n    d = a\n    for b in c:\n        d += b.rest\n"
        );
        assert_eq!(
            short("def f(it):\n    one, two = it\n    return lambda x: x + two\n"),
            "def f(a):\n    c, b = a\n    return lambda x: x + b\n"
        );
        assert_eq!(short("def f(it): return it\nit_ = 1\n"), "def f(a): return a\nit_ = 1\n");
    }

    #[test]
    fn an_argument_passed_by_name_may_come_from_a_variable() {
        assert_eq!(
            short("def f(size=1):\n    word = 2\n    g(word=word, size=size)\n"),
            "def f(size=1):\n    a = 2\n    g(word=a, size=size)\n"
        );
    }

    #[test]
    fn a_closure_and_its_function_agree() {
        assert_eq!(
            short("def f(outer):\n    def g(inner):\n        return outer, inner\n    return g\n"),
            "def f(b):\n    def g(a):\n        return b, a\n    return g\n"
        );
    }

    #[test]
    fn what_others_can_see_stays() {
        for source in [
            "limit = 1\ndef f():\n    limit = 2\n",
            "def f(size=1):\n    return size\n",
            "def f():\n    import os.path\n    from sys import argv as words\n    os = words = argv = 1\n",
            "def f():\n    global state\n    state = 1\n",
            "def f(thing):\n    return locals()\n",
            "def f(thing):\n    class A:\n        thing = 1\n",
            "def f(thing):\n    return f'{thing}'\n",
            "f = lambda first, second: g(first=first)\n",
            "def f(type, kept):\n    return injected.name\n",
            "def f():\n    def inner(): pass\n    inner = 1\n",
            "class A:\n    def f(self, word, **k): pass\n",
            "class A:\n    word = 1\n    def f(x, word): pass\n",
        ] {
            assert_eq!(short(source), source);
        }
        let both = ["def f(one, two):\n    return two\n", "f(1, two=2)\n"];
        assert_eq!(shorten_all(&both), ["def f(a, two):\n    return two\n", "f(1, two=2)\n"]);
    }

    fn attributes(sources: &[&str], private: &[&str]) -> Vec<String> {
        let private = private.iter().map(|name| (*name).to_owned()).collect();
        let sources: Vec<Vec<u8>> = sources.iter().map(|source| source.as_bytes().to_vec()).collect();
        let out = shorten(&sources, &BTreeSet::new(), &private);
        out.into_iter().map(|out| String::from_utf8(out).expect("ASCII")).collect()
    }

    #[test]
    fn private_attributes_become_letters_in_all_modules() {
        let one = "class A:\n    rest = b = None\n    def feed(self):\n        rest = self.rest\n        return rest.feed\n";
        let two = "def f(it):\n    it.feed(it.a, it.rest, it.rest)\n";
        assert_eq!(
            attributes(&[one, two], &["rest", "feed"]),
            [
                "class A:\n    c = b = None\n    def d(b):\n        a = b.c\n        return a.d\n",
                "def f(a):\n    a.d(a.a, a.c, a.c)\n",
            ]
        );
    }

    #[test]
    fn what_is_not_only_an_attribute_is_refused() {
        for source in
            ["def rest(): pass\n", "rest = 1\n", "import rest\n", "def f():\n    g(rest=1)\n", "f = 'rest'\n"]
        {
            let refused = std::panic::catch_unwind(|| attributes(&[source], &["rest"]));
            assert!(refused.is_err(), "{source}");
        }
    }
}
