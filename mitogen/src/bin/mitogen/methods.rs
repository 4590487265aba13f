//! Connection methods of the user's own, from a TOML file: what `--methods` names.
//!
//! ```toml
//! [method.dzdo]
//! argv = ["dzdo", "-u", "{argument}", "-p", "mitogen-asks:", "--", "{command}"]
//! argument = "root"                    # when the target says none; without this line it must
//! wiring = "prompts"                   # plain, merged, pipes, prompts or terminal
//! prompt = [{ contains = "mitogen-asks:", secret = "become" }]      # or "login", "second-factor"
//! failure = [{ contains = "not allowed", kind = "not-permitted", advice = "ask for the role" }]
//! ```

use crate::{connect::Passwords, password::Password, target::Hop};
use mitogen::{Credential, Custom, FailureKind};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// All methods of the user's own, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Methods(BTreeMap<String, Template>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    method: BTreeMap<String, Template>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    /// The command: `{command}` as a word, `{line}`, `{argument}` and `{KEY}` of the target's options within words.
    argv: Vec<String>,
    /// What stands for the target's argument when it has none.
    argument: Option<String>,
    #[serde(default)]
    wiring: Wiring,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    prompt: Vec<Prompt>,
    #[serde(default)]
    failure: Vec<Failure>,
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wiring {
    #[default]
    Plain,
    Merged,
    Pipes,
    Prompts,
    Terminal,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompt {
    /// Text in the question. With neither this nor `ends` it is any question without echo.
    contains: Option<String>,
    /// Text at the question's end; for an answer that is no secret.
    ends: Option<String>,
    secret: Option<Which>,
    say: Option<String>,
}

/// Which password.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Which {
    Login,
    Become,
    SecondFactor,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    contains: Option<String>,
    status: Option<i32>,
    kind: String,
    #[serde(default)]
    advice: String,
}

/// The kinds that a file can name.
const KINDS: &[(&str, FailureKind)] = &[
    ("account-unusable", FailureKind::AccountUnusable),
    ("auth-refused", FailureKind::AuthRefused),
    ("exec", FailureKind::Exec),
    ("host-key-changed", FailureKind::HostKeyChanged),
    ("host-key-unknown", FailureKind::HostKeyUnknown),
    ("no-such-user", FailureKind::NoSuchUser),
    ("no-terminal", FailureKind::NoTerminal),
    ("not-permitted", FailureKind::NotPermitted),
    ("password-expired", FailureKind::PasswordExpired),
    ("refused", FailureKind::Refused),
    ("resolve", FailureKind::Resolve),
    ("target-missing", FailureKind::TargetMissing),
    ("target-stopped", FailureKind::TargetStopped),
    ("tool-usage", FailureKind::ToolUsage),
    ("unreachable", FailureKind::Unreachable),
];

impl Methods {
    /// Those of this file too. A later file's win.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<(), String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|why| format!("--methods: {shown}: {why}"))?;
        self.parse(&text).map_err(|why| format!("--methods: {shown}: {why}"))
    }

    fn parse(&mut self, text: &str) -> Result<(), String> {
        let file: File = toml::from_str(text).map_err(|why| why.to_string())?;
        for (name, template) in file.method {
            template.check().map_err(|why| format!("method.{name}: {why}"))?;
            if mitogen::Method::names().contains(&name.as_str()) {
                return Err(format!("method.{name}: the name is taken"));
            }
            self.0.insert(name, template);
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The method of this hop, if it is one of these.
    ///
    /// # Errors
    /// An option that it does not have, or the lack of an argument.
    pub(crate) fn method(&self, hop: &Hop, passwords: &Passwords<'_>) -> Option<Result<Custom, String>> {
        self.0.get(&hop.method).map(|template| template.method(hop, passwords))
    }
}

impl Template {
    fn check(&self) -> Result<(), String> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err("argv: there is no command".to_owned());
        }
        for prompt in &self.prompt {
            match (&prompt.contains, &prompt.ends, prompt.secret, &prompt.say) {
                (_, None, Some(_), None) | (None, Some(_), None, Some(_)) => {}
                _ => {
                    return Err(
                        "prompt: it takes `secret` (with `contains` or not), or `say` with `ends`".into()
                    );
                }
            }
        }
        for failure in &self.failure {
            kind(&failure.kind)?;
            if failure.contains.is_some() == failure.status.is_some() {
                return Err("failure: it takes either `contains` or `status`".to_owned());
            }
        }
        Ok(())
    }

    /// The names in braces that a target can give values for.
    fn keys(&self) -> BTreeSet<&str> {
        let answers = self.prompt.iter().filter_map(|prompt| prompt.say.as_ref());
        let texts = self.argv.iter().chain(answers).chain(self.env.values());
        let names = texts.flat_map(|text| text.split('{').skip(1).filter_map(|rest| rest.split_once('}')));
        let word = |name: &&str| {
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
        };
        let ours = |name: &&str| matches!(*name, "" | "command" | "line");
        names.map(|(name, _)| name).filter(|name| word(name) && !ours(name)).collect()
    }

    fn method(&self, hop: &Hop, passwords: &Passwords<'_>) -> Result<Custom, String> {
        let name = &hop.method;
        let keys = self.keys();
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        if let Some(argument) = hop.argument.as_deref().or(self.argument.as_deref()) {
            values.insert("argument", argument);
        }
        for (key, value) in hop.options.iter().filter(|(key, _)| key != "python") {
            if !keys.contains(key.as_str()) || key == "argument" {
                let known: Vec<&str> =
                    keys.iter().copied().filter(|key| *key != "argument").chain(["python"]).collect();
                return Err(format!("`{name}` has no option `{key}`; it takes: {}", known.join(", ")));
            }
            values.insert(key, value);
        }
        if let Some(missing) = keys.iter().find(|key| !values.contains_key(*key)) {
            return Err(match *missing {
                "argument" => format!("`{name}` needs an argument: {name}:..."),
                key => format!("`{name}` needs the option `{key}`"),
            });
        }
        let fill = |text: &String| {
            values.iter().fold(text.clone(), |text, (key, value)| text.replace(&format!("{{{key}}}"), value))
        };
        let mut argv = self.argv.iter().map(fill);
        let program = argv.next().unwrap_or_default();
        let mut custom = Custom::new(program, argv).hop_name(hop.to_string());
        for (name, value) in &self.env {
            custom = custom.env(name, fill(value));
        }
        custom = match self.wiring {
            Wiring::Plain => custom,
            Wiring::Merged => custom.merged(),
            Wiring::Pipes => custom.pipes(),
            Wiring::Prompts => custom.prompts(),
            Wiring::Terminal => custom.terminal(),
        };
        for prompt in &self.prompt {
            custom = prompt.add(custom, passwords, fill);
        }
        for failure in &self.failure {
            let kind = kind(&failure.kind)?;
            custom = match (&failure.contains, failure.status) {
                (Some(text), _) => custom.fails(text, kind, &failure.advice),
                (None, status) => custom.fails_with(status.unwrap_or(1), kind, &failure.advice),
            };
        }
        Ok(match &self.hint {
            Some(hint) => custom.hint(hint),
            None => custom,
        })
    }
}

