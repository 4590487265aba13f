//! A context on another host, by the system's ssh client.
//!
//! The user's configuration, agent and known hosts are ssh's own business: only what differs from
//! them stands on the command line. Without a secret ssh runs in batch mode and cannot ask. With
//! one it gets a pty as controlling terminal, on which nothing but its own questions appear; a
//! question for a secret is known by the echo that ssh turns off, not by its words, which can be
//! the server's.

mod failures;

use super::options::option_table;
use super::upstream::{self, Options};
use super::{Common, OptionError, PASSWORD, common_options};
use crate::credentials::Credential;
use crate::quote;
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{Answer, Ask, BootPlan, EnvChange, FailureKind, Pattern, Prompt, Wiring};

/// What to do about the host's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostKeys {
    /// Connect only to hosts whose key is on record.
    #[default]
    Enforce,
    /// Put the key of a new host on record; refuse a changed one. Needs OpenSSH 7.6.
    AcceptNew,
    /// Check and record nothing. Whoever stands between here and the host can then be the host.
    Ignore,
}

/// A process on another host, by the system's ssh client.
#[derive(Clone, Debug)]
pub struct Ssh {
    pub(super) common: Common,
    host: String,
    user: Option<String>,
    port: Option<u16>,
    ssh_path: String,
    config: Option<String>,
    identities: Vec<String>,
    host_keys: HostKeys,
    answers: Vec<(String, String)>,
    asks: bool,
    compression: Option<bool>,
    jump: Option<String>,
    keepalive: Option<u32>,
    options: Vec<String>,
    args: Vec<String>,
}

common_options!(Ssh);

option_table!(Ssh = "ssh", this, opt, {
    "hostname" => { this.host = opt.text()?; this },
    "argument" => this.argument(&opt.text()?)?,
    "username" => this.user(opt.text()?),
    "port" => this.port(opt.number("port")?),
    "password" => this.password(opt.secret()?),
    "second_factor" => this.second_factor(opt.secret()?),
    "passphrase" => this.passphrase(opt.secret()?),
    "identity_file" => this.identity(opt.text()?),
    "identities_only" => if opt.flag()? { this.option("IdentitiesOnly=yes") } else { this },
    "ssh_path" => this.ssh_path(opt.text()?),
    "ssh_config" => this.config(opt.text()?),
    "ssh_args" => this.args(opt.words()?),
    "jump" => this.jump(opt.text()?),
    "compression" => this.compression(opt.flag()?),
    "check_host_keys" => this.host_keys(opt.choice(POLICIES, "one of enforce, accept and ignore")?),
    "keepalive_interval" => this.keepalive(Some(opt.number("number of seconds")?)),
    "keepalive_count" => this.option(format!("ServerAliveCountMax={}", opt.number::<u32>("number")?)),
    "keepalive_enabled" => if opt.flag()? { this } else { this.keepalive(None) },
    "ssh_debug_level" => match opt.number::<u8>("number from 0 to 3")? {
        0 => this,
        level => this.args(vec![format!("-{}", "v".repeat(usize::from(level.min(3))))]),
    },
});

const POLICIES: &[(&str, HostKeys)] = &[
    ("enforce", HostKeys::Enforce),
    ("accept", HostKeys::AcceptNew),
    ("accept-new", HostKeys::AcceptNew),
    ("ignore", HostKeys::Ignore),
];

const PASSPHRASE: &str = "passphrase";

impl Ssh {
    /// A context on `host`: a name, an address, or an alias of ssh_config.
    pub fn new(host: impl Into<String>) -> Ssh {
        Ssh {
            common: Common::default(),
            host: host.into(),
            user: None,
            port: None,
            ssh_path: "ssh".to_owned(),
            config: None,
            identities: Vec::new(),
            host_keys: HostKeys::default(),
            answers: Vec::new(),
            asks: false,
            compression: None,
            jump: None,
            keepalive: Some(15),
            options: Vec::new(),
            args: Vec::new(),
        }
    }

