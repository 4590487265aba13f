//! Methods as upstream's Python is told of them: by the names of its methods and their options.

use super::{Method, OptionError};
use mitogen_bootstrap::plan::{Answer, BootPlan};
use mitogen_bootstrap::{Interpreter, boot_command};
use mitogen_wire::{Secret, Value};

/// Upstream's options by their names.
pub(super) type Options = Vec<(&'static str, Value)>;

/// As [`Interpreter::Discover`], in front of an interpreter's arguments.
const DISCOVER: [&str; 4] = [
    "sh",
    "-c",
    "for p in python3 python python2 /usr/libexec/platform-python;do command -v $p>/dev/null&&exec $p \"$@\";done;exit 127",
    "sh",
];

impl Method {
    /// The name of upstream's method that does what this one does, and its options.
    ///
    /// # Errors
    /// The method cannot be expressed so: it has secrets that are to be fetched when they are asked for, for one.
    pub fn for_upstream(&self) -> Result<(&'static str, Options), OptionError> {
        if self.credentials().fetches() {
            return Err(self.not_for_upstream("secrets that are fetched when asked for"));
        }
        let (name, mut options) = match self {
            Method::Local(_) => ("local", Options::new()),
            Method::Ssh(ssh) => ("ssh", ssh.for_upstream()),
            Method::Sudo(sudo) => ("sudo", sudo.for_upstream()),
            Method::Su(su) => ("su", su.for_upstream()),
            Method::Doas(doas) => ("doas", doas.for_upstream()),
            // Nobody is asked anything, and the tool takes a command as its last arguments: our own words for it,
            // as those of an interpreter.
            other => {
                let words = tool(&other.plan(), &other.common().interpreter)
                    .ok_or_else(|| self.not_for_upstream("a command that is one text"))?;
                let words = words.into_iter().chain(python(&other.common().interpreter));
                return Ok(("local", vec![("python_path", list(words))]));
            }
        };
        match (&self.common().interpreter, name) {
            // The interpreter of the context that starts it.
            (Interpreter::Discover, "local") => {}
            (interpreter, _) => options.push(("python_path", list(python(interpreter)))),
        }
        if let Some(Answer::Secret(secret)) = self.credentials().answer("password") {
            options.push(("password", Value::Secret(Secret::new(secret.expose()))));
        }
        Ok((name, options))
    }

    fn not_for_upstream(&self, what: &str) -> OptionError {
        OptionError::NotUpstream { hop: self.hop(), what: what.to_owned() }
    }
}

/// The words in front of the boot command.
fn tool(plan: &BootPlan, interpreter: &Interpreter) -> Option<Vec<String>> {
    plan.argv.strip_suffix(boot_command(interpreter).as_slice()).map(<[String]>::to_vec)
}

fn python(interpreter: &Interpreter) -> Vec<String> {
    match interpreter {
        Interpreter::Named(words) if !words.is_empty() => words.clone(),
        _ => DISCOVER.map(str::to_owned).to_vec(),
    }
}

pub(super) fn list(words: impl IntoIterator<Item = String>) -> Value {
    Value::List(words.into_iter().map(Value::Text).collect())
}

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// Adds an option that was given.
pub(super) fn add(options: &mut Options, name: &'static str, value: Option<&str>) {
    options.extend(value.map(|value| (name, text(value))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credential, Docker, HostKeys, Local, Ssh, Sudo};

    fn show(method: impl Into<Method>) -> String {
        let (name, options) = method.into().for_upstream().expect("upstream has it");
        format!("{name} {options:?}")
    }

    #[test]
    fn what_upstream_has_is_named_as_upstream_names_it() {
        assert_eq!(show(Local::new()), "local []");
        let ssh = show(Ssh::new("web1").user("alice").port(2222).host_keys(HostKeys::Ignore).config("/c"));
        for part in
            ["\"hostname\"", "web1", "\"username\"", "\"port\", Int(2222)", "ignore", "\"-F\"", "python_path"]
        {
            assert!(ssh.contains(part), "{part} in {ssh}");
        }
        let sudo = show(Sudo::new().user("root").password("hunter2"));
        assert!(sudo.contains("\"password\"") && !sudo.contains("hunter2"), "{sudo}");
    }

    #[test]
    fn a_tool_that_asks_nothing_is_part_of_the_interpreter() {
        let docker = show(Docker::new("box").python("python3.9"));
        assert!(docker.starts_with("local [(\"python_path\""), "{docker}");
        assert!(
            docker.contains("exec") && docker.contains("box") && docker.contains("python3.9"),
            "{docker}"
        );
    }

    #[test]
    fn a_secret_that_is_fetched_cannot_be_passed_on() {
        let sudo = Sudo::new().password(Credential::fetch(|_| async { None::<String> }));
        assert!(Method::from(sudo).for_upstream().is_err());
    }
}
