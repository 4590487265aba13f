//! From targets and options to connection methods. Everything that is wrong with them is found here, before
//! anything is connected.

use crate::{
    cli::{Common, HostKeyPolicy},
    destination::Destination,
    fleet::Place,
    methods::Methods,
    password::Password,
    range,
    target::{Hop, Malformed, SLASH, Target},
};
use mitogen::{Credential, Method, OptionValue};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a connection may take, unless the user says.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The passwords that methods are given.
#[derive(Clone, Copy, Default)]
pub(crate) struct Passwords<'a> {
    /// For logins: ssh.
    pub(crate) login: Option<&'a Password>,
    /// For becoming another user: sudo, su, doas.
    pub(crate) become_: Option<&'a Password>,
    /// For those of either that want more than a password.
    pub(crate) second: Option<&'a Credential>,
}

/// Options that a target must not name: others would read them in the list of processes.
const SECRETS: [&str; 3] = ["password", "passphrase", "second_factor"];

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
pub(crate) fn place(
    target: Target,
    common: &Common,
    methods: &Methods,
    passwords: &Passwords<'_>,
) -> Result<Place, String> {
    let mut ways = Vec::new();
    let mut had_options = false;
    for hop in target.hops() {
        // A slash inside an option's value starts a hop: say so when that hop makes no sense.
        let advice = if had_options { SLASH } else { "" };
        let method = method(hop, common, methods, passwords)
            .map_err(|why| format!("target `{target}`: {why}{advice}"))?;
        ways.push(method);
        had_options = !hop.options.is_empty();
    }
    Ok(Place { target, methods: ways })
}

fn method(
    hop: &Hop,
    common: &Common,
    methods: &Methods,
    passwords: &Passwords<'_>,
) -> Result<Method, String> {
    if let Some((key, _)) = hop.options.iter().find(|(_, value)| value.is_empty()) {
        return Err(format!("the option `{key}` is empty"));
    }
    let python = hop.option("python").map(str::to_owned).or_else(|| common.python.clone());
    let timeout = common.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    if let Some(custom) = methods.method(hop, passwords) {
        let custom = custom?.connect_timeout(timeout);
        return Ok(match python {
            Some(python) => custom.python(python).into(),
            None => custom.into(),
        });
    }
    check(hop, methods)?;
    let mut options: Vec<(&str, OptionValue)> = vec![("connect_timeout", timeout.as_secs_f64().into())];
    match &hop.argument {
        Some(argument) if hop.method == "ssh" => {
            let to: Destination = argument.parse().map_err(|why: Malformed| why.to_string())?;
            options.push(("hostname", to.host.as_str().into()));
            options.extend(to.user.as_deref().map(|user| ("username", user.into())));
            options.extend(to.port.map(|port| ("port", f64::from(port).into())));
            for (key, value) in for_ssh(common) {
                options.push((key, value));
            }
        }
        argument => options.extend(argument.as_deref().map(|argument| ("argument", argument.into()))),
    }
    options.extend(python.as_deref().map(|python| ("python", python.into())));
    let password = match hop.method.as_str() {
        "ssh" => passwords.login,
        "sudo" | "su" | "doas" => passwords.become_,
        _ => None,
    };
    options.extend(password.map(|password| ("password", OptionValue::Secret(password.expose().into()))));
    // What sudo and the like ask first is the password, and without one it is no question for a code.
    let second = passwords.second.filter(|_| password.is_some() || hop.method == "ssh");
    options.extend(second.map(|second| ("second_factor", OptionValue::Secret(second.clone()))));
    // What the hop itself says comes last, and counts.
    let own = hop.options.iter().filter(|(key, _)| key != "python");
    let own: Vec<(String, &str)> = own.map(|(key, value)| (key.replace('-', "_"), value.as_str())).collect();
    options.extend(own.iter().map(|(key, value)| (key.as_str(), (*value).into())));
    let method = Method::from_options(&hop.method, options).map_err(|why| why.to_string())?;
    Ok(match method {
        Method::Ssh(ssh) => common.ssh_option.iter().fold(*ssh, |ssh, option| ssh.option(option)).into(),
        method => method,
    })
}

