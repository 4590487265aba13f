//! Trees whose contexts run upstream's own core instead of our agent.
//!
//! The core, and the modules that it asks for later, are read from a package that is installed on this machine,
//! and are sent as any module is. What differs then from a tree of ours:
//!
//! | | where |
//! |---|---|
//! | the birth: upstream's core and its configuration; frames are not signed | [`package`], `link.rs` |
//! | `mitogen.*` comes from the package, a module a message | [`package`] |
//! | a release that knows one encoding only is sent no other | [`dialect`] |
//! | a context behind another: `mitogen.parent._proxy_connect` | [`chain`] |
//! | `exec` is a function of a module that we send | [`package`] |

pub(crate) mod chain;
pub(crate) mod dialect;
pub(crate) mod package;

pub(crate) use package::Package;

use std::path::PathBuf;

/// The program that runs in a router's contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Agent {
    /// Our own.
    #[default]
    Builtin,
    /// Upstream Mitogen's core, of a release 0.3.x: the `mitogen` package in this directory (or the directory
    /// that holds the package). All that is needed of it is sent to the contexts.
    Upstream(PathBuf),
}
