//! A context of another account, by sudo.
//!
//! sudo asks on its controlling terminal, in words that nobody can foresee (translations, `passprompt`,
//! other PAM modules, sudo-rs). So it is told its words: a prompt with a random number in it. That it asks
//! them twice means that the password was wrong, whatever it says in between. Without a password it is
//! allowed to ask all the same: that is how it is known that it wants one.

use super::options::option_table;
use super::rules::{otherwise, rule, starts};
use super::upstream::{self, Options};
use super::{Common, common_options};
use crate::credentials::Credential;
use mitogen_bootstrap::boot_command;
use mitogen_bootstrap::plan::{Ask, BootPlan, FailureKind, FailureRule, Pattern, Prompt, SecretName, Wiring};
use std::hash::{BuildHasher, RandomState};

const PASSWORD: &str = "password";
const SECOND: &str = "second factor";

/// A process of another account, by sudo.
#[derive(Clone, Debug)]
pub struct Sudo {
    pub(super) common: Common,
    user: Option<String>,
    sudo_path: String,
    login: bool,
    set_home: bool,
    preserve_env: bool,
    selinux_role: Option<String>,
    selinux_type: Option<String>,
    args: Vec<String>,
    terminal: bool,
    nonce: String,
}

common_options!(Sudo);

option_table!(Sudo = "sudo", this, opt, {
    "username" | "argument" => this.user(opt.text()?),
    "password" => this.password(opt.secret()?),
    "second_factor" => this.second_factor(opt.secret()?),
    "sudo_path" => this.sudo_path(opt.text()?),
    "login" => this.login(opt.flag()?),
    "set_home" => this.set_home(opt.flag()?),
    "preserve_env" => this.preserve_env(opt.flag()?),
    "selinux_role" => this.selinux_role(opt.text()?),
    "selinux_type" => this.selinux_type(opt.text()?),
    "sudo_args" => this.args(opt.words()?),
    "terminal" => this.terminal(opt.flag()?),
});

impl Sudo {
    /// As upstream names it.
    pub(super) fn for_upstream(&self) -> Options {
        let mut options = vec![
            ("login", self.login.into()),
            ("set_home", self.set_home.into()),
            ("preserve_env", self.preserve_env.into()),
            ("sudo_args", upstream::list(self.args.iter().cloned())),
        ];
        upstream::add(&mut options, "sudo_path", Some(&self.sudo_path));
        upstream::add(&mut options, "username", self.user.as_deref());
        upstream::add(&mut options, "selinux_role", self.selinux_role.as_deref());
        upstream::add(&mut options, "selinux_type", self.selinux_type.as_deref());
        options
    }
}

impl Default for Sudo {
    fn default() -> Sudo {
        Sudo::new()
    }
}

impl Sudo {
    /// A context of root.
    pub fn new() -> Sudo {
        Sudo {
            common: Common::default(),
            user: None,
            sudo_path: "sudo".to_owned(),
            login: false,
            set_home: false,
            preserve_env: false,
            selinux_role: None,
            selinux_type: None,
            args: Vec::new(),
            terminal: true,
            nonce: format!("mitogen-{:016x}", RandomState::new().hash_one(0)),
        }
    }

