//! What stands behind `ssh:` in a target.

use crate::target::Malformed;
use std::str::FromStr;

/// Where ssh goes: `[user@]host[:port]`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The account, if one is named.
    pub(crate) user: Option<String>,
    /// Host name, alias of ssh_config, or address (without brackets).
    pub(crate) host: String,
    /// The port, if one is named.
    pub(crate) port: Option<u16>,
}

impl FromStr for Destination {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let wrong = |why: &str| Malformed(format!("`{text}`: {why}; the form is [USER@]HOST[:PORT]"));
        let (user, place) = match text.rsplit_once('@') {
            Some(("", _)) => return Err(wrong("the user is empty")),
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, text),
        };
        let (host, port) = if let Some(inside) = place.strip_prefix('[') {
            let (host, behind) = inside.split_once(']').ok_or_else(|| wrong("`[` without `]`"))?;
            match behind.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if behind.is_empty() => (host, None),
                None => return Err(wrong("something stands between `]` and the end")),
            }
        } else {
            match place.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(wrong("an IPv6 address is written in brackets, `[::1]:22`"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            }
        };
        if host.is_empty() {
            return Err(wrong("the host is empty"));
        }
        if host.contains(['[', ']']) {
            return Err(wrong("no host has a bracket in its name; a range is written web[01-20]"));
        }
        // ssh would take these for options.
        if host.starts_with('-') || user.as_deref().is_some_and(|user| user.starts_with('-')) {
            return Err(wrong("a name cannot start with `-`"));
        }
        let port = match port {
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port != 0 => Some(port),
                _ => return Err(wrong("the port is a number from 1 to 65535")),
            },
            None => None,
        };
        Ok(Self { user, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_taken_apart() {
        let read = |text: &str| text.parse::<Destination>();
        let full = read("alice@web1:2222").unwrap();
        assert_eq!(
            (full.user.as_deref(), full.host.as_str(), full.port),
            (Some("alice"), "web1", Some(2222))
        );
        let six = read("[fe80::1%eth0]:22").unwrap();
        assert_eq!((six.user, six.host.as_str(), six.port), (None, "fe80::1%eth0", Some(22)));
        assert_eq!(read("[::1]").unwrap().port, None);
        // A realm may hold an @: the last one counts, as for ssh.
        assert_eq!(read("a@corp@web1").unwrap().user.as_deref(), Some("a@corp"));
        for bad in [
            "web[1-",
            "web[a-b]",
            "::1",
            "@h",
            "u@",
            "h:",
            "h:0",
            "h:70000",
            "h:x",
            "[::1",
            "[::1]22",
            "-oProxyCommand=x",
            "-u@h",
        ] {
            assert!(read(bad).is_err(), "{bad} was accepted");
        }
    }
}
