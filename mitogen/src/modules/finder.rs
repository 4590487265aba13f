//! Finds modules on the search path, as Python's own finders would, without Python.

use super::archive::Archive;
use super::parallel::in_parallel;
use super::place::{Kind, Place, Places, Stamp};
use super::suffix::{compiled, is_name, module_of};
use super::{Given, ModuleSettings};
use bytes::Bytes;
use mitogen_importer::{Absence, Found, Module, ModuleName, needs, scan};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// How deep a namespace package may hide its first module.
const NAMESPACE_DEPTH: usize = 4;
/// How many bytes of sources are kept.
const CACHE: usize = 256 << 20;

/// The search path of one router, and what was found on it.
#[derive(Debug)]
pub(crate) struct Finder {
    roots: Arc<[Place]>,
    namesake: Option<Place>,
    places: Places,
    given: BTreeMap<ModuleName, Given>,
    script: Option<PathBuf>,
    cache: Mutex<Cache>,
    /// Where the members of packages are searched, since the last [`Finder::refresh`].
    inside: Mutex<HashMap<ModuleName, Inside>>,
}

/// The directories of a package, and how deep a namespace may be in them.
type Inside = (Arc<[Place]>, usize);

#[derive(Debug, Default)]
struct Cache {
    modules: HashMap<ModuleName, (Option<Stamp>, Arc<Module>)>,
    bytes: usize,
}

/// Where a name leads.
#[derive(Debug)]
enum Spot {
    /// A file with source, in this directory.
    Source(Place, String),
    /// A package: its directory, which holds `__init__.py`.
    Package(Place),
    /// A package without `__init__.py`, in all the directories of its name.
    Namespace(Vec<Place>),
    Extension(String),
    /// Bytecode without its source.
    Compiled(String),
}

/// What a package has as members: name -> whether that is a package too.
type Members = BTreeMap<String, bool>;

/// A name with all that is needed to read it.
enum Lead {
    Done(Found),
    Read { name: ModuleName, place: Place, file: String, members: Option<Members>, stamp: Option<Stamp> },
}

impl Finder {
    /// A finder for these settings. What is on the path and cannot be opened is passed over, as Python does;
    /// the second value says what that was.
    pub(crate) fn new(settings: &ModuleSettings) -> (Finder, Vec<String>) {
        let mut complaints = Vec::new();
        let mut paths = settings.paths.clone();
        if let Some(interpreter) = &settings.interpreter {
            match super::interpreter::search_path(interpreter) {
                Ok(more) => paths.extend(more),
                Err(error) => complaints.push(format!("{}: {error}", interpreter.display())),
            }
        }
        let mut roots = Vec::new();
        let mut canonical = Vec::new();
        for path in paths {
            if path.is_dir() {
                canonical.extend(std::fs::canonicalize(&path));
                roots.push(Place::Disk(path));
            } else {
                match Archive::open(&path) {
                    Ok(archive) => roots.push(Place::Archive(Arc::new(archive), String::new())),
                    Err(error) => complaints.push(format!("{}: {error}", path.display())),
                }
            }
        }
        if let Some(folder) = settings.script.as_ref().and_then(|script| std::fs::canonicalize(script).ok()) {
            canonical.extend(folder.parent().map(PathBuf::from));
        }
        let namesake = settings.namesake.as_ref().map(|folder| {
            canonical.extend(std::fs::canonicalize(folder.join("mitogen")));
            Place::Disk(folder.clone())
        });
        let finder = Finder {
            roots: roots.into(),
            namesake,
            places: Places::new(canonical),
            given: settings.given.clone(),
            script: settings.script.clone(),
            cache: Mutex::default(),
            inside: Mutex::default(),
        };
        (finder, complaints)
    }

    /// Looks for modules. Their sources are read and scanned by several threads if there are several.
    pub(crate) fn find_all(&self, names: Vec<ModuleName>) -> Vec<(ModuleName, Found)> {
        let leads: Vec<(ModuleName, Lead)> =
            names.into_iter().map(|name| (name.clone(), self.lead(name))).collect();
        let (reads, known): (Vec<_>, Vec<_>) =
            leads.into_iter().partition(|(_, lead)| matches!(lead, Lead::Read { .. }));
        let mut found = in_parallel(reads, |(name, lead)| (name, self.follow(lead)));
        found.extend(known.into_iter().map(|(name, lead)| (name, self.follow(lead))));
        found
    }

