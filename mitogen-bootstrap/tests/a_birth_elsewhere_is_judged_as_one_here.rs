//! What a parent elsewhere reports is read by the same rules as what is seen here.

use mitogen_bootstrap::handshake::{Exit, Phase, RunReport};
use mitogen_bootstrap::plan::{
    Answer, Ask, BootPlan, FailureKind, FailureRule, Pattern, Prompt, Secret, SecretName, Source, Wiring,
};
use mitogen_bootstrap::plan_message::RunPlan;
use mitogen_bootstrap::{BootConfig, Interpreter, Preamble, boot_command};
use mitogen_wire::{ContextId, SessionKey, Value, pickle};
use std::time::Duration;

fn plan() -> BootPlan {
    let needed = Answer::Fail(FailureKind::SecretNeeded(SecretName("passphrase".into())), "give it".into());
    BootPlan {
        hop: "ssh:db1".into(),
        argv: ["ssh", "db1"]
            .map(str::to_owned)
            .into_iter()
            .chain(boot_command(&Interpreter::Discover))
            .collect(),
        env: Vec::new(),
        wiring: Wiring::HYBRID,
        logs_in: true,
        prompts: vec![
            Prompt { ask: Ask::HiddenLike(Pattern::prefix("Enter passphrase for ")), answer: needed },
            Prompt { ask: Ask::Hidden, answer: Answer::Secret(Secret::new("password", "hunter2")) },
        ],
        failures: vec![FailureRule {
            source: Some(Source::Stderr),
            line: Pattern::contains("Permission denied ("),
            also: None,
            status: Some(255),
            kind: FailureKind::AuthRefused,
            advice: "check the keys".into(),
        }],
        hint: None,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn report(extra: &[(&str, Value)]) -> RunReport {
    let mut pairs = vec![(text("ok"), Value::Bool(false)), (text("elapsed"), Value::Float(0.5))];
    pairs.extend(extra.iter().map(|(key, value)| (text(key), value.clone())));
    RunReport::read(&plan(), &Value::Dict(pairs)).expect("a report")
}

fn seen(lines: &[(&str, &str)]) -> Value {
    Value::List(lines.iter().map(|(source, line)| Value::Tuple(vec![text(source), text(line)])).collect())
}

#[test]
fn the_message_holds_all_but_the_core() {
    let config = BootConfig::new(ContextId(7), vec![ContextId(3), ContextId(0)]);
    let preamble = Preamble::new(&config, "a@b:1");
    let key = SessionKey::from_random([7; 16]);
    let plan = plan();
    let run = RunPlan {
        id: ContextId(7),
        name: "db1",
        plan: &plan,
        preamble: &preamble,
        key: Some(&key),
        timeout: Duration::from_millis(1500),
    };
    let (_, payload) = run.encode().expect("a pickle");
    let value = pickle::read(&payload, &pickle::Limits::default()).expect("our own pickle");
    let get = |key| value.get(key).unwrap_or_else(|| panic!("no {key}"));
    let (head, tail) = (get("head").as_bytes().unwrap(), get("tail").as_bytes().unwrap());
    assert!(preamble.as_bytes().starts_with(head) && preamble.as_bytes().ends_with(tail));
    assert_eq!(head.last(), Some(&0));
    assert!(tail.starts_with(b"["));
    assert_eq!(get("wiring").as_str(), Some("prompt"));
    assert_eq!(get("key").as_str(), Some(key.expose()));
    assert_eq!(get("timeout").as_f64(), Some(1.5));
    let secrets = get("secrets").as_slice().unwrap();
    assert!(secrets[0].get("value").unwrap().is_none());
    assert_eq!(secrets[0].get("prompt").unwrap().as_str(), Some("Enter passphrase for "));
    assert!(!format!("{value:?}").contains("hunter2"));
}

#[test]
fn a_refused_login_is_known_by_its_last_words() {
    let lines = seen(&[("stdout", "Welcome"), ("stderr", "bob@db1: Permission denied (publickey).")]);
    let failure = report(&[
        ("phase", text("login")),
        ("reason", text("eof")),
        ("status", Value::Int(255)),
        ("lines", lines),
    ])
    .failure
    .expect("a failure");
    assert_eq!((failure.phase, &failure.kind), (Phase::Login, &FailureKind::AuthRefused));
    assert_eq!(failure.exit, Some(Exit::Status(255)));
    assert_eq!(failure.lines.len(), 2);
}

#[test]
fn a_password_asked_for_twice_was_wrong() {
    let lines = seen(&[("tty", "bob@db1's password: "), ("tty", "bob@db1's password: ")]);
    let failure = report(&[("phase", text("login")), ("reason", text("asked")), ("lines", lines)]);
    assert_eq!(failure.failure.unwrap().kind, FailureKind::WrongSecret(SecretName("password".into())));
    let lines = seen(&[("tty", "Enter passphrase for key '/k': ")]);
    let failure = report(&[
        ("phase", text("login")),
        ("reason", text("asked")),
        ("sent", Value::List(vec![])),
        ("lines", lines),
    ]);
    assert_eq!(failure.failure.unwrap().kind, FailureKind::SecretNeeded(SecretName("passphrase".into())));
}

#[test]
fn each_reason_has_its_kind() {
    let kind = |phase: &str, reason: &str, more: &[(&str, Value)]| {
        let mut fields = vec![("phase", text(phase)), ("reason", text(reason))];
        fields.extend_from_slice(more);
        let failure = report(&fields).failure.expect("a failure");
        (failure.phase, failure.kind)
    };
    assert_eq!(kind("agent", "timeout", &[]), (Phase::Agent, FailureKind::TimedOut));
    assert_eq!(kind("interpreter", "no-python", &[]), (Phase::Interpreter, FailureKind::NoInterpreter));
    assert_eq!(kind("login", "noise", &[]), (Phase::Login, FailureKind::Noise));
    assert_eq!(kind("spawn", "spawn", &[("errno", Value::Int(2))]), (Phase::Spawn, FailureKind::ToolMissing));
    assert_eq!(
        kind("first-stage", "eof", &[("status", Value::Int(127))]),
        (Phase::Interpreter, FailureKind::Exec)
    );
    let crash = seen(&[("stderr", "Traceback (most recent call last):")]);
    assert_eq!(kind("agent", "eof", &[("lines", crash)]), (Phase::Agent, FailureKind::AgentCrashed));
}

#[test]
fn what_is_no_report_is_refused() {
    for value in [Value::None, Value::Dict(vec![]), Value::Dict(vec![(text("ok"), Value::Bool(false))])] {
        assert!(RunReport::read(&plan(), &value).is_err(), "{value:?}");
    }
}