    /// Becomes this user (default: root, or what sudoers says).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Sudo {
        self.user = Some(user.into());
        self
    }

    /// The password that sudo asks for: that of the account which runs it, as a rule.
    #[must_use]
    pub fn password(mut self, password: impl Into<Credential>) -> Sudo {
        self.common.add_secret(PASSWORD, password);
        self
    }

    /// What is sent when sudo asks a second time: for accounts whose PAM stack wants a password and then
    /// another secret. (Without it a second question means that the password was wrong.)
    #[must_use]
    pub fn second_factor(mut self, secret: impl Into<Credential>) -> Sudo {
        self.common.add_secret(SECOND, secret);
        self
    }

    /// Uses this sudo (default: `sudo` in `PATH`).
    #[must_use]
    pub fn sudo_path(mut self, path: impl Into<String>) -> Sudo {
        self.sudo_path = path.into();
        self
    }

    /// Runs the account's login shell (`-i`): its profile, home directory and environment.
    #[must_use]
    pub fn login(mut self, login: bool) -> Sudo {
        self.login = login;
        self
    }

    /// Sets `HOME` to that of the account (`-H`).
    #[must_use]
    pub fn set_home(mut self, set_home: bool) -> Sudo {
        self.set_home = set_home;
        self
    }

    /// Keeps the environment (`-E`), where sudoers allows it.
    #[must_use]
    pub fn preserve_env(mut self, preserve_env: bool) -> Sudo {
        self.preserve_env = preserve_env;
        self
    }

    /// The SELinux role (`-r`).
    #[must_use]
    pub fn selinux_role(mut self, role: impl Into<String>) -> Sudo {
        self.selinux_role = Some(role.into());
        self
    }

    /// The SELinux type (`-t`).
    #[must_use]
    pub fn selinux_type(mut self, kind: impl Into<String>) -> Sudo {
        self.selinux_type = Some(kind.into());
        self
    }

    /// Further arguments for sudo. One that sudo takes for no option of its own is a failure there.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Sudo {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Whether sudo gets a terminal (default: yes). Without one it cannot ask (`-n`), and `requiretty` in
    /// sudoers makes it refuse; in turn no pty is used up for as long as the context lives.
    #[must_use]
    pub fn terminal(mut self, terminal: bool) -> Sudo {
        self.terminal = terminal;
        self
    }

    /// The hop as users write it.
    pub fn hop(&self) -> String {
        format!("sudo:{}", self.user.as_deref().unwrap_or("root"))
    }

    /// The command that sudo is to run: the same for every context, so that a sudoers file can name it.
    pub fn command(&self) -> Vec<String> {
        let command = boot_command(&self.common.interpreter);
        if self.login { without_dollars(command) } else { command }
    }

    /// A line of sudoers that allows `account` to start contexts, and nothing else, without a password
    /// (leave `NOPASSWD:` out to have it asked for).
    pub fn sudoers_line(&self, account: &str) -> String {
        // Arguments are patterns there, and some characters are the file's own.
        let escape = |word: &String| -> String {
            let special = |c: char| "\\,:=*?[]!^#".contains(c);
            word.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
        };
        let words: Vec<String> = self.command().iter().skip(1).map(escape).collect();
        let user = self.user.as_deref().unwrap_or("root");
        format!("{account} ALL=({user}) NOPASSWD: /bin/sh {}", words.join(" "))
    }

    /// What to run and how to read it.
    pub fn plan(&self) -> BootPlan {
        BootPlan {
            hop: self.hop(),
            argv: self.argv(),
            env: Vec::new(),
            wiring: if self.terminal { Wiring::HYBRID } else { Wiring::PLAIN },
            logs_in: true,
            prompts: self.prompts(),
            failures: failures(),
            hint: Some("run `sudo -l` there by hand to see what it allows".to_owned()),
        }
    }

    fn argv(&self) -> Vec<String> {
        let mut argv = vec![self.sudo_path.clone()];
        let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["-u", self.user.as_deref().unwrap_or("root")]);
        if self.terminal {
            add(&["-p", &format!("{}:", self.nonce)]);
        } else {
            add(&["-n"]);
        }
        for (flag, wanted) in [("-i", self.login), ("-H", self.set_home), ("-E", self.preserve_env)] {
            if wanted {
                add(&[flag]);
            }
        }
        for (flag, value) in [("-r", &self.selinux_role), ("-t", &self.selinux_type)] {
            if let Some(value) = value {
                add(&[flag, value]);
            }
        }
        argv.extend(self.args.iter().cloned());
        argv.push("--".to_owned());
        argv.extend(self.command());
        argv
    }

    fn prompts(&self) -> Vec<Prompt> {
        if !self.terminal {
            return Vec::new();
        }
        let ask = Ask::HiddenLike(Pattern::contains(&self.nonce));
        let mut prompts = vec![Prompt { ask: ask.clone(), answer: self.common.answer(PASSWORD) }];
        if let Some(answer) = self.common.secrets.answer(SECOND) {
            prompts.push(Prompt { ask, answer });
        }
        prompts
    }
}

/// With `-i` sudo puts a backslash before every character that a shell could take for its own, but for `$`:
/// that one would be the login shell's to expand. So the script is unpacked where it has passed that shell.
fn without_dollars(command: Vec<String>) -> Vec<String> {
    let hidden = |word: &String| {
        if !word.contains('$') {
            return word.clone();
        }
        let word = word.replace('$', "^").replace('"', "~");
        format!("eval \"`echo '{word}'|tr '^~' '\\044\\042'`\"")
    };
    command.iter().map(hidden).collect()
}

