//! Connection methods: options in, a plan out. Nothing here runs anything.

mod custom;
mod doas;
mod jail;
mod kubectl;
mod local;
mod lxc;
mod lxd;
mod oci;
mod options;
mod rules;
mod setns;
mod ssh;
mod su;
mod sudo;
mod upstream;

pub use custom::Custom;
pub use doas::Doas;
pub use jail::Jail;
pub use kubectl::Kubectl;
pub use local::Local;
pub use lxc::Lxc;
pub use lxd::{Incus, Lxd};
pub use oci::{Buildah, Docker, Podman};
pub use options::{OptionError, OptionValue};
pub use setns::Setns;
pub use ssh::{HostKeys, Ssh};
pub use su::Su;
pub use sudo::Sudo;

use crate::credentials::{Credential, Credentials};
use mitogen_bootstrap::Interpreter;
use mitogen_bootstrap::plan::{Answer, BootPlan, FailureKind, SecretName};
use options::Opt;
use std::time::Duration;

/// What a method is to this module.
trait Kind: Sized {
    /// As targets write it.
    const NAME: &'static str;
    /// The options that are its own.
    const KEYS: &'static [&'static str];
    fn common(&mut self) -> &mut Common;
    /// The method with one more option; `None` if it has no such option.
    fn set(self, option: &Opt<'_>) -> Result<Option<Self>, OptionError>;
}

/// Makes the enum of all methods and what is the same for each of them.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident, $blank:expr, $needs:expr;)*) => {
        /// Any connection method with its options.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum Method {
            $($(#[$doc])* $variant(Box<$variant>),)*
        }

        /// The names of all methods that options make.
        pub(crate) const METHODS: &[&str] = &[$($variant::NAME),*];

        impl Method {
            /// The hop as users write it: `local`, `ssh:alice@web1:2222`.
            pub fn hop(&self) -> String {
                match self { $(Method::$variant(method) => method.hop(),)* }
            }

            /// What to run and how to read it.
            pub fn plan(&self) -> BootPlan {
                match self { $(Method::$variant(method) => method.plan(),)* }
            }

            fn common(&self) -> &Common {
                match self { $(Method::$variant(method) => &method.common,)* }
            }

            /// A method by its name, with options by theirs. `argument` is the option that a target's hop
            /// has behind its colon.
            ///
            /// # Errors
            /// A method or an option that is not there, a value that is none for it, or the lack of one
            /// that the method needs.
            pub fn from_options<'a>(
                name: &str,
                options: impl IntoIterator<Item = (&'a str, OptionValue)>,
            ) -> Result<Method, OptionError> {
                $(if name == $variant::NAME {
                    let needs: Option<&'static str> = $needs;
                    let options: Vec<_> = options.into_iter().collect();
                    if let Some(key) = needs
                        && !options.iter().any(|(name, _)| *name == "argument" || key.split('|').any(|key| key == *name))
                    {
                        return Err(OptionError::Missing {
                            method: $variant::NAME,
                            key: key.split('|').next().unwrap_or(key),
                        });
                    }
                    return configure::<$variant>($blank, &options).map(Method::from);
                })*
                Err(OptionError::NoMethod(name.to_owned()))
            }

            /// The names of the options that [`Method::from_options`] takes for a method: its own, then
            /// those of all methods.
            pub fn option_names(name: &str) -> Option<Vec<&'static str>> {
                $(if name == $variant::NAME {
                    return Some(known::<$variant>());
                })*
                None
            }
        }

        $(impl From<$variant> for Method {
            fn from(method: $variant) -> Method {
                Method::$variant(Box::new(method))
            }
        })*
    };
}

