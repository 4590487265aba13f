//! What methods make of what their tools say: the same, whatever stands around it and however it is cut.

use mitogen_bootstrap::handshake::{Exit, Failure, Handshake, Output};
use mitogen_transport::{
    BootPlan, Credential, Custom, Doas, Docker, FailureKind, Jail, Kubectl, Lxc, Lxd, Method, Podman,
    SecretName, Setns, Source, Ssh, Su, Sudo,
};
use proptest::prelude::*;

fn name(name: &str) -> SecretName {
    SecretName(name.into())
}

fn wrong() -> FailureKind {
    FailureKind::WrongSecret(name("password"))
}

/// A machine, and what it has said so far.
struct Birth {
    machine: Handshake,
    plan: BootPlan,
    sent: Vec<String>,
    fetches: Vec<String>,
    failure: Option<Failure>,
}

impl Birth {
    fn new(method: impl Into<Method>) -> Birth {
        let plan = method.into().plan();
        let mut machine = Handshake::new(&plan);
        machine.handle_spawned();
        Birth { machine, plan, sent: Vec::new(), fetches: Vec::new(), failure: None }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::SendSecret(secret) => self.sent.push(secret.expose().to_owned()),
                Output::SendText(text) => self.sent.push(text),
                Output::FetchSecret { question, .. } => self.fetches.push(question),
                Output::Failed(failure) => self.failure = Some(*failure),
                _ => {}
            }
        }
    }

    /// Text on the terminal, in pieces of these lengths; then silence.
    fn terminal(&mut self, text: &str, echo: bool, cuts: &[usize]) {
        for piece in pieces(text.as_bytes(), cuts) {
            self.machine.handle_terminal(piece, echo);
            self.drain();
        }
        self.machine.handle_terminal_quiet(echo);
        self.drain();
    }

    fn say(&mut self, source: Source, text: &str, cuts: &[usize]) {
        for piece in pieces(text.as_bytes(), cuts) {
            match source {
                Source::Stdout => self.machine.handle_stdout(piece),
                Source::Stderr => self.machine.handle_stderr(piece),
                Source::Terminal => self.machine.handle_terminal(piece, true),
            }
            self.drain();
        }
    }

    fn end(mut self, status: i32) -> FailureKind {
        self.machine.handle_exit(Exit::Status(status));
        self.machine.handle_stdout_eof();
        self.machine.handle_stderr_eof();
        self.machine.handle_terminal_eof();
        self.machine.handle_settled();
        self.drain();
        self.failure.expect("a verdict").kind
    }

    /// What sudo was told to ask with.
    fn nonce(&self) -> String {
        self.plan.argv[4].clone()
    }
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut out = Vec::new();
    for &cut in cuts {
        let (piece, rest) = bytes.split_at(cut.min(bytes.len()));
        if !piece.is_empty() {
            out.push(piece);
        }
        bytes = rest;
    }
    out.extend(Some(bytes).filter(|rest| !rest.is_empty()));
    out
}