    /// From now on files and directories are looked at again.
    pub(crate) fn refresh(&self) {
        self.places.refresh();
        self.inside.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A data file of a package, or a directory's list if `file` is empty or ends with a slash.
    pub(crate) fn resource(&self, package: &ModuleName, file: &str) -> Option<Bytes> {
        if file.len() > 4096 || file.contains(['\0', '\\']) {
            return None;
        }
        if let Some(given) = self.given.get(package) {
            return given.resources.get(file).cloned();
        }
        let Some(Spot::Package(mut place)) = self.spot(package) else { return None };
        let (folders, name) = file.rsplit_once('/').unwrap_or(("", file));
        for folder in folders.split('/').filter(|_| !folders.is_empty()) {
            if self.places.list(&place).get(folder) != Some(&Kind::Directory) {
                return None;
            }
            place = place.inside(folder);
        }
        let listing = self.places.list(&place);
        if name.is_empty() {
            let line = |(name, kind): (&String, &Kind)| match kind {
                Kind::File => format!("{name}\n"),
                Kind::Directory => format!("{name}/\n"),
            };
            return Some(listing.iter().map(line).collect::<String>().into());
        }
        match listing.get(name) {
            Some(Kind::File) => self.places.read(&place, name).ok(),
            _ => None,
        }
    }

    fn lead(&self, name: ModuleName) -> Lead {
        if name.as_str() == "__main__" {
            return self.main_lead(name);
        }
        if let Some(given) = self.given.get(&name) {
            let members = self.given_members(&name, given.package);
            let file = if members.is_some() { "/__init__.py" } else { ".py" };
            return Lead::Done(module(name, format!("{}{file}", given.path), given.source.clone(), members));
        }
        let lost = |path: String, why: &str| {
            Lead::Done(Found::Absent(Absence::Refused { path, why: why.to_owned() }))
        };
        match self.spot(&name) {
            None => Lead::Done(Found::Absent(Absence::Missing)),
            Some(Spot::Extension(path)) => Lead::Done(Found::Absent(Absence::Extension { path })),
            Some(Spot::Compiled(path)) => {
                lost(path, "compiled code cannot be sent, and its source is not there")
            }
            Some(Spot::Namespace(places)) => {
                let mut members = Members::new();
                for place in &places {
                    members.extend(self.members(place, NAMESPACE_DEPTH));
                }
                let path = places[0].show("");
                Lead::Done(module(name, path, Bytes::new(), Some(members)))
            }
            Some(Spot::Source(place, file)) => self.cached(name, place, file, None),
            Some(Spot::Package(place)) => {
                let members = self.members(&place, 1);
                self.cached(name, place, "__init__.py".to_owned(), Some(members))
            }
        }
    }

    fn main_lead(&self, name: ModuleName) -> Lead {
        if let Some(given) = self.given.get(&name) {
            return Lead::Done(main_module(name, format!("{}.py", given.path), given.source.clone()));
        }
        let Some(script) = &self.script else { return Lead::Done(Found::Absent(Absence::Missing)) };
        let (Some(folder), Some(file)) = (script.parent(), script.file_name()) else {
            return Lead::Done(Found::Absent(Absence::Missing));
        };
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() };
        self.cached(name, Place::Disk(folder), file.to_string_lossy().into_owned(), None)
    }