fn failures() -> Vec<FailureRule> {
    use FailureKind as Kind;
    let password = || SecretName(PASSWORD.to_owned());
    let allow = "see `sudo -l`; sudoers must allow the command that `mitogen doctor` shows";
    let expired = "change it by hand once";
    let tty = "let sudo have a terminal";
    vec![
        starts("sudo: a password is required", Kind::SecretNeeded(password()), "give the password"),
        starts("sudo: a terminal is required to read the password", Kind::NoTerminal, tty),
        starts("sudo: no tty present and no askpass program specified", Kind::NoTerminal, tty),
        starts("sudo: sorry, you must have a tty to run sudo", Kind::NoTerminal, tty),
        rule(&["incorrect password attempt"], Kind::AuthRefused, "check the password"),
        rule(&["sudo: ", "incorrect authentication attempt"], Kind::AuthRefused, "check the password"),
        rule(&[" is not in the sudoers file"], Kind::NotPermitted, allow),
        rule(&[" is not allowed to run sudo on "], Kind::NotPermitted, allow),
        rule(&["Sorry, user ", " is not allowed to execute "], Kind::NotPermitted, allow),
        rule(&[" may not run sudo on "], Kind::NotPermitted, allow),
        rule(&["sudo: I'm sorry ", "I'm afraid I can't do that"], Kind::NotPermitted, allow),
        rule(&["sudo: sorry, you are not allowed to "], Kind::NotPermitted, allow),
        starts("sudo: unknown user", Kind::NoSuchUser, "check the user's name"),
        rule(&["sudo: user ", " not found"], Kind::NoSuchUser, "check the user's name"),
        rule(&["sudo: ", "ccount expired"], Kind::AccountUnusable, "the account that runs sudo has expired"),
        rule(&["sudo: account validation failure"], Kind::AccountUnusable, "is that account locked?"),
        rule(&["sudo: ", "password is expired"], Kind::PasswordExpired, expired),
        rule(&["sudo: ", "assword expired"], Kind::PasswordExpired, expired),
        rule(&["sudo: ", ": command not found"], Kind::Exec, "check the path of the shell there"),
        rule(&["sudo: ", "setuid bit set"], Kind::ToolUsage, "sudo is not installed as it must be"),
        rule(&["sudo: ", "effective uid is not 0"], Kind::ToolUsage, "sudo is not installed as it must be"),
        rule(&["sudo: ", "\"no new privileges\" flag is set"], Kind::NotPermitted, "not from this container"),
        rule(&["sudo: no valid sudoers sources found"], Kind::ToolUsage, "check sudoers with `visudo -c`"),
        starts("usage: sudo ", Kind::ToolUsage, "check the arguments for sudo"),
        starts("sudo: invalid option", Kind::ToolUsage, "check the arguments for sudo"),
        otherwise(1, Kind::NotPermitted, allow),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_login_shell_has_nothing_to_expand() {
        for python in [Sudo::new(), Sudo::new().python("python2.7")] {
            let plain = python.command().join(" ");
            assert!(!plain.contains(['^', '~']), "{plain}");
            let line = python.login(true).command().join(" ");
            assert!(!line.contains('$') && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn the_script_that_a_login_shell_passed_on_is_the_same() {
        for shell in ["sh", "bash", "dash"] {
            let words = Sudo::new().python("no-such-python").login(true).command();
            // As sudo escapes it.
            let escape = |word: &String| -> String {
                let plain = |c: char| c.is_ascii_alphanumeric() || "_-$".contains(c);
                word.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
            };
            let line = words.iter().map(escape).collect::<Vec<_>>().join(" ");
            let out = Command::new(shell).args(["-c", &line]).stdin(Stdio::null()).output();
            let Ok(out) = out else {
                eprintln!("skipped: no {shell} here");
                continue;
            };
            assert_eq!(String::from_utf8_lossy(&out.stdout), "EC0\n", "{shell}: {line}");
            assert!(String::from_utf8_lossy(&out.stderr).contains("no-such-python"), "{out:?}");
        }
    }
}
