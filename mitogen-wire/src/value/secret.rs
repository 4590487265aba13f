//! Text that is not to be shown.

use std::fmt;
use zeroize::Zeroizing;

/// Text that no log may show: its `Debug` hides it, and its memory is wiped when it is dropped.
///
/// A pickle of it holds the text in clear, as Mitogen's does: the frames of a local context or
/// of ssh are the only thing between it and a reader of the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text, moved out; its memory is wiped no more.
    pub(crate) fn into_exposed(mut self) -> String {
        std::mem::take(&mut *self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text)
    }
}
