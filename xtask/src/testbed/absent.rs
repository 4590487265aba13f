//! Parts of the testbed that do not come up: required on a machine that is its own master, and then their absence is
//! told to the tests as a fault; optional where the machine is confined, with the reason.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::sh::{self, Result};

/// The fact about a part: what it is known by, or why it is not there. `confined` is [`confined`].
pub(super) fn fact(name: &str, started: Result<String>, confined: Option<&str>) -> (String, String) {
    match (started, confined) {
        (Ok(value), _) => (format!("MITOGEN_TESTBED_{name}"), value),
        (Err(why), reason) => {
            let why = one_line(&why.to_string());
            let verdict = match reason {
                Some(reason) => format!("optional {reason}: {why}"),
                None => format!("required on this machine: {why}"),
            };
            eprintln!("no {name} here, {verdict}");
            (without(name), verdict)
        }
    }
}

/// The fact about a part that is not to be had from the system's packages.
pub(super) fn no_package(name: &str, what: &str) -> (String, String) {
    (without(name), format!("optional: {what}"))
}

fn without(name: &str) -> String {
    format!("MITOGEN_TESTBED_WITHOUT_{name}")
}

/// Facts are lines between quotes.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.replace('\'', "`").chars().take(300).collect()
}

/// Why containers and namespaces cannot be asked of this machine, if they cannot.
pub(super) fn confined() -> Option<&'static str> {
    let root = |path: &str| std::fs::metadata(path).map(|root| (root.dev(), root.ino())).ok();
    if root("/proc/1/root").is_some_and(|first| Some(first) != root("/")) {
        return Some("in a chroot");
    }
    let environment = std::fs::read("/proc/1/environ").unwrap_or_default();
    let in_container = environment.split(|&byte| byte == 0).any(|setting| setting.starts_with(b"container="));
    if in_container || ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists()) {
        return Some("in a container");
    }
    if sh::output(Command::new("unshare").args(["-mn", "true"])).is_err() {
        return Some("where nobody may make namespaces");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh::fail;

    fn broken() -> Result<String> {
        fail!("it's\nbroken")
    }

    #[test]
    fn what_is_absent_says_whether_it_may_be() {
        let (name, why) = fact("LXC", broken(), None);
        assert_eq!(
            (name.as_str(), why.as_str()),
            ("MITOGEN_TESTBED_WITHOUT_LXC", "required on this machine: it`s broken")
        );
        assert_eq!(fact("LXC", broken(), Some("in a chroot")).1, "optional in a chroot: it`s broken");
        assert_eq!(
            fact("LXC", Ok("/lxc".into()), Some("in a chroot")),
            ("MITOGEN_TESTBED_LXC".into(), "/lxc".into())
        );
    }
}