    /// A module of the cache, if the file is the same.
    fn cached(&self, name: ModuleName, place: Place, file: String, members: Option<Members>) -> Lead {
        let stamp = self.places.stamp(&place, &file);
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, module)) = cache.modules.get(&name)
            && stamp.is_some()
            && *known == stamp
            && members_of(module) == members
            && module.path == place.show(&file)
        {
            return Lead::Done(Found::Module(Arc::clone(module)));
        }
        Lead::Read { name, place, file, members, stamp }
    }

    fn follow(&self, lead: Lead) -> Found {
        let Lead::Read { name, place, file, members, stamp } = lead else {
            let Lead::Done(found) = lead else { unreachable!("a lead is one or the other") };
            return found;
        };
        let path = place.show(&file);
        let source = match self.places.read(&place, &file) {
            Ok(source) => source,
            Err(error) => return Found::Absent(Absence::Refused { path, why: error.why() }),
        };
        let found = match name.as_str() {
            "__main__" => main_module(name.clone(), path, source),
            _ => module(name.clone(), path, source, members),
        };
        if let Found::Module(module) = &found {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.bytes > CACHE {
                *cache = Cache::default();
            }
            cache.bytes += module.source.len();
            cache.modules.insert(name, (stamp, Arc::clone(module)));
        }
        found
    }

    /// Where a name leads: packages are searched where they are, top-level names along the path.
    fn spot(&self, name: &ModuleName) -> Option<Spot> {
        let (places, depth) = match name.parent() {
            Some(package) => self.inside(&package)?,
            None if name.as_str() == "mitogen" => (self.namesake.iter().cloned().collect(), NAMESPACE_DEPTH),
            None => (Arc::clone(&self.roots), NAMESPACE_DEPTH),
        };
        self.search(&places, name.last(), depth)
    }

    fn inside(&self, package: &ModuleName) -> Option<Inside> {
        let known = self.inside.lock().unwrap_or_else(PoisonError::into_inner).get(package).cloned();
        if known.is_some() {
            return known;
        }
        let found: Inside = match self.spot(package)? {
            Spot::Package(place) => ([place].into(), 1),
            Spot::Namespace(places) => (places.into(), NAMESPACE_DEPTH),
            _ => return None,
        };
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.insert(package.clone(), found.clone());
        Some(found)
    }

    fn search(&self, places: &[Place], part: &str, depth: usize) -> Option<Spot> {
        let mut namespace = Vec::new();
        for place in places {
            let listing = self.places.list(place);
            if listing.get(part) == Some(&Kind::Directory) {
                let folder = place.inside(part);
                if self.places.list(&folder).contains_key("__init__.py") {
                    return Some(Spot::Package(folder));
                }
            }
            let source = format!("{part}.py");
            if listing.get(&source) == Some(&Kind::File) {
                return Some(Spot::Source(place.clone(), source));
            }
            if let Some(file) = compiled(&listing, part) {
                return Some(match file.ends_with(".pyc") {
                    true => Spot::Compiled(place.show(file)),
                    false => Spot::Extension(place.show(file)),
                });
            }
            if listing.get(part) == Some(&Kind::Directory) {
                let folder = place.inside(part);
                if self.holds_modules(&folder, depth) {
                    namespace.push(folder);
                }
            }
        }
        (!namespace.is_empty()).then_some(Spot::Namespace(namespace))
    }

    /// Whether a directory without `__init__.py` holds something to import, at most so deep.
    fn holds_modules(&self, place: &Place, depth: usize) -> bool {
        let listing = self.places.list(place);
        if listing.iter().any(|(name, kind)| *kind == Kind::File && module_of(name).is_some()) {
            return true;
        }
        let mut folders = listing.iter().filter(|(name, kind)| **kind == Kind::Directory && is_name(name));
        depth > 1
            && folders.any(|(name, _)| {
                let folder = place.inside(name);
                self.places.list(&folder).contains_key("__init__.py")
                    || self.holds_modules(&folder, depth - 1)
            })
    }

    /// The members of a package.
    fn members(&self, place: &Place, depth: usize) -> Members {
        let mut members = Members::new();
        for (name, kind) in self.places.list(place).iter() {
            match kind {
                Kind::File => {
                    if let Some(stem) = module_of(name) {
                        members.entry(stem.to_owned()).or_insert(false);
                    }
                }
                Kind::Directory if is_name(name) => {
                    let folder = place.inside(name);
                    let regular = self.places.list(&folder).contains_key("__init__.py");
                    if regular || self.holds_modules(&folder, depth) {
                        members.insert(name.clone(), true);
                    }
                }
                Kind::Directory => {}
            }
        }
        members.remove("__init__");
        members
    }

    fn given_members(&self, name: &ModuleName, package: bool) -> Option<Members> {
        let inside = |other: &ModuleName| other.parent().as_ref() == Some(name);
        let members: Members = self
            .given
            .keys()
            .filter(|other| other.is_within(name) && *other != name)
            .map(|other| other.prefixes().find(inside).unwrap_or_else(|| other.clone()))
            .map(|member| {
                let package = self.given.keys().any(|other| other.parent().as_ref() == Some(&member));
                (
                    member.last().to_owned(),
                    package || self.given.get(&member).is_some_and(|given| given.package),
                )
            })
            .collect();
        (package || !members.is_empty()).then_some(members)
    }
}

fn module(name: ModuleName, path: String, source: Bytes, members: Option<Members>) -> Found {
    let needs = needs(&scan(&source), &name, members.is_some());
    let packages =
        members.iter().flatten().filter(|(_, package)| **package).map(|(name, _)| name.clone()).collect();
    let children = members.map(|members| members.into_keys().collect());
    Found::Module(Arc::new(Module { name, children, packages, path, source, needs }))
}

fn members_of(module: &Module) -> Option<Members> {
    let package = |name: &String| module.packages.binary_search(name).is_ok();
    module.children.as_ref().map(|names| names.iter().map(|name| (name.clone(), package(name))).collect())
}

/// The program that contexts see as `__main__`: what stands in front of its guard.
fn main_module(name: ModuleName, path: String, source: Bytes) -> Found {
    let seen = scan(&source);
    let Some(guard) = seen.main_guard else {
        let why = "it has no main guard, so contexts that import it would run all of it: put what only the \
                   controller is to run behind a line `if __name__ == \"__main__\":`";
        return Found::Absent(Absence::Refused { path, why: why.to_owned() });
    };
    let source = source.slice(..guard);
    let needs = needs(&scan(&source), &name, false);
    Found::Module(Arc::new(Module { name, children: None, packages: Vec::new(), path, source, needs }))
}