methods! {
    /// A process on this machine.
    Local, Local::new(), None;
    /// A process on another host, by the system's ssh client.
    Ssh, Ssh::new(""), Some("hostname");
    /// A process of another account, by sudo.
    Sudo, Sudo::new(), None;
    /// A process of another account, by su.
    Su, Su::new(), None;
    /// A process of another account, by doas.
    Doas, Doas::new(), None;
    /// A process in a container, by docker.
    Docker, Docker::new(""), Some("container|image");
    /// A process in a container, by podman.
    Podman, Podman::new(""), Some("container|image");
    /// A process in a working container, by buildah.
    Buildah, Buildah::new(""), Some("container");
    /// A process in a classic LXC container.
    Lxc, Lxc::new(""), Some("container");
    /// A process in an LXD container.
    Lxd, Lxd::new(""), Some("container");
    /// A process in an Incus container.
    Incus, Incus::new(""), Some("container");
    /// A process in a container of a Kubernetes pod.
    Kubectl, Kubectl::new(""), Some("pod");
    /// A process in a FreeBSD jail.
    Jail, Jail::new(""), Some("container");
    /// A process in the namespaces of another process.
    Setns, Setns::pid(0), Some("container|pid");
    /// A process that a command of the user's leads to.
    Custom, Custom::new("", [""; 0]), Some("argv");
}

impl Method {
    /// How long connecting may take, if its user has said so.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.common().connect_timeout
    }

    /// The context's name, if its user has given one.
    pub fn name(&self) -> Option<&str> {
        self.common().name.as_deref()
    }

    /// Its secrets, for a plan that wants them fetched.
    pub fn credentials(&self) -> &Credentials {
        &self.common().secrets
    }

    /// Whether the process that is started is the context itself, and not a tool that leads to it.
    pub fn is_direct(&self) -> bool {
        matches!(self, Method::Local(_))
    }

    /// The names of all methods that [`Method::from_options`] knows.
    pub fn names() -> &'static [&'static str] {
        METHODS
    }
}

/// The options that every method has, and those of upstream's that are settings of the whole tree here.
const COMMON_KEYS: &[&str] = &["python", "connect_timeout", "name"];
const IGNORED_KEYS: &[&str] = &["debug", "profiling", "unidirectional", "max_message_size", "remote_name"];

fn known<K: Kind>() -> Vec<&'static str> {
    K::KEYS.iter().chain(COMMON_KEYS).copied().collect()
}

fn configure<K: Kind>(blank: K, options: &[(&str, OptionValue)]) -> Result<K, OptionError> {
    let mut method = blank;
    for (key, value) in options {
        let option = Opt { key, value };
        let common = method.common();
        match *key {
            "python" | "python_path" => common.interpreter = Interpreter::Named(option.argv()?),
            "connect_timeout" => common.connect_timeout = Some(option.seconds()?),
            "name" => common.name = Some(option.text()?),
            key if IGNORED_KEYS.contains(&key) => {}
            key => {
                let no_option =
                    || OptionError::NoOption { method: K::NAME, key: key.to_owned(), known: known::<K>() };
                method = method.set(&option)?.ok_or_else(no_option)?;
            }
        }
    }
    Ok(method)
}

/// What all methods have.
#[derive(Clone, Debug, Default)]
struct Common {
    interpreter: Interpreter,
    connect_timeout: Option<Duration>,
    name: Option<String>,
    secrets: Credentials,
}

impl Common {
    /// What a plan does when it is asked for this secret.
    fn answer(&self, name: &str) -> Answer {
        self.secrets.answer(name).unwrap_or_else(|| {
            let advice = format!("give the {name}");
            Answer::Fail(FailureKind::SecretNeeded(SecretName(name.to_owned())), advice)
        })
    }

    fn add_secret(&mut self, name: &str, credential: impl Into<Credential>) {
        self.secrets.insert(name, credential.into());
    }
}

/// The setters that all methods share.
macro_rules! common_options {
    ($method:ident) => {
        impl $method {
            /// Uses this Python interpreter (default: the first of the usual names that the target has).
            #[must_use]
            pub fn python(self, path: impl Into<String>) -> $method {
                self.python_argv([path])
            }

            /// Uses this command and its leading arguments as the interpreter.
            #[must_use]
            pub fn python_argv<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> $method {
                let words = words.into_iter().map(Into::into).collect();
                self.common.interpreter = mitogen_bootstrap::Interpreter::Named(words);
                self
            }

            /// How long connecting may take.
            #[must_use]
            pub fn connect_timeout(mut self, after: std::time::Duration) -> $method {
                self.common.connect_timeout = Some(after);
                self
            }

            /// Names the context, for logs.
            #[must_use]
            pub fn name(mut self, name: impl Into<String>) -> $method {
                self.common.name = Some(name.into());
                self
            }
        }
    };
}
use common_options;
