//! Modules as they are sent.

use crate::ModuleName;
use crate::policy::Denial;
use bytes::Bytes;
use std::sync::Arc;

/// A module that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its full name.
    pub name: ModuleName,
    /// For a package: the names of its members, without its own, sorted and complete.
    pub children: Option<Vec<String>>,
    /// Those of its members that are packages themselves, sorted.
    pub packages: Vec<String>,
    /// Where it was found, for tracebacks.
    pub path: String,
    /// Its source, as it was found.
    pub source: Bytes,
    /// What it imports: see [`needs`](crate::needs).
    pub needs: Vec<ModuleName>,
}

/// What came of the search for a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Here it is.
    Module(Arc<Module>),
    /// It cannot be sent.
    Absent(Absence),
}

/// Why a module cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// There is none of this name.
    #[error("there is no such module on the controller's path")]
    Missing,
    /// It is compiled code, which is of no use elsewhere.
    #[error("{path} is an extension module: compiled code cannot be sent; install it where it is to run")]
    Extension {
        /// Its file.
        path: String,
    },
    /// The policy denies it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// It is there and is not sent.
    #[error("{path}: {why}")]
    Refused {
        /// Its file.
        path: String,
        /// Why, and what to do.
        why: String,
    },
}

impl Absence {
    /// What whoever imports it is told; `None` where "no module named" says it all.
    pub fn reason(&self) -> Option<String> {
        match self {
            Absence::Missing => None,
            other => Some(other.to_string()),
        }
    }
}
