//! Tools that misbehave in every way we could think of.

mod support;

use mitogen_bootstrap::plan::{Answer, Ask, BootPlan, EnvChange, Prompt, Secret, Wiring};
use mitogen_transport::{Exit, FailureKind, Local, Phase, SecretName, connect};
use std::time::{Duration, Instant};
use support::{alone, fail, script, try_connect};

#[test]
fn a_missing_tool() {
    alone(|| async {
        let error = fail(&BootPlan { argv: vec!["no-such-tool-anywhere".into()], ..script("") }).await;
        assert_eq!((error.phase, &error.kind), (Phase::Spawn, &FailureKind::ToolMissing));
        assert!(error.to_string().contains("no-such-tool-anywhere"), "{error}");
    });
}

#[test]
fn a_tool_that_ends_says_its_last_words() {
    alone(|| async {
        let error = fail(&script("echo hello; echo sorry >&2; exit 3")).await;
        assert_eq!(error.kind, FailureKind::Ended);
        assert_eq!(error.exit, Some(Exit::Status(3)));
        let text = error.to_string();
        for part in ["test", "login phase", "ended with status 3", "stdout: hello", "stderr: sorry"] {
            assert!(text.contains(part), "{part:?} is missing from {text}");
        }
    });
}

#[test]
fn no_interpreter() {
    alone(|| async {
        let mut plan = Local::new().plan();
        plan.env.push(EnvChange::Set("PATH".into(), "/nonexistent".into()));
        plan.argv[0] = "/bin/sh".into();
        let error = fail(&plan).await;
        if error.kind != FailureKind::NoInterpreter {
            // This machine has /usr/libexec/platform-python.
            assert_eq!(error.phase, Phase::FirstStage);
        }
        let error = fail(&Local::new().python("/no/such/python").plan()).await;
        assert_eq!((error.phase, &error.kind), (Phase::Interpreter, &FailureKind::Exec));
        assert!(error.last_lines.iter().any(|l| l.text.contains("/no/such/python")));
    });
}

#[test]
fn a_tool_killed_in_each_phase() {
    for (markers, phase) in
        [("", Phase::Login), ("echo EC0;", Phase::FirstStage), ("echo EC0; echo EC1;", Phase::Agent)]
    {
        alone(|| async {
            let error = fail(&script(&format!("{markers} kill -9 $$"))).await;
            assert_eq!((error.phase, &error.kind), (phase, &FailureKind::Ended));
            assert_eq!(error.exit, Some(Exit::Signal(9)));
        });
    }
}

#[test]
fn a_real_context_killed_while_it_is_born() {
    alone(|| async {
        // The preamble is cut, then the pipe closed, as when a connection breaks.
        let preamble = support::preamble();
        let bytes = preamble.as_bytes();
        for cut in [0, 1, 100, bytes.len() / 2, bytes.len() - 1] {
            let error = connect(&Local::new().plan(), &bytes[..cut], Duration::from_millis(700))
                .await
                .expect_err("cut");
            assert!(matches!(error.kind, FailureKind::TimedOut | FailureKind::AgentCrashed), "{error}");
        }
    });
}

#[test]
fn a_tool_that_hangs_meets_the_deadline() {
    for text in
        ["sleep 100", "echo EC0; sleep 100", "exec >&-; sleep 100", "trap '' TERM HUP; sleep 100 & sleep 100"]
    {
        alone(|| async {
            let started = Instant::now();
            let error =
                connect(&script(text), b"x", Duration::from_millis(500)).await.expect_err("a failure");
            assert_eq!(error.kind, FailureKind::TimedOut, "{error}");
            assert!(started.elapsed() < Duration::from_secs(2));
        });
    }
}

#[test]
fn a_tool_that_closes_its_output_is_not_waited_for_for_ever() {
    alone(|| async {
        let error = fail(&script("exec >&- <&-; sleep 100")).await;
        assert_eq!((&error.kind, error.exit), (&FailureKind::Ended, None));
    });
}

#[test]
fn a_tool_that_prints_for_ever() {
    alone(|| async {
        assert_eq!(fail(&script("while :; do echo noise; done")).await.kind, FailureKind::Noise);
        let plan = script("while :; do echo noise >&2; done");
        let error = connect(&plan, b"", Duration::from_millis(500)).await.expect_err("a failure");
        assert_eq!(error.kind, FailureKind::TimedOut);
        assert!(error.last_lines.len() <= 100);
    });
}

#[test]
fn an_orphan_that_holds_the_channels_does_not_hold_us() {
    alone(|| async {
        let started = Instant::now();
        let error = fail(&script("sleep 100 & exit 4")).await;
        assert_eq!(error.exit, Some(Exit::Status(4)));
        assert!(started.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn a_dropped_attempt_kills_what_it_started() {
    for wiring in [Wiring::PLAIN, Wiring::HYBRID, Wiring::PTY] {
        alone(|| async {
            let plan = BootPlan { wiring, ..script("trap '' TERM HUP; echo EC0; sleep 100; sleep 100") };
            let attempt = try_connect(&plan);
            assert!(tokio::time::timeout(Duration::from_millis(200), attempt).await.is_err());
        });
    }
}

/// Asks for a password as tools do: echo off, prompt, read, echo on.
const ASKS: &str = "ask() { stty -echo </dev/tty; printf \"$1\" >/dev/tty; read answer </dev/tty; \
                    stty echo </dev/tty; echo >/dev/tty; };";

fn asking(wiring: Wiring, text: &str) -> BootPlan {
    let secret = Secret::new("password", "hunter2");
    BootPlan {
        wiring,
        prompts: vec![Prompt { ask: Ask::Hidden, answer: Answer::Secret(secret) }],
        ..script(&format!("{ASKS} {text}"))
    }
}

#[test]
fn a_hidden_question_is_answered_once_whatever_its_words() {
    for wiring in [Wiring::HYBRID, Wiring::PTY] {
        let right = "[ \"$answer\" = hunter2 ] && echo EC0 && echo EC1 && echo EC2; sleep 5";
        alone(|| async {
            let plan = asking(
                wiring,
                &format!("echo 'password: Permission denied'; ask 'Mot de passe : '; {right}"),
            );
            let connected = try_connect(&plan).await.unwrap_or_else(|e| panic!("{wiring:?}: {e}"));
            drop(connected);
            let plan = asking(wiring, "ask 'パスワード:'; echo no >&2; ask 'パスワード:'; sleep 100");
            let error = fail(&plan).await;
            assert_eq!(error.kind, FailureKind::WrongSecret(SecretName("password".into())));
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        });
    }
}

#[test]
fn a_question_in_the_open_fails_at_once_and_is_shown() {
    alone(|| async {
        let error =
            fail(&asking(Wiring::HYBRID, "printf 'Really (y/n)? ' >/dev/tty; read x </dev/tty")).await;
        assert_eq!(error.kind, FailureKind::UnexpectedPrompt);
        assert!(error.to_string().contains("terminal: Really (y/n)?"), "{error}");
    });
}
