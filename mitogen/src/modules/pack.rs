//! Answers as messages: bundles, compressed by several threads, and kept for the next who asks.

use super::parallel::in_parallel;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use mitogen_importer::{Answer, Delivery, Module, ModuleName};
use mitogen_wire::body::{BundleEntry, LoadBundle, LoadModule, LoadedModule};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

/// How many bytes of compressed answers are kept.
const KEPT: usize = 64 << 20;

/// Answers that were sent before.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    /// Parts by what was asked for.
    kept: HashMap<ModuleName, Vec<Kept>>,
    /// Modules that were sent one by one.
    single: HashMap<ModuleName, (Arc<Module>, Bytes)>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    part: Part,
}

/// A part of an answer, compressed.
#[derive(Clone, Debug)]
struct Part {
    head: Bytes,
    body: Bytes,
}

impl Packer {
    /// The messages of parts of answers; `None` for one that cannot be written.
    pub(crate) fn pack(&mut self, answers: &[&Answer]) -> Vec<Option<LoadBundle>> {
        let mut fresh: Vec<&Answer> = Vec::new();
        for &answer in answers {
            if self.kept(answer).is_none() && !fresh.iter().any(|other| is_same(other, answer)) {
                fresh.push(answer);
            }
        }
        let packed = in_parallel(fresh, |answer| (answer, compress(answer)));
        let message = |answer: &&Answer| {
            let new = || packed.iter().find(|(other, _)| is_same(other, answer))?.1.as_ref();
            let Part { head, body } = self.kept(answer).or_else(new)?.clone();
            Some(LoadBundle { name: answer.name.to_string(), last: answer.last, head, body })
        };
        let messages = answers.iter().map(message).collect();
        if self.bytes > KEPT {
            *self = Packer::default();
        }
        for (answer, part) in packed {
            // What nobody has is asked for once, by mistake; no memory for that.
            if let Some(part) = part.filter(|_| !answer.modules.is_empty()) {
                self.bytes += part.head.len() + part.body.len();
                let kept = Kept { answer: answer.clone(), part };
                self.kept.entry(answer.name.clone()).or_default().push(kept);
            }
        }
        messages
    }

    fn kept(&self, answer: &Answer) -> Option<&Part> {
        let kept = self.kept.get(&answer.name)?.iter().find(|kept| is_same(&kept.answer, answer))?;
        Some(&kept.part)
    }

    /// The messages of an answer in the standard protocol, in their order.
    pub(crate) fn deliver(&mut self, answer: &Answer) -> Vec<LoadModule> {
        let deliveries = answer.deliveries();
        let modules = deliveries.iter().filter_map(|delivery| delivery.module.as_ref());
        let fresh: Vec<&Arc<Module>> = modules
            .filter(|module| !self.single.get(&module.name).is_some_and(|(old, _)| Arc::ptr_eq(old, module)))
            .collect();
        let packed = in_parallel(fresh.clone(), |module| deflate([&module.source]));
        if self.bytes > KEPT {
            *self = Packer::default();
        }
        let mut single = HashMap::new();
        for (module, packed) in fresh.into_iter().zip(packed) {
            single.insert(module.name.clone(), (Arc::clone(module), packed.unwrap_or_default()));
        }
        self.bytes += single.values().map(|(_, packed)| packed.len()).sum::<usize>();
        self.single.extend(single);
        let body = |delivery: Delivery| LoadModule {
            module: delivery.module.and_then(|module| {
                Some(LoadedModule {
                    package: module.children.clone(),
                    path: module.path.clone(),
                    compressed: self.single.get(&module.name)?.1.clone(),
                    related: delivery.related.iter().map(ModuleName::to_string).collect(),
                })
            }),
            name: delivery.name.to_string(),
        };
        deliveries.into_iter().map(body).collect()
    }
}

/// Whether they say the same, in bytes.
fn is_same(a: &Answer, b: &Answer) -> bool {
    a.name == b.name
        && a.modules.len() == b.modules.len()
        && a.modules.iter().zip(&b.modules).all(|(a, b)| Arc::ptr_eq(a, b))
        && a.absent == b.absent
}

fn compress(answer: &Answer) -> Option<Part> {
    let mut entries: Vec<BundleEntry> = answer
        .modules
        .iter()
        .map(|module| BundleEntry {
            name: module.name.to_string(),
            children: module.children.as_ref().map(|names| marked(names, &module.packages)),
            path: Some(module.path.clone()),
            size: module.source.len(),
            reason: None,
        })
        .collect();
    entries.extend(answer.absent.iter().map(|(name, absence)| BundleEntry {
        name: name.to_string(),
        children: None,
        path: None,
        size: 0,
        reason: absence.reason(),
    }));
    let head = deflate([&BundleEntry::encode_all(entries).ok()?])?;
    let body = deflate(answer.modules.iter().map(|module| &module.source))?;
    Some(Part { head, body })
}

/// The names of members, those of packages with a slash.
fn marked(names: &[String], packages: &[String]) -> Vec<String> {
    let mark = |name: &String| match packages.binary_search(name) {
        Ok(_) => format!("{name}/"),
        Err(_) => name.clone(),
    };
    names.iter().map(mark).collect()
}

fn deflate<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> Option<Bytes> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    for piece in pieces {
        encoder.write_all(piece).ok()?;
    }
    Some(encoder.finish().ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_module_that_goes_alone_is_compressed_once() {
        let name = ModuleName::parse("pack").expect("a name");
        let module = Arc::new(Module {
            name: name.clone(),
            children: Some(vec!["inner".to_owned()]),
            packages: vec!["inner".to_owned()],
            path: "/x/pack/__init__.py".to_owned(),
            source: Bytes::from_static(b"X = 1\n"),
            needs: Vec::new(),
        });
        let answer =
            Answer { name, modules: vec![module], absent: Vec::new(), before: Vec::new(), last: true };
        let mut packer = Packer::default();
        let first = packer.deliver(&answer);
        let loaded = first[0].module.as_ref().expect("a module");
        assert_eq!((&*first[0].name, &*loaded.path), ("pack", "/x/pack/__init__.py"));
        assert_eq!(loaded.package.as_deref(), Some(&["inner".to_owned()][..]));
        let mut source = String::new();
        flate2::read::ZlibDecoder::new(&*loaded.compressed).read_to_string(&mut source).expect("zlib");
        assert_eq!(source, "X = 1\n");
        let again = packer.deliver(&answer);
        let same = again[0].module.as_ref().expect("a module").compressed.as_ptr();
        assert_eq!(same, loaded.compressed.as_ptr());
    }
}
