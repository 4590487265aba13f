//! What methods make of a tool's last words: the same, whatever stands around them and however they are cut.

#[path = "support/words.rs"]
mod words;

use mitogen_bootstrap::plan::{FailureRule, Pattern, Wiring};
use mitogen_transport::{
    Buildah, Custom, Doas, Docker, FailureKind, Incus, Jail, Kubectl, Lxc, Lxd, Method, Podman, SecretName,
    Setns, Source, Ssh, Su, Sudo,
};
use proptest::prelude::*;
use words::{Birth, cuts, noise};

fn name(name: &str) -> SecretName {
    SecretName(name.into())
}

/// A tool's last words as they were seen on real machines, and what they mean.
fn last_words() -> Vec<(Method, Source, &'static str, i32, FailureKind)> {
    use FailureKind as Kind;
    use Source::{Stderr, Terminal};
    let needed = || Kind::SecretNeeded(name("password"));
    vec![
        (Sudo::new().into(), Stderr, "sudo: a password is required", 1, needed()),
        (Sudo::new().into(), Stderr, "sudo: sorry, you must have a tty to run sudo", 1, Kind::NoTerminal),
        (Sudo::new().into(), Stderr, "tb_nosudo is not in the sudoers file.", 1, Kind::NotPermitted),
        (
            Sudo::new().into(),
            Stderr,
            "Sorry, user bob is not allowed to execute '/bin/sh -c x' as root on h.",
            1,
            Kind::NotPermitted,
        ),
        (Sudo::new().into(), Stderr, "sudo: unknown user nobody-here", 1, Kind::NoSuchUser),
        (
            Sudo::new().into(),
            Stderr,
            "sudo: Account expired, contact your system administrator",
            1,
            Kind::AccountUnusable,
        ),
        (
            Sudo::new().into(),
            Stderr,
            "sudo: account validation failure, is your account locked?\nsudo: a password is required",
            1,
            Kind::AccountUnusable,
        ),
        (Sudo::new().into(), Stderr, "sudo: interactive authentication is required", 1, needed()),
        (
            Doas::new().into(),
            Terminal,
            "Your account has expired; please contact your system administrator.\ndoas: Authentication failed",
            1,
            Kind::AccountUnusable,
        ),
        (Sudo::new().into(), Stderr, "sudo: 1 incorrect password attempt", 1, Kind::AuthRefused),
        (Sudo::new().into(), Stderr, "tb_nosudo 不在 sudoers 文件中。", 1, Kind::NotPermitted),
        (Su::new().into(), Terminal, "su: Authentication failure", 1, Kind::AuthRefused),
        (Su::new().into(), Terminal, "su: Fehler bei Authentifizierung", 1, Kind::AuthRefused),
        (Su::new().into(), Terminal, "This account is currently not available.", 1, Kind::AccountUnusable),
        (
            Su::new().into(),
            Terminal,
            "su: user x does not exist or the user entry does not contain all the required fields",
            1,
            Kind::NoSuchUser,
        ),
        (Doas::new().into(), Stderr, "doas: Operation not permitted", 1, Kind::NotPermitted),
        (Doas::new().into(), Stderr, "doas: Authentication failed", 1, Kind::AuthRefused),
        (
            Docker::new("c").into(),
            Stderr,
            "Error response from daemon: No such container: c",
            1,
            Kind::TargetMissing,
        ),
        (
            Docker::new("c").into(),
            Stderr,
            "Error response from daemon: Container 0123 is not running",
            1,
            Kind::TargetStopped,
        ),
        (
            Docker::new("c").into(),
            Stderr,
            "Cannot connect to the Docker daemon at unix:///s. Is the docker daemon running?",
            1,
            Kind::Refused,
        ),
        (
            Podman::new("c").into(),
            Stderr,
            "Error: no container with name or ID \"c\" found: no such container",
            125,
            Kind::TargetMissing,
        ),
        (
            Podman::new("c").into(),
            Stderr,
            "Error: can only create exec sessions on running containers: container state improper",
            255,
            Kind::TargetStopped,
        ),
        (
            Lxc::new("c").into(),
            Stderr,
            "lxc-attach: c: ../src/lxc/attach.c: get_attach_context: 406 Connection refused - Failed to get init pid",
            1,
            Kind::TargetStopped,
        ),
        (
            Docker::new("c").into(),
            Stderr,
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            1,
            Kind::NotPermitted,
        ),
        (Lxc::new("c").into(), Stderr, "Insufficent privileges to control c", 1, Kind::NotPermitted),
        (
            Lxd::new("c").into(),
            Stderr,
            "Error: Get \"http://unix.socket/1.0\": dial unix /var/lib/lxd/unix.socket: connect: permission denied",
            1,
            Kind::NotPermitted,
        ),
        (
            Kubectl::new("p").into(),
            Stderr,
            "Error from server (Forbidden): pods \"p\" is forbidden: User \"x\" cannot create resource \"pods/exec\"",
            1,
            Kind::NotPermitted,
        ),
        (
            Jail::new("j").into(),
            Stderr,
            "jexec: jail_attach(1): Operation not permitted",
            1,
            Kind::NotPermitted,
        ),
        (Su::new().into(), Terminal, "su: Permission denied", 1, Kind::NotPermitted),
        (Lxd::new("c").into(), Stderr, "Error: Instance not found", 1, Kind::TargetMissing),
        (Lxd::new("c").into(), Stderr, "Error: Instance is not running", 1, Kind::TargetStopped),
        (
            Kubectl::new("p").into(),
            Stderr,
            "Error from server (NotFound): pods \"p\" not found",
            1,
            Kind::TargetMissing,
        ),
        (
            Kubectl::new("p").into(),
            Stderr,
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            1,
            Kind::Refused,
        ),
        (Jail::new("j").into(), Stderr, "jexec: jail \"j\" not found", 1, Kind::TargetMissing),
        (
            Setns::pid(7).into(),
            Stderr,
            "nsenter: cannot open /proc/7/ns/ipc: No such file or directory",
            1,
            Kind::TargetMissing,
        ),
        (
            Setns::pid(7).into(),
            Stderr,
            "nsenter: reassociate to namespace 'ns/ipc' failed: Operation not permitted",
            1,
            Kind::NotPermitted,
        ),
        (Ssh::new("h").into(), Stderr, "bob@h: Permission denied (publickey).", 255, Kind::AuthRefused),
        (
            Custom::new("x", ["y"]).fails("odd", Kind::Unreachable, "").into(),
            Stderr,
            "this is odd indeed",
            3,
            Kind::Unreachable,
        ),
    ]
}

