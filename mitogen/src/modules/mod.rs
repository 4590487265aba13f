//! Modules for contexts that miss them.
//!
//! Parts of the agent that a first call does not need are embedded in this program and answered at once.
//! Everything else is found on the search path by a thread of its own, which starts with the first request:
//! the links' tasks never touch a disk.
//!
//! ```text
//!  link task: GET_MODULE ─> Effect::Module ─> queue ─> thread: Responder <─> Finder ─> Packer ─> send
//! ```
//!
//! How a neighbour wants its modules is its context's `dialect`: our agents take bundles, peers of the standard
//! protocol one LOAD_MODULE each, those that are needed ahead of the one asked for. Such peers import parts of a
//! package `mitogen` of their own, found in `ModuleSettings::namesake`.

mod archive;
mod finder;
mod interpreter;
mod pack;
mod parallel;
mod place;
mod service;
mod settings;
mod suffix;

pub(crate) use service::{Ask, Library};
pub use settings::ModuleSource;
pub(crate) use settings::{Given, ModuleSettings};

use crate::upstream;
use bytes::Bytes;
use mitogen_importer::Dialect;
use mitogen_wire::body::{GetModule, LoadModule, LoadedModule};
use mitogen_wire::{Encoding, Message};

/// The parts of the agent that user code makes it ask for: what imports it, and what almost every library makes it
/// want, for it imports `logging`. They go to every child ahead of its first request.
const AHEAD: [&str; 2] = ["mitogen.modules", "mitogen.logs"];

/// What a new child of ours is sent ahead of its first request.
pub(crate) fn ahead() -> impl Iterator<Item = (Encoding, Bytes)> {
    AHEAD.into_iter().filter_map(deferred)
}

/// A part of the agent that is sent when it is asked for; `None` if it is none.
pub(crate) fn deferred(name: &str) -> Option<(Encoding, Bytes)> {
    let module = mitogen_bootstrap::deferred_module(name)?;
    let loaded = LoadedModule {
        package: None,
        path: module.path.to_owned(),
        compressed: Bytes::from_static(module.zlib),
        related: Vec::new(),
    };
    LoadModule { name: name.to_owned(), module: Some(loaded) }.encode().ok()
}

/// The name in a request, unless it is one of the agent's own modules, which is answered by the second value.
/// `None` when the request cannot be read: an answer must name the module exactly.
pub(crate) fn read_request(
    request: &Message,
    dialect: Dialect,
) -> Option<(String, Option<(Encoding, Bytes)>)> {
    let GetModule { name } = GetModule::decode(request).ok()?;
    if dialect == Dialect::Standard {
        let own = upstream::package::own_module(&name);
        return Some((name, own));
    }
    // The agent's importer knows of no bundles before it has this part of it; no other `mitogen` is served.
    let none = || LoadModule::negative(&*name).encode().ok();
    let answer = deferred(&name).or_else(|| name.starts_with("mitogen.").then(none).flatten());
    Some((name, answer))
}
