//! The embedded agent: packed and compressed when this crate was built.

include!(concat!(env!("OUT_DIR"), "/agent.rs"));

/// A piece of the first stage's text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    /// Python source.
    Text(&'static str),
    /// Here goes the payload's size, in decimal.
    Size,
    /// Here goes the remote name, in the middle of a string literal.
    Name,
}

/// A module of the agent that is sent when it is first imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeferredModule {
    /// Its full name, for example `mitogen.process`.
    pub name: &'static str,
    /// The file name that its tracebacks show, for example `mitogen/process.py`.
    pub path: &'static str,
    /// Its minified source, as a zlib stream.
    pub zlib: &'static [u8],
}

/// The module of the agent with this full name, if it is one that is sent on demand.
pub fn deferred_module(name: &str) -> Option<&'static DeferredModule> {
    DEFERRED.iter().find(|module| module.name == name)
}

/// All modules of the agent that are sent on demand.
pub fn deferred_modules() -> &'static [DeferredModule] {
    DEFERRED
}

/// The full names of the modules that every preamble carries, in the order of their packing.
pub fn core_modules() -> &'static [&'static str] {
    CORE_MODULES
}
