//! How many descriptors this process may have: as many as the system grants it, for itself alone.
//!
//! A context on this machine takes three of them here. Where the usual limit is 1024 a few hundred contexts
//! would be all; what may be had without any right, the hard limit, is mostly far higher. Programs that
//! are started get the limit back that this one was started with: some have `select`, others close every
//! number up to the limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// What this process was started with; absent as long as nothing was raised.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of this process's descriptors to the hard one; once.
pub fn raise_descriptor_limit() {
    BEFORE.get_or_init(|| {
        let before = getrlimit(Resource::Nofile);
        // Should it be refused, what is there must do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
        before
    });
}

/// What programs that this process starts are to have, if that is not what it has itself.
pub(crate) fn limit_of_children() -> Option<Rlimit> {
    BEFORE.get().cloned()
}