/// Every method that a tool leads to, with rules of its own.
fn methods() -> Vec<Method> {
    vec![
        Ssh::new("h").into(),
        Ssh::new("h").password("pw").into(),
        Sudo::new().into(),
        Sudo::new().terminal(false).into(),
        Su::new().into(),
        Doas::new().into(),
        Docker::new("c").into(),
        Podman::image("i").into(),
        Buildah::new("c").into(),
        Lxc::new("c").into(),
        Lxd::new("c").into(),
        Incus::new("c").into(),
        Kubectl::new("p").into(),
        Jail::new("j").into(),
        Setns::pid(1).into(),
        Setns::docker("c").into(),
        Custom::new("x", ["y"])
            .fails("odd", FailureKind::Refused, "")
            .fails_with(7, FailureKind::Resolve, "")
            .into(),
    ]
}

/// The shortest line that a pattern matches.
fn example(pattern: &Pattern) -> String {
    if let Some(whole) = &pattern.whole {
        return whole.clone();
    }
    let parts = pattern.prefix.iter().chain(&pattern.contains);
    let line: String = parts.map(|part| format!("{part}x")).collect();
    let line = format!("{line}{}", pattern.suffix.as_deref().unwrap_or_default());
    if line.is_empty() { "words that nobody knows".to_owned() } else { line }
}

