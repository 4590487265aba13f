//! The handshake's decisions, whatever the input and however it is cut.

use mitogen_bootstrap::handshake::{Exit, Failure, Handshake, KEPT_BYTES, NOISE_LIMIT, Output, Phase};
use mitogen_bootstrap::plan::{
    Answer, Ask, BootPlan, FailureKind, FailureRule, Pattern, Prompt, Secret, SecretName, Source, Wiring,
};
use proptest::prelude::*;

fn plan() -> BootPlan {
    BootPlan {
        hop: "test".into(),
        argv: vec!["tool".into()],
        env: Vec::new(),
        wiring: Wiring::PLAIN,
        logs_in: true,
        prompts: Vec::new(),
        failures: Vec::new(),
        hint: None,
    }
}

fn asking_plan() -> BootPlan {
    BootPlan {
        wiring: Wiring::HYBRID,
        prompts: vec![
            Prompt {
                ask: Ask::HiddenLike(Pattern::prefix("Enter passphrase for ")),
                answer: Answer::Secret(Secret::new("passphrase", "open sesame")),
            },
            Prompt { ask: Ask::Hidden, answer: Answer::Secret(Secret::new("password", "hunter2")) },
        ],
        failures: vec![FailureRule {
            source: Some(Source::Stderr),
            line: Pattern::contains("@").and_contains(": Permission denied (").and_suffix(")."),
            also: None,
            status: Some(255),
            kind: FailureKind::AuthRefused,
            advice: "look".into(),
        }],
        ..plan()
    }
}

fn started(plan: &BootPlan) -> Handshake {
    let mut machine = Handshake::new(plan);
    machine.handle_spawned();
    machine
}

fn outputs(machine: &mut Handshake) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

fn failure(machine: &mut Handshake) -> Failure {
    match outputs(machine).pop() {
        Some(Output::Failed(failure)) => *failure,
        other => panic!("not a failure: {other:?}"),
    }
}

fn shown(failure: &Failure) -> Vec<String> {
    failure.lines.iter().map(|line| format!("{}: {}", line.source, line.text)).collect()
}

#[test]
fn a_birth_passes_every_phase_and_keeps_the_residue() {
    let mut machine = started(&plan());
    machine.handle_stdout(b"Welcome!\r\n/usr/bin/python3\nEC0\r\nEC1\nEC2\nfra");
    let want = [
        Output::Phase(Phase::Login),
        Output::Phase(Phase::Interpreter),
        Output::Phase(Phase::FirstStage),
        Output::SendPreamble,
        Output::Phase(Phase::Agent),
        Output::Phase(Phase::Ready),
        Output::Ready { residue: "fra".into() },
    ];
    assert_eq!(outputs(&mut machine), want);
    machine.handle_stdout(b"mes");
    machine.handle_exit(Exit::Status(0));
    machine.handle_deadline();
    assert_eq!(outputs(&mut machine), []);
}

#[test]
fn a_missing_interpreter_is_known_before_the_tool_ends() {
    let mut machine = started(&plan());
    machine.handle_stdout(b"motd\nEC9\n");
    machine.handle_stdout_eof();
    let failure = failure(&mut machine);
    assert_eq!((failure.phase, failure.kind), (Phase::Interpreter, FailureKind::NoInterpreter));
}

#[test]
fn a_failed_exec_is_the_interpreter_phase_s() {
    let mut machine = started(&plan());
    machine.handle_stdout(b"EC0\n");
    machine.handle_stderr(b"sh: 1: exec: pythonx: not found\n");
    machine.handle_stdout_eof();
    machine.handle_stderr_eof();
    assert!(machine.is_waiting());
    machine.handle_exit(Exit::Status(127));
    let failure = failure(&mut machine);
    assert_eq!((failure.phase, &failure.kind), (Phase::Interpreter, &FailureKind::Exec));
    assert_eq!(shown(&failure), ["stderr: sh: 1: exec: pythonx: not found"]);
}

#[test]
fn a_traceback_before_ready_is_a_crash_and_is_shown() {
    let mut machine = started(&plan());
    machine.handle_stdout(b"EC0\nEC1\n");
    machine.handle_stderr(b"Traceback (most recent call last):\n  File \"x\"\nImportError: no zlib\n");
    machine.handle_exit(Exit::Status(1));
    machine.handle_settled();
    let failure = failure(&mut machine);
    assert_eq!((failure.phase, &failure.kind), (Phase::Agent, &FailureKind::AgentCrashed));
    assert_eq!(shown(&failure).len(), 3);
}