    /// Logs in as this user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Ssh {
        self.user = Some(user.into());
        self
    }

    /// Connects to this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Ssh {
        self.port = Some(port);
        self
    }

    /// Uses this ssh client (default: `ssh` in `PATH`).
    #[must_use]
    pub fn ssh_path(mut self, path: impl Into<String>) -> Ssh {
        self.ssh_path = path.into();
        self
    }

    /// Reads this ssh_config instead of the usual ones (`-F`).
    #[must_use]
    pub fn config(mut self, path: impl Into<String>) -> Ssh {
        self.config = Some(path.into());
        self
    }

    /// Offers this private key (`-i`). May be given several times.
    #[must_use]
    pub fn identity(mut self, path: impl Into<String>) -> Ssh {
        self.identities.push(path.into());
        self
    }

    /// What to do about the host's key.
    #[must_use]
    pub fn host_keys(mut self, host_keys: HostKeys) -> Ssh {
        self.host_keys = host_keys;
        self
    }

    /// The account's password, for when the host asks for one. It is sent at most once, unless it is
    /// [fetched](Credential::fetch): then it is, anew, for each question, and can tell by its text what is
    /// wanted.
    ///
    /// It answers the first hidden question, whoever asks: with a jump host that wants a password
    /// too, that is the jump host. Give jump hosts a key, or an [`Ssh::answer`].
    #[must_use]
    pub fn password(mut self, password: impl Into<Credential>) -> Ssh {
        self.common.add_secret(PASSWORD, password);
        self.asks = true;
        self
    }

    /// The passphrase of the private key. It is sent at most once.
    #[must_use]
    pub fn passphrase(mut self, passphrase: impl Into<Credential>) -> Ssh {
        self.common.add_secret(PASSPHRASE, passphrase);
        self.asks = true;
        self
    }

    /// What is sent when the host asks, without echo, for more than the password: a code. Where no password is
    /// given (because a key is) it is for the first question. Hosts that ask in another order, or with
    /// echo, want [`Ssh::answer`].
    #[must_use]
    pub fn second_factor(mut self, secret: impl Into<Credential>) -> Ssh {
        self.common.add_secret(super::SECOND_FACTOR, secret);
        self.asks = true;
        self
    }

    /// The answer to a question with this text in it, echo or not, for hosts that ask for more than a
    /// password: `Verification code`, `Passcode or option`. `name` is what errors call it. These are tried
    /// before the password.
    #[must_use]
    pub fn answer(mut self, text: &str, name: &str, answer: impl Into<Credential>) -> Ssh {
        self.common.add_secret(name, answer);
        self.answers.push((text.to_owned(), name.to_owned()));
        self.asks = true;
        self
    }

    /// Goes through these hosts, as `-J` takes them: `[USER@]HOST[:PORT]`, with commas between. What
    /// ssh_config says of jump hosts counts without this.
    #[must_use]
    pub fn jump(mut self, hosts: impl Into<String>) -> Ssh {
        self.jump = Some(hosts.into());
        self
    }

    /// Whether ssh compresses (default: what ssh_config says, which is no). It helps on slow links, and
    /// on fast ones it costs most of the throughput.
    #[must_use]
    pub fn compression(mut self, compression: bool) -> Ssh {
        self.compression = Some(compression);
        self
    }

    /// Further arguments for ssh, in front of ours.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Ssh {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// How often ssh asks a silent host for a sign of life, in seconds (default 15; it gives up
    /// after the third time); `None` leaves it to ssh_config.
    #[must_use]
    pub fn keepalive(mut self, seconds: Option<u32>) -> Ssh {
        self.keepalive = seconds;
        self
    }

    /// Passes an option of ssh_config on (`-o`), as `Name=value`. These stand in front of our own
    /// and, as ssh takes the first, win over them.
    #[must_use]
    pub fn option(mut self, option: impl Into<String>) -> Ssh {
        self.options.push(option.into());
        self
    }

    /// What stands in a target: `[USER@]HOST[:PORT]`, an IPv6 address in brackets.
    fn argument(mut self, text: &str) -> Result<Ssh, OptionError> {
        let bad = || OptionError::BadValue { key: "hostname".into(), wanted: "[USER@]HOST[:PORT]" };
        let place = match text.rsplit_once('@') {
            Some((user, place)) => {
                self.user = Some(user.to_owned()).filter(|user| !user.is_empty());
                place
            }
            None => text,
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() {
            return Err(bad());
        }
        if let Some(port) = port {
            self.port = Some(port.parse().map_err(|_| bad())?);
        }
        self.host = host.to_owned();
        Ok(self)
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let bare_v6 = !port.is_empty() && self.host.contains(':');
        let host = if bare_v6 { format!("[{}]", self.host) } else { self.host.clone() };
        format!("ssh:{user}{host}{port}")
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        let asks = self.asks;
        BootPlan {
            hop: self.hop(),
            argv: self.argv(),
            env: if asks {
                // With a display around ssh would ask in a window instead.
                vec![
                    EnvChange::Set("SSH_ASKPASS_REQUIRE".into(), "never".into()),
                    EnvChange::Unset("DISPLAY".into()),
                ]
            } else {
                Vec::new()
            },
            wiring: if asks { Wiring::HYBRID } else { Wiring::PLAIN },
            logs_in: true,
            prompts: if asks { self.prompts() } else { Vec::new() },
            failures: failures::rules(self.common.secrets.answer(PASSWORD).is_some()),
            hint: Some(format!("run `{}` by hand to see what it says", self.by_hand())),
        }
    }

    /// What a user would run to see what ssh makes of the host.
    fn by_hand(&self) -> String {
        let mut words = vec![self.ssh_path.clone()];
        words.extend(self.config.iter().map(|config| format!("-F{config}")));
        words.extend(self.args.iter().cloned());
        words.extend(self.options.iter().map(|option| format!("-o{option}")));
        words.extend(self.jump.iter().map(|hosts| format!("-J{hosts}")));
        words.extend(self.destination());
        words.push("true".to_owned());
        quote::command(&words)
    }

    /// Who logs in where, and with which keys.
    fn destination(&self) -> Vec<String> {
        let mut words = Vec::new();
        words.extend(self.user.iter().map(|user| format!("-l{user}")));
        words.extend(self.port.iter().map(|port| format!("-p{port}")));
        words.extend(self.identities.iter().map(|identity| format!("-i{identity}")));
        if self.host.starts_with('-') {
            // Not an option, whatever it looks like; ssh itself refuses such a host.
            words.push("--".to_owned());
        }
        words.push(self.host.clone());
        words
    }

    /// As upstream names it; what upstream has no name for goes to the client itself.
    pub(super) fn for_upstream(&self) -> Options {
        let policy = match self.host_keys {
            HostKeys::Enforce => "enforce",
            HostKeys::AcceptNew => "accept",
            HostKeys::Ignore => "ignore",
        };
        let mut options =
            vec![("hostname", upstream::text(&self.host)), ("check_host_keys", upstream::text(policy))];
        upstream::add(&mut options, "ssh_path", Some(&self.ssh_path));
        upstream::add(&mut options, "username", self.user.as_deref());
        upstream::add(&mut options, "identity_file", self.identities.first().map(String::as_str));
        options.extend(self.port.map(|port| ("port", i64::from(port).into())));
        options.extend(self.compression.map(|flag| ("compression", flag.into())));
        let mut args = Vec::new();
        let mut pair = |flag: &str, value: &String| args.extend([flag.to_owned(), value.clone()]);
        self.config.iter().for_each(|path| pair("-F", path));
        self.jump.iter().for_each(|host| pair("-J", host));
        self.identities.iter().skip(1).for_each(|path| pair("-i", path));
        self.options.iter().for_each(|option| pair("-o", option));
        args.extend(self.args.iter().cloned());
        options.push(("ssh_args", upstream::list(args)));
        options
    }

    fn argv(&self) -> Vec<String> {
        let mut argv = vec![self.ssh_path.clone(), "-T".to_owned()];
        let mut add = |word: String| argv.push(word);
        if let Some(config) = &self.config {
            add(format!("-F{config}"));
        }
        for word in &self.args {
            add(word.clone());
        }
        for option in &self.options {
            add(format!("-o{option}"));
        }
        if let Some(hosts) = &self.jump {
            add(format!("-J{hosts}"));
        }
        if let Some(compression) = self.compression {
            add(format!("-oCompression={}", if compression { "yes" } else { "no" }));
        }
        if self.asks {
            // Each method asks at most once; a second question is a wrong password.
            add("-oNumberOfPasswordPrompts=1".to_owned());
        } else {
            add("-oBatchMode=yes".to_owned());
        }
        match self.host_keys {
            HostKeys::Enforce => add("-oStrictHostKeyChecking=yes".to_owned()),
            HostKeys::AcceptNew => add("-oStrictHostKeyChecking=accept-new".to_owned()),
            HostKeys::Ignore => {
                add("-oStrictHostKeyChecking=no".to_owned());
                add("-oUserKnownHostsFile=/dev/null".to_owned());
                add("-oGlobalKnownHostsFile=/dev/null".to_owned());
            }
        }
        if let Some(seconds) = self.keepalive {
            add(format!("-oServerAliveInterval={seconds}"));
        }
        argv.extend(self.destination());
        // ssh joins its words with blanks and the login shell splits them again: one word is safest.
        argv.push(format!("exec {}", quote::command(&boot_command(&self.common.interpreter))));
        argv
    }

    fn prompts(&self) -> Vec<Prompt> {
        // The two texts here are ssh's own and never translated.
        let mut prompts = vec![Prompt {
            ask: Ask::HiddenLike(Pattern::prefix("Enter passphrase for ")),
            answer: self.common.answer(PASSPHRASE),
        }];
        prompts.extend(self.answers.iter().map(|(text, name)| Prompt {
            ask: Ask::Like(Pattern::contains(text)),
            answer: self.common.answer(name),
        }));
        prompts.extend(self.common.questions(Ask::Hidden));
        // With echo: none of those above waits to see whether this one comes.
        prompts.push(Prompt {
            ask: Ask::Like(Pattern::contains("(yes/no")),
            answer: Answer::Fail(
                FailureKind::HostKeyUnknown,
                "put the host's key on record (connect once by hand), or accept new keys".to_owned(),
            ),
        });
        prompts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_command_line_is_within_its_budget() {
        let plan = Ssh::new("foo").plan();
        let line = plan.argv.join(" ");
        assert!(line.len() <= 400, "{} bytes: {line}", line.len());
        assert_eq!(plan.wiring, Wiring::PLAIN);
        assert!(line.starts_with("ssh -T -oBatchMode=yes -oStrictHostKeyChecking=yes "), "{line}");
    }

    #[test]
    fn hops_are_printed_as_users_write_them() {
        assert_eq!(Ssh::new("web1").hop(), "ssh:web1");
        assert_eq!(Ssh::new("web1").user("alice").port(2222).hop(), "ssh:alice@web1:2222");
        assert_eq!(Ssh::new("::1").port(22).hop(), "ssh:[::1]:22");
    }

    #[test]
    fn a_secret_stands_nowhere_but_in_its_prompt() {
        let plan = Ssh::new("web1").password("hunter2").plan();
        assert_eq!(plan.wiring, Wiring::HYBRID);
        assert!(!plan.argv.join(" ").contains("hunter2"));
        assert!(!format!("{plan:?}").contains("hunter2"));
        assert!(!plan.argv.contains(&"-oBatchMode=yes".to_owned()));
    }

    #[test]
    fn the_hint_is_a_command_that_reaches_the_same_host_in_the_same_way() {
        let ssh = Ssh::new("web1").user("bob").port(22).config("/etc/my conf").option("ProxyJump=b");
        let hint = ssh.plan().hint.unwrap_or_default();
        assert!(hint.contains("`ssh '-F/etc/my conf' -oProxyJump=b -lbob -p22 web1 true`"), "{hint}");
    }

    #[test]
    fn a_host_is_never_an_option() {
        let argv = Ssh::new("-oProxyCommand=evil").plan().argv;
        let at = argv.iter().position(|w| w == "-oProxyCommand=evil").expect("the host");
        assert_eq!(argv[at - 1], "--");
    }
}