/// What the tool says and how it ends when this rule is the one that holds.
fn last_words_of(birth: &mut Birth, rule: &FailureRule, cuts: &[usize]) -> i32 {
    let terminal = birth.plan.wiring == Wiring::PTY;
    let place = rule.source.unwrap_or(if terminal { Source::Terminal } else { Source::Stderr });
    for pattern in rule.also.iter().chain([&rule.line]) {
        birth.say(place, &format!("{}\r\n", example(pattern)), cuts);
    }
    rule.status.unwrap_or(1)
}

#[test]
fn every_method_has_rules_and_none_is_in_the_shade_of_another() {
    let known = methods();
    for name in Method::names().iter().filter(|name| **name != "local") {
        let method = known.iter().find(|method| method.hop().split([':', '?']).next() == Some(name));
        assert!(method.is_some_and(|method| !method.plan().failures.is_empty()), "{name}");
    }
    for method in known {
        for rule in method.plan().failures {
            let mut birth = Birth::new(method.clone());
            let status = last_words_of(&mut birth, &rule, &[]);
            assert_eq!(birth.end(status), rule.kind, "{}: {rule:?}", method.hop());
            assert!(!rule.advice.is_empty() || method.hop().starts_with("custom"), "{rule:?}");
        }
    }
}

/// docs/methods.md has a row of options and one of kinds for each.
#[test]
fn the_manual_lists_what_every_method_knows() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/methods.md");
    let manual = std::fs::read_to_string(path).expect("the manual");
    let mut missing = Vec::new();
    for name in Method::names().iter().filter(|name| !["local", "custom"].contains(name)) {
        let mut kinds: Vec<String> = Vec::new();
        for method in methods().iter().filter(|method| method.hop().split([':', '?']).next() == Some(name)) {
            let all = method.plan().failures.into_iter().map(|rule| format!("{:?}", rule.kind));
            kinds.extend(all.map(|kind| kind.split('(').next().unwrap_or_default().to_owned()));
        }
        kinds.sort();
        kinds.dedup();
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        let row = format!("| `{name}` | {} |", kinds.join(" "));
        if !manual.lines().any(|line| line == row) {
            missing.push(row);
        }
        let options = manual
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` | `{name}:")))
            .unwrap_or_default();
        let own = Method::option_names(name).expect("its options").into_iter();
        let told = |key: &str| {
            options.contains(&format!("`{key}`"))
                || options.contains("and the like") && key.ends_with("_path")
        };
        missing.extend(
            own.filter(|key| !["argument", "python", "connect_timeout", "name"].contains(key) && !told(key))
                .map(|key| format!("the option `{key}` of `{name}`")),
        );
    }
    assert!(missing.is_empty(), "docs/methods.md lacks\n{}", missing.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_holds_in_any_noise(before in noise(), after in noise(), cuts in cuts()) {
        for method in methods() {
            for rule in method.plan().failures {
                let mut birth = Birth::new(method.clone());
                birth.say(Source::Stdout, &before, &cuts);
                if birth.plan.wiring.terminal || birth.plan.hop.starts_with("ssh") {
                    // Lectures and banners.
                    birth.say(Source::Stderr, &before, &cuts);
                }
                let status = last_words_of(&mut birth, &rule, &cuts);
                birth.say(Source::Stdout, &after, &[]);
                prop_assert_eq!(birth.end(status), rule.kind.clone(), "{}: {:?}", method.hop(), rule);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_tool_s_last_words_are_known(before in noise(), after in noise(), cuts in cuts()) {
        for (method, source, line, status, kind) in last_words() {
            // Only noise that says nothing of itself: what is a verdict too is no noise.
            let mut birth = Birth::new(method.clone());
            birth.say(Source::Stdout, &before, &cuts);
            birth.say(source, &format!("{line}\n"), &cuts);
            birth.say(Source::Stdout, &after, &[]);
            prop_assert_eq!(birth.end(status), kind, "{}", line);
        }
    }
}
