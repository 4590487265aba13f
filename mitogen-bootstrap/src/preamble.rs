//! Everything that is written to a child before frames flow.
//!
//! ```text
//! +--------------------+-----+------------------------+-----------------------+
//! | first stage        | NUL | core (zlib, constant)  | configuration (ASCII) |
//! +--------------------+-----+------------------------+-----------------------+
//!   Python, SIZE and           '-------------- SIZE bytes -------------------'
//!   NAME filled in
//! ```

use crate::agent::{self, Piece};
use crate::config::BootConfig;
use std::fmt;
use zeroize::Zeroizing;

/// The longest remote name that is passed on, in bytes.
const MAX_REMOTE_NAME: usize = 128;

/// The bytes to write to a child's standard input, as soon as it has said `EC0`, in one go.
///
/// They hold the link's key: they are erased from memory when dropped, and `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct Preamble {
    bytes: Zeroizing<Vec<u8>>,
    /// How much stands in front of the core; `head + core <= bytes.len()`.
    head: usize,
}

impl Preamble {
    /// The preamble of one child.
    ///
    /// `remote_name` says who started it, by custom `user@host:pid`; the child's command line shows
    /// as `python(mitogen:REMOTE_NAME)`. It is passed through [`clean_remote_name`] first.
    pub fn new(config: &BootConfig, remote_name: &str) -> Preamble {
        Preamble::assemble(agent::FIRST_STAGE, agent::CORE_ZLIB, config.to_python().as_bytes(), remote_name)
    }

    /// A first stage, and what it is to read: a core and, behind it, a configuration.
    pub(crate) fn assemble(stage: &[Piece], core: &[u8], config: &[u8], remote_name: &str) -> Preamble {
        let size = core.len() + config.len();
        let name = clean_remote_name(remote_name);
        let stage: String = stage
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Size => size.to_string(),
                Piece::Name => name.clone(),
            })
            .collect();

        let mut bytes = Zeroizing::new(Vec::with_capacity(stage.len() + 1 + size));
        bytes.extend_from_slice(stage.as_bytes());
        bytes.push(0);
        let head = bytes.len();
        bytes.extend_from_slice(core);
        bytes.extend_from_slice(config);
        Preamble { bytes, head }
    }

    /// The bytes to write.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part in front of the core: first stage and NUL. A parent elsewhere has the core already.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[..self.head]
    }

    /// The part behind the core: the configuration.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.bytes[self.head + agent::CORE_ZLIB.len()..]
    }
}

impl AsRef<[u8]> for Preamble {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Preamble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Preamble({} bytes)", self.bytes.len())
    }
}

/// A remote name as a child's command line can show it: ASCII letters, digits and `@:._-+=,%~`, at
/// most 128 of them; anything else becomes `_`.
///
/// These are letters that stand for themselves within a string of any language, for the first stage
/// has the name in the middle of one; a slash or backslash would confuse the interpreter's search for its own installation, and a letter
/// outside ASCII cannot be passed on in every locale.
pub fn clean_remote_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "@:._-+=,%~".contains(c) { c } else { '_' })
        .take(MAX_REMOTE_NAME)
        .collect()
}
