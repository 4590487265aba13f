//! How to read what ssh says when it fails.

use mitogen_bootstrap::plan::{FailureKind, FailureRule, Pattern, SecretName, Source};

/// The forms of ssh's own messages. It ends with status 255 for all of them, which tells them
/// from anything that the remote command says.
///
/// `with_password`: one was given; a host that wants one then refuses it.
pub(super) fn rules(with_password: bool) -> Vec<FailureRule> {
    use FailureKind as Kind;
    let rule = |line: Pattern, kind: FailureKind, advice: &str| FailureRule {
        source: Some(Source::Stderr),
        line,
        also: None,
        status: Some(255),
        kind,
        advice: advice.to_owned(),
    };
    let no_host_key = || Pattern::line("Host key verification failed.");
    let connect = || Pattern::prefix("ssh: connect to host ");
    let denied = || Pattern::contains("@").and_contains(": Permission denied (").and_suffix(").");
    let changed = "the host was installed anew, or someone stands in between: compare its key, \
                   then remove the old one with `ssh-keygen -R HOST`";
    let mut rules = vec![
        FailureRule {
            also: Some(Pattern::contains("host key").and_contains(" is marked as revoked")),
            ..rule(no_host_key(), Kind::HostKeyRevoked, "do not connect; the key was withdrawn")
        },
        FailureRule {
            also: Some(Pattern::contains("REVOKED HOST KEY DETECTED")),
            ..rule(no_host_key(), Kind::HostKeyRevoked, "do not connect; the key was withdrawn")
        },
        FailureRule {
            also: Some(
                Pattern::contains("host key for ").and_contains(" has changed and you have requested"),
            ),
            ..rule(no_host_key(), Kind::HostKeyChanged, changed)
        },
        FailureRule {
            also: Some(Pattern::contains("REMOTE HOST IDENTIFICATION HAS CHANGED")),
            ..rule(no_host_key(), Kind::HostKeyChanged, changed)
        },
        rule(
            no_host_key(),
            Kind::HostKeyUnknown,
            "put the host's key on record (connect once by hand, or use ssh-keyscan), or accept new keys",
        ),
        rule(
            Pattern::prefix("ssh: Could not resolve hostname "),
            Kind::Resolve,
            "check the host's name and ssh_config's HostName",
        ),
        rule(
            connect().and_suffix("Connection refused"),
            Kind::Refused,
            "is an ssh server listening on that port?",
        ),
        rule(connect(), Kind::Unreachable, "check the address, the route and firewalls"),
        rule(
            Pattern::prefix("Unable to negotiate with "),
            Kind::Incompatible,
            "allow an algorithm that the host offers in ssh_config",
        ),
        rule(
            Pattern::contains("Too many authentication failures"),
            Kind::AuthRefused,
            "name the one key to offer, with IdentitiesOnly=yes",
        ),
    ];
    if !with_password {
        let password = || SecretName("password".to_owned());
        for method in ["password", "keyboard-interactive"] {
            let line = denied().and_contains(method);
            rules.push(rule(
                line,
                Kind::SecretNeeded(password()),
                "give the password, or a key that the host accepts",
            ));
        }
    }
    rules.push(rule(denied(), Kind::AuthRefused, "check the user name and which keys the host accepts"));
    for start in [
        "kex_exchange_identification: ",
        "ssh_exchange_identification: ",
        "Connection closed by ",
        "Connection reset by ",
    ] {
        rules.push(rule(
            Pattern::prefix(start),
            Kind::Refused,
            "the server hung up: it may be overloaded, be no ssh server, or not want us",
        ));
    }
    for start in ["command-line", "Bad owner or permissions on ", "Can't open user config file "] {
        rules.push(rule(Pattern::prefix(start), Kind::ToolUsage, "check the ssh options and ssh_config"));
    }
    rules.push(rule(
        Pattern::line("Cannot execute command-line and remote command."),
        Kind::ToolUsage,
        "ssh_config has a RemoteCommand for this host: override it with the ssh option RemoteCommand=none",
    ));
    rules.push(rule(
        Pattern::prefix("subsystem request failed on channel "),
        Kind::ToolUsage,
        "ssh_config asks for a subsystem: override it with the ssh option SessionType=default",
    ));
    let bad_option = Pattern::contains(": Bad configuration option: ");
    rules.push(rule(bad_option, Kind::ToolUsage, "check the ssh options and ssh_config"));
    for text in [
        "Password change required but no TTY available.",
        "Your password has expired",
        "You are required to change your password",
    ] {
        let line = Pattern::contains(text);
        let advice = "log in by hand once and change it";
        rules.push(FailureRule { source: None, status: None, ..rule(line, Kind::PasswordExpired, advice) });
    }
    rules
}
