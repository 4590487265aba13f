//! Whose fault an end is: the tool's own, that of what it ran, or that of how it was wired.

use mitogen_bootstrap::handshake::{Exit, Failure, Handshake, Output, Phase};
use mitogen_bootstrap::plan::{BootPlan, FailureKind, FailureRule, Pattern, Source, Wiring};

fn failure(logs_in: bool, story: impl FnOnce(&mut Handshake)) -> Failure {
    let mut machine = Handshake::new(&BootPlan {
        hop: "test".into(),
        argv: vec!["tool".into()],
        env: Vec::new(),
        wiring: Wiring::PLAIN,
        logs_in,
        prompts: Vec::new(),
        failures: vec![FailureRule {
            source: Some(Source::Stderr),
            line: Pattern::contains("Permission denied ("),
            also: None,
            status: Some(255),
            kind: FailureKind::AuthRefused,
            advice: "look".into(),
        }],
        hint: Some("look closer".into()),
    });
    machine.handle_spawned();
    story(&mut machine);
    match std::iter::from_fn(|| machine.poll_output()).last() {
        Some(Output::Failed(failure)) => *failure,
        other => panic!("not a failure: {other:?}"),
    }
}

/// All channels end, and so does the tool.
fn end(machine: &mut Handshake, status: i32) {
    machine.handle_stdout_eof();
    machine.handle_stderr_eof();
    machine.handle_exit(Exit::Status(status));
}

#[test]
fn a_status_that_is_none_of_the_tools_own_means_that_the_login_went_well() {
    let failure = failure(true, |machine| {
        machine.handle_stdout(b"This account is currently not available.\n");
        end(machine, 1);
    });
    assert_eq!((failure.phase, failure.kind), (Phase::Interpreter, FailureKind::NotRun));
}

#[test]
fn a_status_of_the_tool_does_not() {
    let own = failure(true, |machine| end(machine, 255));
    assert_eq!((own.phase, own.kind), (Phase::Login, FailureKind::Ended));
    assert_eq!(own.hint.as_deref(), Some("look closer"));
}

#[test]
fn what_looks_like_a_refusal_is_none_when_another_status_says_so() {
    let failure = failure(true, |machine| {
        machine.handle_stderr(b"bob@host: Permission denied (publickey).\n");
        end(machine, 1);
    });
    assert_eq!(failure.kind, FailureKind::NotRun);
}

#[test]
fn an_interpreter_that_finds_its_input_closed_is_told_from_one_that_is_broken() {
    let starved = failure(true, |machine| {
        machine.handle_stdout(b"EC0\n");
        end(machine, 61);
    });
    assert_eq!((starved.phase, &starved.kind), (Phase::FirstStage, &FailureKind::NoInput));
    assert!(starved.hint.is_some_and(|hint| hint.contains("StdinNull=no")));
    let crashed = failure(true, |machine| {
        machine.handle_stdout(b"EC0\n");
        machine.handle_stderr(b"Traceback (most recent call last):\n  File \"<string>\", line 1\n");
        machine.handle_stderr(b"ImportError: no module named select\n");
        end(machine, 1);
    });
    assert_eq!(crashed.kind, FailureKind::AgentCrashed);
}

#[test]
fn a_tool_that_leaves_somebody_in_its_place_is_not_waited_for() {
    let early = failure(true, |machine| {
        machine.handle_exit(Exit::Status(0));
        machine.handle_settled();
    });
    assert_eq!(early.kind, FailureKind::Background);
    let late = failure(true, |machine| {
        machine.handle_stdout(b"EC0\n");
        machine.handle_exit(Exit::Status(0));
        machine.handle_stdout(b"EC1\nEC2\n");
    });
    assert_eq!(late.kind, FailureKind::Background);
    assert!(late.hint.is_some_and(|hint| hint.contains("ForkAfterAuthentication=no")));
}

#[test]
fn a_shell_that_prints_what_it_will_run_does_not_hide_the_interpreter() {
    let failure = failure(true, |machine| {
        machine.handle_stdout(b"+ for p in python3 python\r\n+ echo EC9\r\n+ echo EC0\r\nEC0\r\n");
        assert_eq!(machine.phase(), Phase::FirstStage);
        end(machine, 2);
    });
    assert_eq!((failure.phase, failure.kind), (Phase::FirstStage, FailureKind::Ended));
}
