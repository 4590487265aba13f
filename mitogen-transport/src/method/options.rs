//! Options by name: how targets, files and user code in contexts say what a method is to do.
//!
//! Each method lists its keys once; the names are those that Mitogen's Python gives them.

use crate::credentials::Credential;
use std::fmt;
use std::time::Duration;

/// The value of an option.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OptionValue {
    /// A text; `yes`, `no`, `true`, `false` and digits pass for what they say.
    Text(String),
    /// Whether.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Words.
    List(Vec<String>),
    /// A secret.
    Secret(Credential),
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> OptionValue {
        OptionValue::Text(text.to_owned())
    }
}

impl From<f64> for OptionValue {
    fn from(number: f64) -> OptionValue {
        OptionValue::Number(number)
    }
}

/// Why an option is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// There is no such method.
    NoMethod(String),
    /// The method has no such option.
    NoOption {
        /// The method.
        method: &'static str,
        /// The option.
        key: String,
        /// Those that it has.
        known: Vec<&'static str>,
    },
    /// The option's value is none for it.
    BadValue {
        /// The option.
        key: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// A context that runs upstream's core cannot start another one in this way.
    NotUpstream {
        /// The hop.
        hop: String,
        /// What of it cannot be passed on.
        what: String,
    },
    /// The method cannot do without this option.
    Missing {
        /// The method.
        method: &'static str,
        /// The option.
        key: &'static str,
    },
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::NoMethod(name) => {
                write!(f, "there is no method `{name}`; available: {}", super::METHODS.join(", "))
            }
            OptionError::NoOption { method, key, known } => {
                write!(f, "`{method}` has no option `{key}`; it takes: {}", known.join(", "))
            }
            OptionError::BadValue { key, wanted } => write!(f, "`{key}` is no {wanted}"),
            OptionError::NotUpstream { hop, what } => {
                write!(f, "upstream's core cannot start {hop}: it knows of no {what}")
            }
            OptionError::Missing { method, key } => write!(f, "`{method}` needs `{key}`"),
        }
    }
}

impl std::error::Error for OptionError {}

/// An option on its way to a method.
pub(super) struct Opt<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a OptionValue,
}

impl Opt<'_> {
    fn bad(&self, wanted: &'static str) -> OptionError {
        OptionError::BadValue { key: self.key.to_owned(), wanted }
    }

    pub(super) fn text(&self) -> Result<String, OptionError> {
        match self.value {
            OptionValue::Text(text) if !text.is_empty() => Ok(text.clone()),
            OptionValue::Number(number) if number.fract() == 0.0 => Ok(format!("{number:.0}")),
            _ => Err(self.bad("text")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, OptionError> {
        match self.value {
            OptionValue::Bool(flag) => Ok(*flag),
            OptionValue::Text(text) => match text.as_str() {
                "yes" | "true" | "1" | "on" => Ok(true),
                "no" | "false" | "0" | "off" => Ok(false),
                _ => Err(self.bad("yes or no")),
            },
            _ => Err(self.bad("yes or no")),
        }
    }

    /// Words; a text is split at its blanks.
    pub(super) fn words(&self) -> Result<Vec<String>, OptionError> {
        match self.value {
            OptionValue::List(words) => Ok(words.clone()),
            OptionValue::Text(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            _ => Err(self.bad("list of words")),
        }
    }

    /// Words, of which a text is one.
    pub(super) fn argv(&self) -> Result<Vec<String>, OptionError> {
        match self.value {
            OptionValue::List(words) if !words.is_empty() => Ok(words.clone()),
            _ => Ok(vec![self.text()?]),
        }
    }

    pub(super) fn secret(&self) -> Result<Credential, OptionError> {
        match self.value {
            OptionValue::Secret(credential) => Ok(credential.clone()),
            OptionValue::Text(text) => Ok(text.as_str().into()),
            _ => Err(self.bad("secret")),
        }
    }

    pub(super) fn number<T: TryFrom<u64>>(&self, wanted: &'static str) -> Result<T, OptionError> {
        let number = match self.value {
            OptionValue::Number(number) if *number >= 0.0 && number.fract() == 0.0 && *number < 9e15 => {
                Some(*number as u64)
            }
            OptionValue::Text(text) => text.parse().ok(),
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.bad(wanted))
    }

    pub(super) fn seconds(&self) -> Result<Duration, OptionError> {
        let seconds = match self.value {
            OptionValue::Number(number) => Some(*number),
            OptionValue::Text(text) => text.parse().ok(),
            _ => None,
        };
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.filter(|duration| !duration.is_zero()).ok_or_else(|| self.bad("number of seconds"))
    }

    /// One of these texts.
    pub(super) fn choice<T: Copy>(
        &self,
        choices: &[(&str, T)],
        wanted: &'static str,
    ) -> Result<T, OptionError> {
        let text = self.text()?;
        let choice = choices.iter().find(|(name, _)| *name == text);
        choice.map(|(_, value)| *value).ok_or_else(|| self.bad(wanted))
    }
}

/// The setters of one method by the names of their options: what `set` makes of an option, and the list of
/// all keys.
macro_rules! option_table {
    ($method:ident = $name:literal, $this:ident, $opt:ident, { $($key:literal $(| $alias:literal)* => $set:expr),* $(,)? }) => {
        impl crate::method::Kind for $method {
            const NAME: &'static str = $name;
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn common(&mut self) -> &mut crate::method::Common {
                &mut self.common
            }

            #[allow(unused_variables, unused_mut, unreachable_code)] // a method may have no options
            fn set(self, $opt: &crate::method::options::Opt<'_>) -> Result<Option<$method>, crate::method::OptionError> {
                let mut $this = self;
                Ok(Some(match $opt.key {
                    $($key $(| $alias)* => $set,)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}
pub(super) use option_table;