#[test]
fn a_secret_is_sent_once_and_asked_for_again_it_was_wrong() {
    let mut machine = started(&asking_plan());
    machine.handle_terminal(b"\r", true);
    machine.handle_terminal(b"bob@h's passw", false);
    assert!(matches!(&outputs(&mut machine)[..], [_, Output::SendSecret(s)] if s.expose() == "hunter2"));
    // The question's tail, which was on its way, is no second question.
    machine.handle_terminal(b"ord: ", false);
    assert_eq!(outputs(&mut machine), []);
    machine.handle_terminal(b"\r\nPermission denied, please try again.\r\nbob@h's password: ", false);
    let failure = failure(&mut machine);
    assert_eq!(failure.kind, FailureKind::WrongSecret(SecretName("password".into())));
    assert_eq!(failure.phase, Phase::Login);
}

#[test]
fn a_refusal_after_a_secret_blames_the_secret_and_blots_it_out() {
    let mut machine = started(&asking_plan());
    machine.handle_terminal(b"Passwort: ", false);
    machine.handle_stderr(b"debug: hunter2\nbob@h: Permission denied (publickey,password).\r\n");
    machine.handle_stdout_eof();
    machine.handle_stderr_eof();
    machine.handle_terminal_eof();
    machine.handle_exit(Exit::Status(255));
    let failure = failure(&mut machine);
    assert_eq!(failure.kind, FailureKind::WrongSecret(SecretName("password".into())));
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    assert!(format!("{failure:?}").contains("[secret]"));
}

#[test]
fn a_passphrase_question_gets_the_passphrase_however_it_is_cut() {
    let text = b"Enter passphrase for key '/k': ";
    for cut in 0..text.len() {
        let mut machine = started(&asking_plan());
        machine.handle_terminal(&text[..cut], false);
        machine.handle_terminal(&text[cut..], false);
        let sent: Vec<_> =
            outputs(&mut machine).into_iter().filter(|o| matches!(o, Output::SendSecret(_))).collect();
        assert!(
            matches!(&sent[..], [Output::SendSecret(s)] if s.expose() == "open sesame"),
            "cut at {cut}: {sent:?}"
        );
    }
}

#[test]
fn a_banner_with_tricky_words_fails_nothing_and_is_answered_nothing() {
    let banner = b"*** password: Permission denied\nroot@x: Permission denied (publickey).\n";
    let mut machine = started(&asking_plan());
    machine.handle_stderr(banner);
    machine.handle_stdout(banner);
    machine.handle_terminal(banner, true);
    assert_eq!(outputs(&mut machine), [Output::Phase(Phase::Login)]);
    machine.handle_stdout(b"EC0\nEC1\nEC2\n");
    assert!(matches!(outputs(&mut machine).pop(), Some(Output::Ready { .. })));
}

#[test]
fn a_verdict_counts_only_with_its_status() {
    let mut machine = started(&asking_plan());
    machine.handle_stderr(b"root@x: Permission denied (publickey).\n");
    machine.handle_exit(Exit::Status(1));
    machine.handle_settled();
    assert_eq!(failure(&mut machine).kind, FailureKind::NotRun);
}

#[test]
fn a_question_that_nobody_can_answer_is_shown_at_once() {
    let mut machine = started(&asking_plan());
    machine.handle_terminal(b"Verification code: ", true);
    assert_eq!(outputs(&mut machine).len(), 1);
    machine.handle_terminal_quiet(true);
    let failure = failure(&mut machine);
    assert_eq!(failure.kind, FailureKind::UnexpectedPrompt);
    assert_eq!(shown(&failure), ["terminal: Verification code: "]);
}

#[test]
fn noise_has_a_cap() {
    let mut machine = started(&plan());
    machine.handle_stdout(&vec![b'x'; NOISE_LIMIT]);
    assert!(machine.is_waiting());
    machine.handle_stdout(b"x");
    let failure = failure(&mut machine);
    assert_eq!(failure.kind, FailureKind::Noise);
    assert!(failure.lines.iter().map(|l| l.text.len()).sum::<usize>() <= KEPT_BYTES);
}

#[test]
fn too_much_noise_is_too_much_however_it_is_cut() {
    let mut input = vec![b'x'; NOISE_LIMIT + 1];
    input.extend_from_slice(b"\nEC0\nEC1\nEC2\n");
    for cut in [1, 5, NOISE_LIMIT, NOISE_LIMIT + 1, NOISE_LIMIT + 4, input.len()] {
        let mut machine = started(&plan());
        input.chunks(cut).for_each(|piece| machine.handle_stdout(piece));
        assert_eq!(failure(&mut machine).kind, FailureKind::Noise, "pieces of {cut}");
    }
}