/// Lines that say nothing, with words in them that could be taken for something.
fn noise() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "[ -~]{0,30}",
        Just("*** banner: password: Permission denied ***".to_owned()),
        Just("Last login: Mon from EC0 EC2".to_owned()),
        Just("Mot de passe\u{a0}: 密码： Passwort für bob:".to_owned()),
        Just("E".to_owned()),
        Just("\u{1b}[31mred\u{1b}[0m".to_owned()),
    ];
    proptest::collection::vec(line, 0..5)
        .prop_map(|lines| lines.iter().map(|line| format!("{line}\r\n")).collect())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1usize..9, 0..40)
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

    #[test]
    fn sudo_is_answered_once(lecture in noise(), cuts in cuts(), again in noise()) {
        let mut birth = Birth::new(Sudo::new().password("pw"));
        birth.say(Source::Terminal, &lecture, &cuts);
        prop_assert!(birth.sent.is_empty());
        let question = birth.nonce();
        birth.terminal(&question, false, &cuts);
        prop_assert_eq!(&birth.sent, &["pw"]);
        // Asterisks, and whatever it says about a wrong one.
        birth.terminal("***\r\n", false, &cuts);
        birth.terminal(&again, true, &cuts);
        prop_assert!(birth.failure.is_none());
        birth.terminal(&question, false, &cuts);
        prop_assert_eq!(&birth.sent, &["pw"]);
        prop_assert_eq!(&birth.failure.expect("a verdict").kind, &wrong());
    }

    /// sudo-rs puts the words that it is given into words of its own.
    #[test]
    fn the_frame_around_sudo_s_question_does_not_matter(
        before in "[ -~]{0,20}", behind in "[ -~]{0,20}", cuts in cuts(),
    ) {
        let mut birth = Birth::new(Sudo::new().password("pw"));
        let question = format!("{before}{}{behind}", birth.nonce());
        birth.terminal(&question, false, &cuts);
        prop_assert_eq!(birth.sent, ["pw"]);
    }

    #[test]
    fn any_hidden_question_is_su_s_and_doas_s(question in "\\PC{0,20}[a-z:]", lecture in noise(), cuts in cuts()) {
        for method in [Method::from(Doas::new().password("pw")), Su::new().password("pw").into()] {
            let mut birth = Birth::new(method);
            birth.say(Source::Terminal, &lecture, &cuts);
            birth.terminal(&question, false, &cuts);
            prop_assert_eq!(&birth.sent, &["pw"], "{:?}", birth.failure);
            birth.terminal("\r\n", true, &[]);
            birth.terminal(&question, false, &cuts);
            prop_assert_eq!(&birth.sent, &["pw"]);
            prop_assert_eq!(birth.failure.expect("a verdict").kind, wrong());
        }
    }

    /// What is fetched is fetched for the whole question, and once.
    #[test]
    fn a_question_is_put_whole(question in "[a-z][ -~]{0,20}:", cuts in cuts()) {
        let mut birth = Birth::new(Doas::new().password(Credential::fetch(async |_| None::<String>)));
        birth.terminal(&question, false, &cuts);
        prop_assert_eq!(&birth.fetches, &[question]);
        birth.machine.handle_secret(Some(mitogen_transport::Secret::new("password", "pw")));
        birth.drain();
        prop_assert_eq!(birth.sent, ["pw"]);
    }

    #[test]
    fn a_secret_for_a_question_that_has_gone_is_not_sent(cuts in cuts(), next in "[a-z]{1,9}[$#>]") {
        let mut birth = Birth::new(Doas::new().password(Credential::fetch(async |_| None::<String>)));
        birth.terminal("Password:", false, &cuts);
        // The tool has given up, and a shell reads there now.
        birth.say(Source::Terminal, &format!("\r\ntimed out\r\n{next}"), &cuts);
        birth.machine.handle_secret(Some(mitogen_transport::Secret::new("password", "pw")));
        birth.drain();
        prop_assert!(birth.sent.is_empty());
    }

    /// Answers that are no secrets wait for the question's end.
    #[test]
    fn a_console_is_led_through_its_questions(banner in noise(), cuts in cuts()) {
        let console = Custom::new("telnet", ["h"])
            .terminal()
            .says("login:", "root")
            .hidden("password", "pw")
            .says("#", "{line}");
        let mut birth = Birth::new(console);
        birth.say(Source::Terminal, &banner, &cuts);
        birth.terminal("host#1 login: ", true, &cuts);
        birth.terminal("root\r\n", true, &cuts);
        birth.terminal("Password: ", false, &cuts);
        birth.terminal("\r\n", true, &cuts);
        birth.terminal("welcome\r\nroot@host:~# ", true, &cuts);
        prop_assert_eq!(&birth.sent[..2], &["root", "pw"]);
        prop_assert!(birth.sent[2].starts_with("exec sh -c "), "{:?}", birth.sent);
        prop_assert!(birth.failure.is_none());
    }
}

