//! What differs from one child to the next.

use crate::literal::List;
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, SessionKey};
use zeroize::Zeroizing;

/// The agent's configuration: who it is, who its ancestors are, and how its link to us works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BootConfig {
    /// The new context's own id.
    pub context_id: ContextId,
    /// Its ancestors, the nearest first, the controller last; never empty.
    pub parent_ids: Vec<ContextId>,
    /// The context's name as its parents know it; it stands in its logs.
    pub name: String,
    /// Python's number for the least severe log records that the child forwards (10 debug, 20 info,
    /// 30 warning, ...).
    pub log_level: u32,
    /// The largest payload, in bytes, that the child may send or accept.
    pub max_message_size: usize,
    /// The link's secret, if its frames are signed.
    pub key: Option<SessionKey>,
    /// Whether the child refuses messages between contexts neither of which is the other's ancestor.
    pub unidirectional: bool,
    /// Our version, `mitogen.__version__` in the child.
    pub version: (u16, u16, u16),
    /// The highest pickle protocol that the controller reads.
    pub pickle_protocol: u8,
}

impl BootConfig {
    /// A child with this id and these ancestors (the nearest first), and defaults otherwise: no
    /// name, log level warning, unsigned frames, the wire's default payload limit.
    pub fn new(context_id: ContextId, parent_ids: Vec<ContextId>) -> BootConfig {
        BootConfig {
            context_id,
            parent_ids,
            name: String::new(),
            log_level: 30,
            max_message_size: DEFAULT_MAX_PAYLOAD,
            key: None,
            unidirectional: false,
            version: (
                number(env!("CARGO_PKG_VERSION_MAJOR")),
                number(env!("CARGO_PKG_VERSION_MINOR")),
                number(env!("CARGO_PKG_VERSION_PATCH")),
            ),
            pickle_protocol: 3,
        }
    }

    /// The values as a Python list display, in ASCII, valid on 2.4 to 3.15; the loader knows their names.
    pub(crate) fn to_python(&self) -> Zeroizing<String> {
        let mut list = List::new();
        list.number(u64::from(self.context_id.0));
        list.list(self.parent_ids.iter().map(|id| u64::from(id.0)));
        list.text(&self.name);
        list.number(u64::from(self.log_level));
        list.number(self.max_message_size as u64);
        list.text(self.key.as_ref().map_or("", SessionKey::expose));
        list.boolean(self.unidirectional);
        let (major, minor, patch) = self.version;
        list.list([major, minor, patch].into_iter().map(u64::from));
        list.number(u64::from(self.pickle_protocol));
        list.finish()
    }
}

/// A decimal number of Cargo's, at compile time.
const fn number(digits: &str) -> u16 {
    let bytes = digits.as_bytes();
    let (mut value, mut at) = (0, 0);
    while at < bytes.len() {
        value = value * 10 + (bytes[at] - b'0') as u16;
        at += 1;
    }
    value
}
