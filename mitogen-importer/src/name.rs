//! Names of modules: what a context may ask for at all.

use std::fmt;
use std::sync::Arc;

/// A dotted name, of which every part is a Python identifier.
///
/// No path, no NUL, no blank can be in it. It is compared byte for byte: of letters that look alike each
/// is itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(Arc<str>);

/// Why a text is no name of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It is longer than [`ModuleName::MAX_LEN`].
    #[error("a module's name has {len} bytes, and the limit is {max}", max = ModuleName::MAX_LEN)]
    TooLong {
        /// How many bytes it has.
        len: usize,
    },
    /// A part is not what Python takes for an identifier: empty, for instance, or with a slash in it.
    #[error("a module's name is identifiers joined by dots, and this one is not")]
    NotIdentifier,
}

impl ModuleName {
    /// The longest name that is accepted, in bytes. (No file system has longer ones.)
    pub const MAX_LEN: usize = 1024;

    /// Checks a name.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &str) -> Result<ModuleName, NameError> {
        if text.len() > ModuleName::MAX_LEN {
            return Err(NameError::TooLong { len: text.len() });
        }
        match text.split('.').all(is_identifier) {
            true => Ok(ModuleName(text.into())),
            false => Err(NameError::NotIdentifier),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The package that it is a member of.
    pub fn parent(&self) -> Option<ModuleName> {
        self.0.rsplit_once('.').map(|(parent, _)| ModuleName(parent.into()))
    }

    /// Its last part.
    pub fn last(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(_, last)| last)
    }

    /// Its first part.
    pub fn top(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(top, _)| top)
    }

    /// Whether it is no package's member.
    pub fn is_top(&self) -> bool {
        !self.0.contains('.')
    }

    /// Its parts, the outermost first.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The member of this package with that name; `None` if that would be no name.
    pub fn child(&self, name: &str) -> Option<ModuleName> {
        ModuleName::parse(&format!("{}.{name}", self.0)).ok()
    }

    /// Itself and all packages around it, the outermost first.
    pub fn prefixes(&self) -> impl Iterator<Item = ModuleName> + '_ {
        let dots = self.0.match_indices('.').map(|(at, _)| at);
        dots.chain([self.0.len()]).map(|end| ModuleName(self.0[..end].into()))
    }

    /// Whether it is `package` or lies within it.
    pub fn is_within(&self, package: &ModuleName) -> bool {
        let rest = self.0.strip_prefix(&*package.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is an identifier; keywords count, for a file can have such a name.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let letter = |c: char| c == '_' || c.is_alphabetic();
    chars.next().is_some_and(letter) && chars.all(|c| letter(c) || c.is_numeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dotted_identifiers_are_names() {
        for good in ["a", "a.b", "_x.__init__", "módulo", "a1.b2", "\u{ff44}jango"] {
            assert_eq!(ModuleName::parse(good).unwrap().as_str(), good);
        }
        let bad = [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "../../etc/passwd",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "a\0b",
            "a b",
            "a-b",
            "1a",
            "a\n",
            "a.b\u{202e}",
            "a\u{200b}b",
            "a:b",
            "~root",
        ];
        for bad in bad {
            assert_eq!(ModuleName::parse(bad), Err(NameError::NotIdentifier), "{bad:?}");
        }
        let long = "x".repeat(10_000_000);
        assert_eq!(ModuleName::parse(&long), Err(NameError::TooLong { len: long.len() }));
    }

    #[test]
    fn a_name_knows_the_packages_around_it() {
        let name = ModuleName::parse("a.bc.d").unwrap();
        assert_eq!((name.top(), name.last()), ("a", "d"));
        assert_eq!(name.parent().unwrap().as_str(), "a.bc");
        let prefixes: Vec<String> = name.prefixes().map(|p| p.to_string()).collect();
        assert_eq!(prefixes, ["a", "a.bc", "a.bc.d"]);
        let within = |package: &str| name.is_within(&ModuleName::parse(package).unwrap());
        assert!(within("a") && within("a.bc") && within("a.bc.d"));
        assert!(!within("a.b") && !within("a.bc.d.e"));
    }
}
