//! Packs the agent: minifies its sources, joins and compresses them, once, when the crate is built.
//!
//! `python/MANIFEST` is the only list of the agent's modules: one `core NAME` or `deferred NAME` a
//! line, the core in the order in which it is packed; `keep NAME` names a parameter that users pass by
//! its name, so that it is not shortened, and `private NAME` an attribute that is. What comes out, in `OUT_DIR`:
//!
//! - `core.zlib`: `loader.py` NUL name NUL source NUL name NUL source ..., compressed;
//! - `NAME.zlib` for each deferred module;
//! - `agent.rs`: constants over these, and the first stage cut at its placeholders.
//!
//! No Python is needed to build.

use mitogen_wire::python::{Lexer, TokenKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

#[path = "src/minify.rs"]
#[expect(unreachable_pub, reason = "it is public in the crate that it belongs to")]
mod minify;
use minify::{Header, minify};

#[path = "src/shorten.rs"]
mod shorten;
use shorten::shorten;

/// Rounds of zopfli; measured on the agent, more gain nothing.
const ITERATIONS: NonZeroU64 = NonZeroU64::new(15).expect("15 is not 0");

/// The text in the first stage where the payload's size goes: a name of its own.
const SIZE: &str = "SIZE";
/// The text in the first stage where the remote name goes: a word within a string.
const NAME: &str = "NAME";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("python");
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/minify.rs");
    println!("cargo::rerun-if-changed=src/shorten.rs");
    // The directory too: a module that is added must be in the manifest.
    println!("cargo::rerun-if-changed={}", root.join("mitogen").display());

    let manifest = Manifest::read(&root);
    manifest.check_complete(&root);
    let mut generated = String::from("// Written by build.rs.\n");

    let modules = manifest.modules(&root);
    let mut pieces = vec![minified(&root.join("loader.py"))];
    for name in &manifest.core {
        pieces.push(name.clone().into_bytes());
        pieces.push(modules[name].clone());
    }
    assert!(pieces.iter().all(|piece| !piece.contains(&0)), "a NUL in the agent would end a piece of it");
    write(&out.join("core.zlib"), &compress(&pieces.join(&0)));
    generated.push_str(
        "pub(crate) const CORE_ZLIB: &[u8] = include_bytes!(concat!(env!(\"OUT_DIR\"), \"/core.zlib\"));\n",
    );
    let _ = writeln!(generated, "const CORE_MODULES: &[&str] = &{:?};", manifest.core);

    generated.push_str("const DEFERRED: &[DeferredModule] = &[\n");
    for name in &manifest.deferred {
        write(&out.join(format!("{name}.zlib")), &compress(&modules[name]));
        let path = format!("{}.py", name.replace('.', "/"));
        let _ = writeln!(
            generated,
            "DeferredModule {{ name: {name:?}, path: {path:?}, \
             zlib: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.zlib\")) }},"
        );
    }
    generated.push_str("];\n");

    for (name, file) in [("FIRST_STAGE", "first_stage.py"), ("UPSTREAM_STAGE", "upstream_stage.py")] {
        let pieces = first_stage(&root.join(file));
        let _ = writeln!(generated, "pub(crate) const {name}: &[Piece] = &[{pieces}];");
    }
    write(&out.join("agent.rs"), generated.as_bytes());
}

/// The agent's modules, by full name.
struct Manifest {
    core: Vec<String>,
    deferred: Vec<String>,
    keep: BTreeSet<String>,
    private: BTreeSet<String>,
}

impl Manifest {
    fn read(root: &Path) -> Manifest {
        let path = root.join("MANIFEST");
        let text = String::from_utf8(read(&path)).expect("the manifest is text");
        let mut manifest = Manifest {
            core: Vec::new(),
            deferred: Vec::new(),
            keep: BTreeSet::new(),
            private: BTreeSet::new(),
        };
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["core", name] => manifest.core.push(name.to_owned()),
                ["deferred", name] => manifest.deferred.push(name.to_owned()),
                ["keep", name] => drop(manifest.keep.insert(name.to_owned())),
                ["private", name] => drop(manifest.private.insert(name.to_owned())),
                _ => panic!(
                    "{}: not `core`, `deferred`, `keep` or `private` and a name: {line:?}",
                    path.display()
                ),
            }
        }
        manifest
    }

    /// The text of every module as it is packed.
    fn modules(&self, root: &Path) -> BTreeMap<String, Vec<u8>> {
        let names: Vec<&String> = self.core.iter().chain(&self.deferred).collect();
        let sources: Vec<Vec<u8>> =
            names.iter().map(|name| minified(&root.join(format!("{}.py", name.replace('.', "/"))))).collect();
        let texts = shorten(&sources, &self.keep, &self.private);
        names.into_iter().cloned().zip(texts).collect()
    }

    /// Sees that no module of the directory was forgotten.
    fn check_complete(&self, root: &Path) {
        let entries = fs::read_dir(root.join("mitogen")).expect("python/mitogen is a directory");
        for entry in entries {
            let file = entry.expect("python/mitogen can be listed").file_name();
            let Some(stem) = file.to_str().and_then(|file| file.strip_suffix(".py")) else { continue };
            let name = format!("mitogen.{stem}");
            assert!(
                self.core.contains(&name) || self.deferred.contains(&name),
                "python/MANIFEST names neither `core {name}` nor `deferred {name}`"
            );
        }
    }
}

fn minified(path: &Path) -> Vec<u8> {
    let source = read(path);
    let broken = Lexer::new(&source).find(|token| token.kind == TokenKind::Error);
    assert!(broken.is_none(), "{} is not Python: {broken:?}", path.display());
    let small = minify(&source, Header::Strip);
    assert!(small.is_ascii(), "{} must be ASCII: Python 2 reads it without a coding line", path.display());
    small
}

/// A first stage as Rust source: its text, cut where the placeholders are. Nobody sees its line
/// numbers, so its empty lines go.
fn first_stage(path: &Path) -> String {
    let text = String::from_utf8(minified(path)).expect("it is ASCII");
    let text = text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let mut cuts = Vec::new();
    for token in Lexer::new(text.as_bytes()) {
        let word = &text[token.range()];
        if token.kind == TokenKind::Name && word == SIZE {
            cuts.push((token.range(), "Piece::Size"));
        } else if token.kind == TokenKind::String
            && let Some(at) = word.find(NAME)
        {
            let start = token.start + at;
            cuts.push((start..start + NAME.len(), "Piece::Name"));
        }
    }
    let found = |piece: &str| cuts.iter().filter(|(_, cut)| *cut == piece).count();
    assert!(
        found("Piece::Size") == 1 && found("Piece::Name") == 1 && text.matches(NAME).count() == 1,
        "{} must hold {SIZE} once as a name and {NAME} once within a string",
        path.display()
    );
    let mut pieces = String::new();
    let mut at = 0;
    for (range, piece) in cuts {
        let _ = write!(pieces, "Piece::Text({:?}), {piece}, ", &text[at..range.start]);
        at = range.end;
    }
    let _ = write!(pieces, "Piece::Text({:?})", &text[at..]);
    pieces
}

fn compress(data: &[u8]) -> Vec<u8> {
    let options = zopfli::Options { iteration_count: ITERATIONS, ..zopfli::Options::default() };
    let mut out = Vec::new();
    zopfli::compress(options, zopfli::Format::Zlib, data, &mut out)
        .expect("memory takes all that is written");
    out
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn read(path: &Path) -> Vec<u8> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, data: &[u8]) {
    fs::write(path, data).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