impl Prompt {
    fn add(&self, custom: Custom, passwords: &Passwords<'_>, fill: impl Fn(&String) -> String) -> Custom {
        if let (Some(end), Some(answer)) = (&self.ends, &self.say) {
            return custom.says(end, fill(answer));
        }
        let given = |password: &Password| Credential::from(password.expose());
        let (name, secret) = match self.secret {
            Some(Which::Login) => ("login password", passwords.login.map(given)),
            Some(Which::SecondFactor) => ("second factor", passwords.second.cloned()),
            Some(Which::Become) | None => ("password", passwords.become_.map(given)),
        };
        match (&self.contains, secret) {
            (Some(text), Some(secret)) => custom.asks(text, name, secret),
            (None, Some(secret)) => custom.hidden(name, secret),
            // Asked for and not given: the machine says so itself of any question without echo.
            (_, None) => custom,
        }
    }
}

fn kind(name: &str) -> Result<FailureKind, String> {
    let found = KINDS.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| kind.clone()).ok_or_else(|| {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        format!("failure: there is no kind `{name}`; available: {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    const DZDO: &str = r#"
        [method.dzdo]
        argv = ["dzdo", "-u", "{argument}", "-r", "{role}", "--", "{command}"]
        argument = "root"
        wiring = "prompts"
        prompt = [{ secret = "become" }]
        failure = [{ contains = "not allowed", kind = "not-permitted" }, { status = 1, kind = "auth-refused" }]
    "#;

    fn method(file: &str, target: &str) -> Result<Custom, String> {
        let mut methods = Methods::default();
        methods.parse(file)?;
        let target: Target = target.parse().unwrap();
        methods.method(&target.hops()[0], &Passwords::default()).unwrap()
    }

    #[test]
    fn a_template_is_filled_from_the_target() {
        let argv = method(DZDO, "dzdo:bob?role=a%2Fb").unwrap().plan().argv;
        assert_eq!(argv[..6], ["dzdo", "-u", "bob", "-r", "a/b", "--"]);
        assert_eq!(argv[6..8], ["sh", "-c"]);
        assert_eq!(method(DZDO, "dzdo?role=x").unwrap().plan().argv[2], "root");
        assert_eq!(method(DZDO, "dzdo?role=x").unwrap().hop(), "dzdo?role=x");
    }

    #[test]
    fn what_is_wrong_with_a_target_or_a_file_is_said() {
        assert!(method(DZDO, "dzdo").unwrap_err().contains("`role`"));
        assert!(method(DZDO, "dzdo?roles=x").unwrap_err().contains("it takes: role, python"));
        let fault = |text: &str| Methods::default().parse(text).unwrap_err();
        assert!(fault("[method.x]\nargv = []").contains("no command"));
        assert!(fault("[method.sudo]\nargv = ['sudo']").contains("taken"));
        assert!(
            fault("[method.x]\nargv = ['x']\nfailure = [{ contains = 'a', kind = 'odd' }]").contains("odd")
        );
        assert!(fault("[method.x]\nargv = ['x']\nprompt = [{ say = 'a' }]").contains("ends"));
        assert!(fault("[method.x]\nargv = ['x']\nprmopt = []").contains("prmopt"));
        assert!(fault("nonsense").contains("TOML"));
    }
}