#[test]
fn a_second_factor_is_sent_to_the_second_question() {
    let mut birth = Birth::new(Sudo::new().password("pw").second_factor("123456"));
    let question = birth.nonce();
    for _ in 0..2 {
        birth.terminal(&question, false, &[]);
        birth.terminal("\r\n", true, &[]);
    }
    assert_eq!(birth.sent, ["pw", "123456"]);
    birth.terminal(&question, false, &[]);
    let kind = birth.failure.expect("a verdict").kind;
    // Which of the two nobody says.
    assert_eq!(kind, FailureKind::WrongSecret(name("password or second factor")));
}

#[test]
fn a_second_factor_goes_with_a_password_or_alone_given_or_fetched() {
    let fetched = || Credential::fetch(async |_| None::<String>);
    let all: [Method; 6] = [
        Ssh::new("h").password("pw").second_factor("123456").into(),
        Su::new().password("pw").second_factor("123456").into(),
        Doas::new().password(fetched()).second_factor(fetched()).into(),
        Su::new().password(fetched()).second_factor("123456").into(),
        Ssh::new("h").password("pw").second_factor(fetched()).into(),
        Ssh::new("h").second_factor("123456").into(),
    ];
    for method in all {
        let alone = !format!("{method:?}").contains("\"password\"");
        let mut birth = Birth::new(method);
        let questions = ["Password: ", "One-time password (OATH) for `bob': "];
        for (question, secret) in questions.iter().zip(["pw", "123456"]).skip(usize::from(alone)) {
            let fetches = birth.fetches.len();
            birth.terminal(question, false, &[]);
            if birth.fetches.len() > fetches {
                assert_eq!(birth.fetches.last().map(String::as_str), Some(question.trim()));
                let name = if secret == "pw" { "password" } else { "second factor" };
                birth.machine.handle_secret(Some(mitogen_transport::Secret::new(name, secret)));
                birth.drain();
            }
            birth.terminal("\r\n", true, &[]);
        }
        assert_eq!(birth.sent[..], ["pw", "123456"][usize::from(alone)..], "{:?}", birth.failure);
        birth.say(Source::Stderr, "bob@h: Permission denied (keyboard-interactive).\n", &[]);
        let both = if alone { "second factor" } else { "password or second factor" };
        if birth.plan.hop.starts_with("ssh") {
            assert_eq!(birth.end(255), FailureKind::WrongSecret(name(both)));
        } else {
            birth.terminal("Password: ", false, &[]);
            let failure = birth.failure.take();
            // What is fetched may be so again, for another question.
            assert!(failure.is_none_or(|failure| failure.kind == FailureKind::WrongSecret(name(both))));
        }
    }
}

#[test]
fn questions_of_keyboard_interactive_are_told_apart() {
    let ssh = || Ssh::new("h").password("pw").answer("Verification code", "code", "123456");
    let mut birth = Birth::new(ssh());
    birth.terminal("(bob@h) Password: ", false, &[]);
    birth.terminal("\r\n", true, &[]);
    birth.terminal("(bob@h) Verification code: ", false, &[]);
    assert_eq!(birth.sent, ["pw", "123456"]);
    birth.terminal("\r\n", true, &[]);
    birth.terminal("(bob@h) Verification code: ", false, &[]);
    assert_eq!(birth.failure.expect("a verdict").kind, FailureKind::WrongSecret(name("code")));
    // A question that nobody has an answer to.
    let mut birth = Birth::new(ssh());
    birth.terminal("(bob@h) Password: ", false, &[]);
    birth.terminal("\r\n", true, &[]);
    birth.terminal("(bob@h) Mother's maiden name: ", true, &[]);
    let failure = birth.failure.expect("a verdict");
    assert_eq!(failure.kind, FailureKind::UnexpectedPrompt);
    assert!(failure.lines.iter().any(|line| line.text.contains("maiden name")), "it is shown");
}
