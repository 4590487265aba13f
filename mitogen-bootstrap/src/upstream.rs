//! Births of contexts that run upstream's own core, read from a package that is installed somewhere.
//!
//! ```text
//!  sh -c SCRIPT     as for our agent                                               EC0
//!  STAGE NUL        upstream_stage.py, SIZE and NAME put in
//!  zlib(core) CONFIG   ->  script on 0, a copy on 101, frames on 100 and 1         MITO001, MITO002
//! ```
//! What the core wants to be told differs from release to release; nothing else of its birth does.

use crate::agent;
use crate::config::BootConfig;
use crate::minify::{Header, minify};
use crate::preamble::Preamble;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use mitogen_wire::python::{Lexer, TokenKind};
use std::fmt;
use std::io::Write as _;

/// A release of upstream's: `0.3.41`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamVersion(pub u16, pub u16, pub u16);

impl UpstreamVersion {
    /// The oldest that is spoken to.
    pub const OLDEST: UpstreamVersion = UpstreamVersion(0, 3, 0);
    /// The first that is not.
    pub const NEXT: UpstreamVersion = UpstreamVersion(0, 4, 0);

    /// What `mitogen/__init__.py` says: `__version__ = (0, 3, 41)`; what follows the third number does not count.
    pub fn read(init: &[u8]) -> Option<UpstreamVersion> {
        let mut tokens = Lexer::new(init).filter(|token| !token.kind.is_trivia());
        tokens.find(|token| token.kind == TokenKind::Name && token.text(init) == b"__version__")?;
        let text = |token: &mitogen_wire::python::Token| token.text(init).to_vec();
        if text(&tokens.next()?) != b"=" || text(&tokens.next()?) != b"(" {
            return None;
        }
        let mut number = |end: &[u8]| {
            let digits = tokens.next()?;
            let number = std::str::from_utf8(digits.text(init)).ok()?.parse().ok()?;
            let next = tokens.next()?;
            (next.text(init) == b"," || next.text(init) == end).then_some(number)
        };
        Some(UpstreamVersion(number(b",")?, number(b",")?, number(b")")?))
    }

    /// Whether its frames say by their first two bytes what their payload is. Those before know one value only.
    pub fn names_encodings(self) -> bool {
        self >= UpstreamVersion(0, 3, 39)
    }

    /// Whether it takes a resource as two pickles; those before take one, of a tuple of three.
    pub fn splits_resources(self) -> bool {
        self >= UpstreamVersion(0, 3, 41)
    }

    fn has_log_levels(self) -> bool {
        self >= UpstreamVersion(0, 3, 45)
    }

    fn has_import_overrides(self) -> bool {
        self >= UpstreamVersion(0, 3, 42)
    }
}

impl fmt::Display for UpstreamVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Upstream's core, ready to be sent.
#[derive(Clone)]
pub struct UpstreamCore {
    version: UpstreamVersion,
    zlib: Vec<u8>,
}

impl UpstreamCore {
    /// The core of this release, from the source of `mitogen/core.py`: minified, and compressed once.
    pub fn new(version: UpstreamVersion, source: &[u8]) -> UpstreamCore {
        let mut source = minify(source, Header::Keep);
        source.push(b'\n');
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        let zlib = encoder.write_all(&source).and_then(|()| encoder.finish());
        UpstreamCore { version, zlib: zlib.expect("memory takes all that is written") }
    }

    /// Which release it is.
    pub fn version(&self) -> UpstreamVersion {
        self.version
    }

    /// The preamble of one child. Of `config`, the key, the name and the version are of no use to this core.
    pub fn preamble(&self, config: &BootConfig, remote_name: &str) -> Preamble {
        Preamble::assemble(agent::UPSTREAM_STAGE, &self.zlib, self.last_line(config).as_bytes(), remote_name)
    }

    /// What stands behind the core's source: the call that never returns.
    fn last_line(&self, config: &BootConfig) -> String {
        let truth = |flag: bool| if flag { "True" } else { "False" };
        let parents: Vec<String> = config.parent_ids.iter().map(|id| id.0.to_string()).collect();
        let UpstreamVersion(major, minor, patch) = self.version;
        let level = config.log_level;
        let levels = match self.version.has_log_levels() {
            // Those of the root, of `mitogen`, and of `mitogen.io`, which nobody forwards.
            true => format!("'log_levels':[{level},{level},{}]", level.max(30)),
            false => format!("'log_level':{level}"),
        };
        let imports = match self.version.has_import_overrides() {
            true => "'import_overrides':[],'import_blocks':[]",
            false => "'whitelist':[''],'blacklist':[]",
        };
        format!(
            "ExternalContext({{'parent_ids':[{}],'context_id':{},'debug':False,'profiling':False,\
             'unidirectional':{},'max_message_size':{},{levels},{imports},\
             'version':({major},{minor},{patch})}}).main()\n",
            parents.join(","),
            config.context_id.0,
            truth(config.unidirectional),
            config.max_message_size,
        )
    }
}

impl fmt::Debug for UpstreamCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamCore({}, {} bytes)", self.version, self.zlib.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mitogen_wire::ContextId;

    #[test]
    fn a_version_is_three_numbers_and_what_is_behind_them() {
        let read = |text: &str| UpstreamVersion::read(text.as_bytes());
        let init = "'''__version__ = (9, 9, 9)'''\n#: __version__\n__version__ = (0, 3, 41)\n";
        assert_eq!(read(init), Some(UpstreamVersion(0, 3, 41)));
        assert_eq!(read("__version__=(0,3,52,'dev')\n"), Some(UpstreamVersion(0, 3, 52)));
        for none in ["", "__version__ = '0.3.41'\n", "__version__ = (0, 3)\n", "version = (0, 3, 41)\n"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn each_release_is_told_what_it_wants_to_know() {
        let config = BootConfig::new(ContextId(7), vec![ContextId(3), ContextId::CONTROLLER]);
        let line = |patch| UpstreamCore::new(UpstreamVersion(0, 3, patch), b"pass\n").last_line(&config);
        for (patch, has, lacks) in [
            (41, "'log_level':30,'whitelist':[''],'blacklist':[]", "import_"),
            (42, "'log_level':30,'import_overrides':[],'import_blocks':[]", "whitelist"),
            (45, "'log_levels':[30,30,30],", "'log_level':"),
        ] {
            let line = line(patch);
            assert!(line.contains(has) && !line.contains(lacks), "{line}");
            assert!(line.starts_with("ExternalContext({'parent_ids':[3,0],'context_id':7,"), "{line}");
            assert!(line.ends_with(&format!("'version':(0,3,{patch})}}).main()\n")), "{line}");
        }
    }
}