/// What the command line says to every ssh.
fn for_ssh(common: &Common) -> impl Iterator<Item = (&'static str, OptionValue)> {
    let file =
        |path: &Option<PathBuf>| path.as_ref().map(|path| OptionValue::Text(path.display().to_string()));
    let policy = match common.host_keys {
        None | Some(HostKeyPolicy::Enforce) => "enforce",
        Some(HostKeyPolicy::AcceptNew) => "accept-new",
        Some(HostKeyPolicy::Ignore) => "ignore",
    };
    [
        ("ssh_config", file(&common.ssh_config)),
        ("identity_file", file(&common.identity)),
        ("check_host_keys", Some(policy.into())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
}

/// Whether the hop's method is there, and what only targets can do wrong.
fn check(hop: &Hop, methods: &Methods) -> Result<(), String> {
    // A command of the user's own comes from a file, where its prompts can be said too.
    let known = || Method::names().iter().copied().filter(|name| *name != "custom");
    if !known().any(|name| name == hop.method) {
        let names: Vec<&str> = known().chain(methods.names()).collect();
        let advice = match hop.argument {
            None => format!("; if it is a host, write ssh:{}", hop.method),
            Some(_) => String::new(),
        };
        return Err(format!("there is no method `{}`; available: {}{advice}", hop.method, names.join(", ")));
    }
    match (hop.method.as_str(), &hop.argument) {
        ("local", Some(_)) => return Err("`local` takes no argument".to_owned()),
        ("ssh", None) => return Err("`ssh` needs a host: ssh:[USER@]HOST[:PORT]".to_owned()),
        (method @ ("docker" | "podman"), None) if hop.option("image").is_none() => {
            return Err(format!("`{method}` needs a container: {method}:CONTAINER, or {method}?image=IMAGE"));
        }
        (method, None) if !["local", "sudo", "su", "doas", "docker", "podman", "setns"].contains(&method) => {
            return Err(format!("`{method}` needs a name: {method}:NAME"));
        }
        _ => {}
    }
    let secret = hop.options.iter().find(|(key, _)| SECRETS.contains(&key.replace('-', "_").as_str()));
    if let Some((key, _)) = secret {
        let options = "--ask-pass, --ask-become-pass, --ask-second-factor and the like";
        return Err(format!(
            "`{key}` is nothing for a command line, which others can read: there are {options}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        match place(text.parse().unwrap(), &Common::default(), &Methods::default(), &Passwords::default()) {
            Ok(_) => panic!("{text} was accepted"),
            Err(why) => why,
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        assert!(fault("sodu:root").contains("available: local, ssh, sudo"));
        assert!(fault("ssh:a/sodu:root").contains("no method `sodu`"));
        assert!(fault("docker").contains("docker:CONTAINER"));
        assert!(fault("lxc").contains("lxc:NAME"));
        assert!(fault("sudo:root?password=x").contains("--ask-become-pass"));
        assert!(fault("sudo:root?login=maybe").contains("yes or no"));
        assert!(fault("sudo:root?chroot=x").contains("has no option"));
        assert!(fault("local:x").contains("no argument"));
        assert!(fault("ssh").contains("needs a host"));
        assert!(fault("ssh:::1").contains("brackets"));
        assert!(fault("local?pyhton=x").contains("it takes: python"));
        assert!(fault("local?python=").contains("empty"));
        assert!(fault("ssh:-oProxyCommand=x").contains("cannot start"));
    }

    #[test]
    fn a_hop_with_options_of_its_own_has_the_common_ones_too() {
        let common = Common {
            ssh_config: Some("/the/config".into()),
            identity: Some("/the/key".into()),
            ssh_option: vec!["Ciphers=theirs".into()],
            host_keys: Some(HostKeyPolicy::AcceptNew),
            ..Common::default()
        };
        for target in ["ssh:u@a:2222", "ssh:u@a:2222?name=x&python=p", "ssh:u@a:2222?compression=yes"] {
            let place =
                place(target.parse().unwrap(), &common, &Methods::default(), &Passwords::default()).unwrap();
            let shown = format!("{:?}", place.methods[0]);
            for part in ["/the/config", "/the/key", "Ciphers=theirs", "AcceptNew", "\"u\"", "\"a\"", "2222"] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
        }
        let own = "ssh:a?check_host_keys=enforce".parse().unwrap();
        let place = place(own, &common, &Methods::default(), &Passwords::default()).unwrap();
        assert!(format!("{:?}", place.methods[0]).contains("Enforce"));
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