#[test]
fn standard_error_without_end_is_no_failure_and_takes_no_memory() {
    let mut machine = started(&plan());
    for i in 0..10_000 {
        machine.handle_stderr(format!("line {i} {}\n", "y".repeat(i % 200)).as_bytes());
    }
    machine.handle_deadline();
    let failure = failure(&mut machine);
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert!(failure.lines.len() <= 100);
    assert!(failure.lines.last().is_some_and(|l| l.text.starts_with("line 9999")));
}

#[test]
fn control_characters_do_not_reach_the_reader_s_terminal() {
    let mut machine = started(&plan());
    machine.handle_stdout(b"\x1b[2Jboo\x07\r\n");
    machine.handle_deadline();
    assert_eq!(shown(&failure(&mut machine)), ["stdout: ?[2Jboo?"]);
}

/// What a run came to, without regard to when each output was taken.
fn run(input: &[u8], cuts: &[usize]) -> (Vec<Output>, Vec<u8>) {
    let mut machine = started(&plan());
    let mut rest = Vec::new();
    let mut outputs = Vec::new();
    let mut at = 0;
    let mut ends: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    for end in ends {
        if machine.is_waiting() {
            machine.handle_stdout(&input[at..end]);
        } else {
            rest.extend_from_slice(&input[at..end]);
        }
        at = end;
        while let Some(mut output) = machine.poll_output() {
            if let Output::Ready { residue } = &mut output {
                rest.splice(0..0, std::mem::take(residue));
            }
            outputs.push(output);
        }
    }
    machine.handle_exit(Exit::Signal(9));
    machine.handle_settled();
    outputs.extend(std::iter::from_fn(|| machine.poll_output()));
    if !matches!(outputs.last(), Some(Output::Ready { .. })) {
        rest.clear();
    }
    (outputs, rest)
}

/// Noise that likes to look like markers, and holds none.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"E".to_vec()),
        Just(b"EC".to_vec()),
        Just(b"EC0".to_vec()),
        Just(b"EC0\r".to_vec()),
        Just(b"EC3\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut bytes = pieces.concat();
        // Not a marker, whatever the random bytes made.
        let is_marker =
            |w: &[u8]| w.starts_with(b"EC") && b"0129".contains(&w[2]) && (w[3] == b'\n' || w[3] == b'\r');
        while let Some(at) = bytes.windows(4).position(is_marker) {
            bytes[at] = b'e';
        }
        // Nothing at its end that the marker behind it could be mistaken with.
        bytes.push(b'.');
        bytes
    })
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        input in proptest::collection::vec(prop_oneof![
            Just(b"EC0\n".to_vec()), Just(b"EC1\r\n".to_vec()), Just(b"EC2\n".to_vec()), Just(b"EC9\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ], 0..12),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let input = input.concat();
        prop_assert_eq!(run(&input, &cuts), run(&input, &[]));
        let every: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(run(&input, &every), run(&input, &[]));
    }

    #[test]
    fn markers_are_found_behind_any_noise(a in noise(), b in noise(), c in noise(), residue in any::<Vec<u8>>()) {
        let input = [&a[..], b"EC0\n", &b[..], b"EC1\n", &c[..], b"EC2\r\n", &residue[..]].concat();
        let (outputs, rest) = run(&input, &[]);
        prop_assert!(matches!(outputs.last(), Some(Output::Ready { .. })), "{:?}", outputs);
        prop_assert_eq!(rest, residue);
    }

    #[test]
    fn an_end_at_any_byte_is_a_failure_of_that_phase(noise in noise(), cut in any::<prop::sample::Index>()) {
        let input = [&noise[..], b"EC0\n", b"EC1\n", b"EC2\n"].concat();
        let cut = cut.index(input.len());
        let (outputs, _) = run(&input[..cut], &[]);
        let Some(Output::Failed(failure)) = outputs.last() else {
            return Err(TestCaseError::fail(format!("{outputs:?}")));
        };
        let n = noise.len();
        let want = match cut {
            cut if cut < n + 4 => Phase::Login,
            cut if cut < n + 8 => Phase::FirstStage,
            _ => Phase::Agent,
        };
        prop_assert_eq!(failure.phase, want);
        prop_assert_eq!(&failure.kind, &FailureKind::Ended);
        prop_assert_eq!(failure.exit, Some(Exit::Signal(9)));
    }
}
