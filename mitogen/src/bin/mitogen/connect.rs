//! From targets and options to connection methods. Everything that is wrong with them is found here, before
//! anything is connected.

use crate::{
    cli::{Common, HostKeyPolicy},
    fleet::Place,
    password::Password,
    range,
    target::{Destination, Hop, Malformed, SLASH, Target},
};
use mitogen::{HostKeys, Local, Method, Ssh};
use std::{
    io::{self, Read},
    path::Path,
    time::Duration,
};

/// How long a connection may take, unless the user says.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The methods that can be used, and the keys that each takes.
const METHODS: [(&str, &[&str]); 2] = [("local", &["python"]), ("ssh", &["python"])];

/// All targets that the options name: ranges expanded, files read; `local` if none is named.
///
/// # Errors
/// A name that is no target, a file that cannot be read, or files without a single target.
pub(crate) fn targets(common: &Common) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for text in &common.target {
        add(text, &mut targets).map_err(|why| why.to_string())?;
    }
    for path in &common.targets_file {
        let from_stdin = path == Path::new("-");
        let text = match from_stdin {
            true => io::read_to_string(io::stdin().lock().take(LIMIT)),
            false => std::fs::File::open(path).and_then(|file| io::read_to_string(file.take(LIMIT))),
        };
        let shown = if from_stdin { "stdin".to_owned() } else { path.display().to_string() };
        let text = text.map_err(|error| format!("--targets-file: cannot read {shown}: {error}"))?;
        for (number, line) in text.lines().enumerate() {
            let line = without_comment(line);
            if !line.is_empty() {
                add(line, &mut targets).map_err(|why| format!("{shown}, line {}: {why}", number + 1))?;
            }
        }
    }
    match targets.is_empty() {
        true if !common.targets_file.is_empty() => Err("--targets-file: no target in it".to_owned()),
        true => Ok(vec![Target::local()]),
        false => Ok(targets),
    }
}

/// The largest file of targets, in bytes.
const LIMIT: u64 = 64 << 20;

fn add(text: &str, targets: &mut Vec<Target>) -> Result<(), Malformed> {
    for name in range::expand(text)? {
        targets.push(name.parse()?);
    }
    Ok(())
}

/// A comment starts with `#` at the line's start or behind a blank.
fn without_comment(line: &str) -> &str {
    let start = line
        .char_indices()
        .find(|&(at, c)| c == '#' && (at == 0 || line[..at].ends_with(char::is_whitespace)))
        .map_or(line.len(), |(at, _)| at);
    line[..start].trim()
}

/// The way to a target.
///
/// # Errors
/// A method or an option that is not there.
pub(crate) fn place(target: Target, common: &Common, password: Option<&Password>) -> Result<Place, String> {
    let mut methods = Vec::with_capacity(target.hops().len());
    let mut had_options = false;
    for hop in target.hops() {
        let advice = if had_options { SLASH } else { "" };
        let method = method(hop, common, password);
        methods.push(method.map_err(|why| format!("target `{target}`: {why}{advice}"))?);
        had_options = !hop.options.is_empty();
    }
    Ok(Place { target, methods })
}

fn method(hop: &Hop, common: &Common, password: Option<&Password>) -> Result<Method, String> {
    check(hop)?;
    let python = hop.option("python").map(str::to_owned).or_else(|| common.python.clone());
    let timeout = common.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    Ok(match hop.method.as_str() {
        "ssh" => {
            let destination: Destination = hop
                .argument
                .as_deref()
                .unwrap_or_default()
                .parse()
                .map_err(|why: Malformed| why.to_string())?;
            ssh(&destination, python, common, password).connect_timeout(timeout).into()
        }
        _ => {
            let mut local = Local::new().connect_timeout(timeout);
            if let Some(python) = python {
                local = local.python(python);
            }
            local.into()
        }
    })
}

/// Whether the hop's method is there and takes what the hop gives it.
fn check(hop: &Hop) -> Result<(), String> {
    let Some((method, keys)) = METHODS.iter().find(|(name, _)| *name == hop.method) else {
        let names: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no method `{}`; available: {}", hop.method, names.join(", ")));
    };
    match (*method, &hop.argument) {
        ("local", Some(_)) => return Err("`local` takes no argument".to_owned()),
        ("ssh", None) => return Err("`ssh` needs a host: ssh:[USER@]HOST[:PORT]".to_owned()),
        _ => {}
    }
    for (key, value) in &hop.options {
        if !keys.contains(&key.as_str()) {
            return Err(format!("`{method}` has no option `{key}`; it takes: {}", keys.join(", ")));
        }
        if value.is_empty() {
            return Err(format!("the option `{key}` is empty"));
        }
    }
    Ok(())
}

fn ssh(to: &Destination, python: Option<String>, common: &Common, password: Option<&Password>) -> Ssh {
    let mut ssh = Ssh::new(&to.host);
    if let Some(user) = &to.user {
        ssh = ssh.user(user);
    }
    if let Some(port) = to.port {
        ssh = ssh.port(port);
    }
    if let Some(python) = python {
        ssh = ssh.python(python);
    }
    if let Some(password) = password {
        ssh = ssh.password(password.expose());
    }
    if let Some(file) = &common.ssh_config {
        ssh = ssh.config(file.display().to_string());
    }
    if let Some(file) = &common.identity {
        ssh = ssh.identity(file.display().to_string());
    }
    for option in &common.ssh_option {
        ssh = ssh.option(option);
    }
    ssh.host_keys(match common.host_keys {
        None | Some(HostKeyPolicy::Enforce) => HostKeys::Enforce,
        Some(HostKeyPolicy::AcceptNew) => HostKeys::AcceptNew,
        Some(HostKeyPolicy::Ignore) => HostKeys::Ignore,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        match place(text.parse().unwrap(), &Common::default(), None) {
            Ok(_) => panic!("{text} was accepted"),
            Err(why) => why,
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert!(fault("sudo:root").contains("available: local, ssh"));
        assert!(fault("ssh:a/sudo:root").contains("no method `sudo`"));
        assert!(fault("local:x").contains("no argument"));
        assert!(fault("ssh").contains("needs a host"));
        assert!(fault("ssh:::1").contains("brackets"));
        assert!(fault("local?pyhton=x").contains("it takes: python"));
        assert!(fault("local?python=").contains("empty"));
        assert!(fault("ssh:-oProxyCommand=x").contains("cannot start"));
    }

    #[test]
    fn a_file_of_targets_may_have_comments() {
        assert_eq!(without_comment("ssh:a # the first"), "ssh:a");
        assert_eq!(without_comment("# all of it"), "");
        assert_eq!(without_comment("  local?python=a#b\t"), "local?python=a#b");
    }

    #[test]
    fn no_target_is_this_machine() {
        assert_eq!(targets(&Common::default()).unwrap(), [Target::local()]);
        let two = Common { target: vec!["ssh:w[1-2]".into()], ..Common::default() };
        assert_eq!(targets(&two).unwrap().len(), 2);
    }
}
