//! Secrets that connections need: given in advance, or fetched when a tool asks for them.

use mitogen_bootstrap::plan::{Answer, Secret, SecretName};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A secret, or where to get it.
///
/// ```
/// use mitogen_transport::{Credential, Sudo};
///
/// let given = Sudo::new().password("hunter2");
/// let fetched = Sudo::new().password(Credential::fetch(|question| async move {
///     eprintln!("{} asks: {}", question.hop, question.text);
///     Some("hunter2".to_owned())
/// }));
/// ```
#[derive(Clone)]
pub struct Credential(Kind);

#[derive(Clone)]
enum Kind {
    Given(Zeroizing<String>),
    Fetched(Fetch),
}

type Fetched = Pin<Box<dyn Future<Output = Option<Zeroizing<String>>> + Send>>;
type Fetch = Arc<dyn Fn(Question) -> Fetched + Send + Sync>;

/// A question that a tool asks, for whoever is to fetch the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Question {
    /// The hop that is being connected, as users write it.
    pub hop: String,
    /// What the secret is for: `password`, `second factor`.
    pub name: SecretName,
    /// The question as the tool has put it, in its language.
    pub text: String,
}

impl Credential {
    /// A secret that `fetch` gets when, and only when, a tool asks for it, anew for each question; `None`
    /// ends the attempt. It runs while the connection's deadline does.
    pub fn fetch<F, S>(fetch: impl Fn(Question) -> F + Send + Sync + 'static) -> Credential
    where
        F: Future<Output = Option<S>> + Send + 'static,
        S: Into<Zeroizing<String>>,
    {
        Credential(Kind::Fetched(Arc::new(move |question| {
            let answer = fetch(question);
            Box::pin(async move { answer.await.map(Into::into) })
        })))
    }
}

impl From<&str> for Credential {
    fn from(secret: &str) -> Credential {
        Credential(Kind::Given(Zeroizing::new(secret.to_owned())))
    }
}

impl From<String> for Credential {
    fn from(secret: String) -> Credential {
        Credential(Kind::Given(Zeroizing::new(secret)))
    }
}

impl From<Zeroizing<String>> for Credential {
    fn from(secret: Zeroizing<String>) -> Credential {
        Credential(Kind::Given(secret))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Given(_) => "Credential(given)",
            Kind::Fetched(_) => "Credential(fetched)",
        })
    }
}

/// The secrets of one method, by their names.
#[derive(Clone, Debug, Default)]
pub struct Credentials(BTreeMap<SecretName, Credential>);

impl Credentials {
    /// Adds a secret; an earlier one of that name goes.
    pub(crate) fn insert(&mut self, name: &str, credential: Credential) {
        self.0.insert(SecretName(name.to_owned()), credential);
    }

    /// What a plan does when it is asked for this secret, if there is one.
    pub(crate) fn answer(&self, name: &str) -> Option<Answer> {
        let name = SecretName(name.to_owned());
        Some(match &self.0.get(&name)?.0 {
            Kind::Given(secret) => Answer::Secret(Secret::new(name.0, secret.as_str())),
            Kind::Fetched(_) => Answer::Fetch(name),
        })
    }

    /// Whether any is to be fetched.
    pub fn fetches(&self) -> bool {
        self.0.values().any(|credential| matches!(credential.0, Kind::Fetched(_)))
    }

    /// Gets the secret that a question of `hop` wants; `None` where there is none.
    pub async fn get(&self, hop: &str, name: &SecretName, question: &str) -> Option<Secret> {
        let value = match &self.0.get(name)?.0 {
            Kind::Given(secret) => secret.clone(),
            Kind::Fetched(fetch) => {
                fetch(Question { hop: hop.to_owned(), name: name.clone(), text: question.to_owned() }).await?
            }
        };
        // Moved, so that no copy is left behind.
        Some(Secret::from_zeroizing(name.0.clone(), value))
    }
}
