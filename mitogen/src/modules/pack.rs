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

/// How many bytes of source go into one part. A larger one gains nothing: zlib looks back 32 KiB.
const PART: usize = 192 << 10;
/// How many bytes of compressed answers are kept.
const KEPT: usize = 64 << 20;

/// Answers that were sent before.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    kept: HashMap<String, Vec<Kept>>,
    /// Modules that were sent one by one.
    single: HashMap<ModuleName, (Arc<Module>, Bytes)>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    modules: Vec<Arc<Module>>,
    absent: Vec<(String, Option<String>)>,
    parts: Vec<Part>,
}

/// A part of an answer, compressed.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    head: Bytes,
    body: Bytes,
}

impl Packer {
    /// The messages of an answer, in their order. `None` if it cannot be written.
    pub(crate) fn pack(&mut self, answer: &Answer) -> Option<Vec<LoadBundle>> {
        let name = answer.name.to_string();
        let absent: Vec<(String, Option<String>)> =
            answer.absent.iter().map(|(name, absence)| (name.to_string(), absence.reason())).collect();
        let same = |kept: &&Kept| {
            kept.absent == absent
                && kept.modules.len() == answer.modules.len()
                && kept.modules.iter().zip(&answer.modules).all(|(old, new)| Arc::ptr_eq(old, new))
        };
        let parts = match self.kept.get(&name).and_then(|kept| kept.iter().find(same)) {
            Some(kept) => kept.parts.clone(),
            None => {
                let parts = compress(&answer.modules, &absent)?;
                if self.bytes > KEPT {
                    *self = Packer::default();
                }
                // What nobody has is asked for once, by mistake; no memory for that.
                if !answer.modules.is_empty() {
                    self.bytes += parts.iter().map(|part| part.head.len() + part.body.len()).sum::<usize>();
                    let kept = Kept { modules: answer.modules.clone(), absent, parts: parts.clone() };
                    self.kept.entry(name.clone()).or_default().push(kept);
                }
                parts
            }
        };
        let count = parts.len();
        let message = |(at, part): (usize, Part)| LoadBundle {
            name: name.clone(),
            last: at + 1 == count,
            head: part.head,
            body: part.body,
        };
        Some(parts.into_iter().enumerate().map(message).collect())
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

fn compress(modules: &[Arc<Module>], absent: &[(String, Option<String>)]) -> Option<Vec<Part>> {
    let mut groups: Vec<&[Arc<Module>]> = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, module) in modules.iter().enumerate() {
        if size > 0 && size + module.source.len() > PART {
            groups.push(&modules[start..at]);
            (start, size) = (at, 0);
        }
        size += module.source.len();
    }
    groups.push(&modules[start..]);
    let last = groups.len() - 1;
    let tasks: Vec<_> = groups.into_iter().enumerate().collect();
    let parts = in_parallel(tasks, |(at, group)| compress_part(group, if at == last { absent } else { &[] }));
    parts.into_iter().collect()
}

fn compress_part(modules: &[Arc<Module>], absent: &[(String, Option<String>)]) -> Option<Part> {
    let mut entries: Vec<BundleEntry> = modules
        .iter()
        .map(|module| BundleEntry {
            name: module.name.to_string(),
            children: module.children.as_ref().map(|names| marked(names, &module.packages)),
            path: Some(module.path.clone()),
            size: module.source.len(),
            reason: None,
        })
        .collect();
    entries.extend(absent.iter().map(|(name, reason)| BundleEntry {
        name: name.clone(),
        children: None,
        path: None,
        size: 0,
        reason: reason.clone(),
    }));
    let head = deflate([&BundleEntry::encode_all(entries).ok()?])?;
    let body = deflate(modules.iter().map(|module| &module.source))?;
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
        let answer = Answer { name, modules: vec![module], absent: Vec::new(), before: Vec::new() };
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
