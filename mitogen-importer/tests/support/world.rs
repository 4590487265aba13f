//! A world of sources in memory, for the responder.

use bytes::Bytes;
use mitogen_importer::{Absence, Answer, Found, Module, ModuleName, Output, Responder, needs, scan};
use mitogen_wire::ContextId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Default)]
pub struct World {
    sources: BTreeMap<String, String>,
    /// Every name that was looked for, in order.
    pub looked: Vec<String>,
    /// What was found, where the same is to be found again, and not only its like.
    kept: Option<BTreeMap<ModuleName, Arc<Module>>>,
}

impl World {
    /// Each a name and a source; what has members is a package.
    pub fn new(sources: &[(&str, &str)]) -> World {
        let sources = sources.iter().map(|&(name, source)| (name.to_owned(), source.to_owned())).collect();
        World { sources, ..World::default() }
    }

    /// As long as a source is the same, so is the module.
    pub fn keeping(mut self) -> World {
        self.kept = Some(BTreeMap::new());
        self
    }

    /// Sets a source, or takes it away.
    pub fn change(&mut self, name: &str, source: Option<&str>) {
        match source {
            Some(source) => drop(self.sources.insert(name.to_owned(), source.to_owned())),
            None => drop(self.sources.remove(name)),
        }
    }

    pub fn find(&mut self, name: &ModuleName) -> Found {
        self.looked.push(name.to_string());
        let Some(source) = self.sources.get(name.as_str()) else { return Found::Absent(Absence::Missing) };
        if let Some(path) = source.strip_prefix("EXTENSION ") {
            return Found::Absent(Absence::Extension { path: path.to_owned() });
        }
        let inner = format!("{name}.");
        let members: BTreeSet<String> = self
            .sources
            .keys()
            .filter_map(|other| other.strip_prefix(&inner)?.split('.').next().map(str::to_owned))
            .collect();
        let children = (!members.is_empty()).then(|| members.into_iter().collect());
        let module = Module {
            needs: needs(&scan(source.as_bytes()), name, children.is_some()),
            name: name.clone(),
            path: format!("/src/{name}.py"),
            source: Bytes::copy_from_slice(source.as_bytes()),
            packages: Vec::new(),
            children,
        };
        let Some(kept) = &mut self.kept else { return Found::Module(Arc::new(module)) };
        let known = kept.entry(name.clone()).or_insert_with(|| Arc::new(module.clone()));
        if **known != module {
            *known = Arc::new(module);
        }
        Found::Module(Arc::clone(known))
    }

    /// Answers all that is asked, and gathers what is sent: an answer in parts as one, where it ends.
    pub fn run(&mut self, responder: &mut Responder) -> Vec<(ContextId, Answer)> {
        let mut whole = Vec::new();
        let mut begun: BTreeMap<(ContextId, ModuleName), Answer> = BTreeMap::new();
        for (link, part) in self.run_for_parts(responder) {
            let key = (link, part.name.clone());
            let answer = match begun.remove(&key) {
                None => part,
                Some(mut answer) => {
                    answer.modules.extend(part.modules);
                    answer.absent.extend(part.absent);
                    Answer { before: part.before, last: part.last, ..answer }
                }
            };
            match answer.last {
                true => whole.push((link, answer)),
                false => drop(begun.insert(key, answer)),
            }
        }
        assert!(begun.is_empty(), "an answer has no end");
        whole
    }

    /// Answers all that is asked, and gathers what is sent.
    pub fn run_for_parts(&mut self, responder: &mut Responder) -> Vec<(ContextId, Answer)> {
        let mut sent = Vec::new();
        while let Some(output) = responder.poll_output() {
            match output {
                Output::Find(name) => {
                    let found = self.find(&name);
                    responder.handle_found(name, found);
                }
                Output::Send { link, answer } => sent.push((link, answer)),
            }
        }
        assert!(responder.is_idle(), "a request was forgotten");
        sent
    }

    /// One request, and what is sent for it.
    pub fn ask(&mut self, responder: &mut Responder, link: u32, name: &str) -> Answer {
        responder.handle_request(ContextId(link), ModuleName::parse(name).expect("a name"));
        let mut sent = self.run(responder);
        assert_eq!(sent.len(), 1, "one request has one answer");
        sent.remove(0).1
    }
}

pub fn modules(answer: &Answer) -> Vec<&str> {
    answer.modules.iter().map(|module| module.name.as_str()).collect()
}

pub fn absent(answer: &Answer) -> Vec<&str> {
    answer.absent.iter().map(|(name, _)| name.as_str()).collect()
}
