//! `mitogen exec`: a remote command's output and status are ours.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, finish, mitogen};
use serde_json::json;
use std::io::{Seek, Write};

#[test]
fn both_streams_and_the_status_come_back() {
    let run = mitogen(["exec", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (3, "out\n", "err\n"));
}

#[test]
fn output_is_relayed_byte_for_byte() {
    let output = command(["exec", "--shell", "printf '\\377\\000x'; printf '\\376' >&2"]).output().unwrap();
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"\xff\0x"[..], &b"\xfe"[..]));
}

#[test]
fn everything_behind_the_command_is_its_own() {
    assert_eq!(mitogen(["exec", "echo", "--json", "-t", "$HOME", ""]).ok(), "--json -t $HOME \n");
}

#[test]
fn a_signal_gives_128_and_its_number() {
    let run = mitogen(["exec", "--shell", "kill -9 $$"]);
    assert_eq!(run.status, 137, "{run:?}");
}

#[test]
fn a_command_that_does_not_exist_is_a_failed_call() {
    let run = mitogen(["exec", "no-such-command-x"]);
    assert!(run.status != 0 && run.stdout.is_empty(), "{run:?}");
    assert!(run.stderr.contains("no-such-command-x"), "{run:?}");
    assert!(!run.stderr.contains("Traceback"), "{run:?}");
}

#[test]
fn a_deadline_is_told_of_the_command() {
    let run = mitogen(["--timeout", "0.3", "exec", "sleep", "5"]);
    assert_eq!(run.status, 6, "{run:?}");
    assert!(run.stderr.contains("sleep: no end within 0.3 s"), "{run:?}");
}

#[test]
fn the_json_form_keeps_the_output_of_a_failed_command() {
    let run = mitogen(["--json", "exec", "--shell", "echo out; echo err >&2; exit 3"]);
    assert_eq!(run.status, 3);
    let result = run.result();
    assert_eq!(result["value"], json!({"status": 3, "stdout": "out\n", "stderr": "err\n"}));
    assert_eq!((&result["ok"], &result["error"]["kind"]), (&json!(false), &json!("call")));
    let result = mitogen(["--json", "exec", "true"]).result();
    assert_eq!((&result["ok"], &result["error"]), (&json!(true), &serde_json::Value::Null));
}

#[test]
fn lines_of_several_targets_carry_their_names() {
    let run =
        mitogen(["-t", "local", "-t", "local", "exec", "--shell", "echo a; printf b; echo c >&2; exit 5"]);
    assert_eq!(run.status, 1, "{run:?}");
    assert_eq!(run.stdout, "local: a\nlocal: b\n".repeat(2));
    assert!(run.stderr.contains("local: c\n") && run.stderr.contains("status 5"), "{run:?}");
}

#[test]
fn a_command_reads_what_it_is_given_and_nothing_else() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\xff\0line\n").unwrap();
    let path = file.path().display().to_string();
    let output = command(["exec", "--stdin", &path, "cat"]).output().unwrap();
    assert_eq!(output.stdout, b"\xff\0line\n");
    // More than a pipe holds, to a command that does not want it all.
    let given = |args: &[&str], input: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        finish(command(args).stdin(file).output().unwrap())
    };
    let much = vec![b'x'; 1 << 20];
    assert_eq!(given(&["exec", "--stdin", "-", "--", "wc", "-c"], &much).ok().trim(), "1048576");
    assert_eq!(given(&["exec", "--stdin", "-", "--", "head", "-c1"], &much).ok(), "x");
    // What was not asked for stays where it is.
    assert_eq!(given(&["exec", "cat"], b"mine\n").ok(), "");
    for (args, told) in [
        (&["exec", "--stdin", "/nonexistent/x", "cat"][..], "/nonexistent/x"),
        (&["--targets-file", "-", "exec", "--stdin", "-", "cat"], "only once"),
    ] {
        let run = given(args, b"local\n");
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(told), "{run:?}");
    }
}
