//! What methods make of a tool's questions: the same, whatever stands around them and however they are cut.

#[path = "support/words.rs"]
mod words;

use mitogen_transport::{Credential, Custom, Doas, FailureKind, Method, SecretName, Source, Ssh, Su, Sudo};
use proptest::prelude::*;
use words::{Birth, cuts, noise, pieces};

impl Birth {
    /// Text on the terminal, in pieces of these lengths; then silence.
    fn terminal(&mut self, text: &str, echo: bool, cuts: &[usize]) {
        for piece in pieces(text.as_bytes(), cuts) {
            self.machine.handle_terminal(piece, echo);
            self.drain();
        }
        self.machine.handle_terminal_quiet(echo);
        self.drain();
    }

    /// What sudo was told to ask with.
    fn nonce(&self) -> String {
        self.plan.argv[4].clone()
    }
}

fn name(name: &str) -> SecretName {
    SecretName(name.into())
}

fn wrong() -> FailureKind {
    FailureKind::WrongSecret(name("password"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The order is ssh's: a passphrase, then what the host wants.
    #[test]
    fn ssh_is_answered_whatever_the_host_says(banner in noise(), cuts in cuts(), user in "[a-z]{1,8}") {
        let ssh = Ssh::new("h")
            .passphrase("pp")
            .password("pw")
            .second_factor("123456")
            .answer("maiden name", "answer", "Smith");
        let mut birth = Birth::new(ssh);
        birth.say(Source::Stderr, &banner, &cuts);
        let questions = [
            ("Enter passphrase for key '/k': ".to_owned(), false, "pp"),
            (format!("{user}@h's password: "), false, "pw"),
            (format!("({user}@h) Your mother's maiden name? "), true, "Smith"),
            (format!("({user}@h) One-time password for `{user}': "), false, "123456"),
        ];
        for (at, (question, echo, _)) in questions.iter().enumerate() {
            birth.say(Source::Terminal, &banner, &cuts);
            prop_assert_eq!(birth.sent.len(), at);
            birth.terminal(question, *echo, &cuts);
            let so_far: Vec<&str> = questions[..=at].iter().map(|(_, _, answer)| *answer).collect();
            prop_assert_eq!(&birth.sent, &so_far, "{:?}", birth.failure);
            birth.terminal("\r\n", true, &cuts);
        }
        prop_assert!(birth.failure.is_none());
        birth.terminal(&questions[0].0, false, &cuts);
        let kind = birth.failure.expect("a verdict").kind;
        prop_assert!(matches!(kind, FailureKind::WrongSecret(_)), "{:?}", kind);
    }

    /// A question that no prompt of the method knows is no secret's business, and is shown.
    #[test]
    fn what_nobody_expects_ends_it_and_is_shown(banner in noise(), cuts in cuts(), question in "[A-Z][a-z ]{0,20}, yes or no[?]") {
        let asked: [Method; 6] = [
            Ssh::new("h").password("pw").into(),
            Sudo::new().password("pw").second_factor("123456").into(),
            Su::new().password("pw").into(),
            Doas::new().password("pw").into(),
            Custom::new("x", ["y"]).asks("Token", "token", "pw").into(),
            Custom::new("x", ["y"]).terminal().says("login:", "root").hidden("password", "pw").into(),
        ];
        for method in asked {
            let mut birth = Birth::new(method);
            birth.say(Source::Terminal, &banner, &cuts);
            birth.terminal(&question, true, &cuts);
            prop_assert!(birth.sent.is_empty());
            let failure = birth.failure.expect("a verdict");
            prop_assert_eq!(failure.kind, FailureKind::UnexpectedPrompt);
            prop_assert!(failure.lines.iter().any(|line| line.text.contains(question.trim_end())));
            prop_assert!(failure.hint.is_some());
        }
    }

    /// Of a tool's own questions the one that is named is answered, and one that is named as a refusal ends it.
    #[test]
    fn questions_of_ones_own_are_told_apart(banner in noise(), cuts in cuts(), who in "[a-z]{1,8}") {
        let tool = || {
            Custom::new("x", ["y"])
                .prompts()
                .asks("Token for", "token", "tk")
                .asks("Pin of", "pin", "4321")
                .refuses("Account disabled", FailureKind::AccountUnusable, "ask for it")
                .hidden("password", "pw")
        };
        let mut birth = Birth::new(tool());
        birth.say(Source::Terminal, &banner, &cuts);
        for (question, answer) in [("Pin of", "4321"), ("Token for", "tk"), ("Word of", "pw")] {
            birth.terminal(&format!("{question} {who}: "), false, &cuts);
            prop_assert_eq!(birth.sent.last().map(String::as_str), Some(answer), "{:?}", birth.failure);
            birth.terminal("\r\n", true, &[]);
        }
        let mut birth = Birth::new(tool());
        birth.terminal(&format!("Account disabled, {who}. Ask for it? "), true, &cuts);
        prop_assert!(birth.sent.is_empty());
        prop_assert_eq!(birth.failure.expect("a verdict").kind, FailureKind::AccountUnusable);
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
