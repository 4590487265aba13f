//! `mitogen exec`: a remote command's output and status are ours.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, eventually, finish, mitogen};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Seek, Write},
    process::Stdio,
    time::Duration,
};

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
    // In the order in which they came; each target's own are in theirs.
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!((lines[0], lines[3]), ("local: a", "local: b"), "{run:?}");
    lines.sort_unstable();
    assert_eq!(lines, ["local: a", "local: a", "local: b", "local: b"]);
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

#[test]
fn output_is_shown_as_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let flag = directory.path().join("go").display().to_string();
    let script = format!("echo one; while ! [ -e {flag} ]; do sleep .01; done; printf two");
    for (targets, names) in [
        (&["-t", "local"][..], ["", ""]),
        (&["-t", "local?name=a", "-t", "local?name=b"], ["local?name=a: ", "\n"]),
    ] {
        let _ = std::fs::remove_file(&flag);
        let mut child = command(targets.iter().copied().chain(["exec", "--shell", &script]))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert!(first.ends_with("one\n"), "{first}");
        assert!(child.try_wait().unwrap().is_none(), "it waits for us");
        std::fs::write(&flag, "").unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut lines, &mut rest).unwrap();
        assert!(rest.ends_with(&format!("two{}", names[1])), "{rest}");
        assert!((first + &rest).contains(&format!("{}one\n", names[0])));
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_command() {
    let mut child = command(["exec", "yes"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "y\n");
    let run = finish(child.wait_with_output().unwrap());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{run:?}");
    // Of either stream.
    let mut child = command(["exec", "--shell", "yes >&2"]).stderr(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let ended = eventually("the end", Duration::from_secs(20), || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn words_that_are_no_text_are_passed_on_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let word = std::ffi::OsStr::from_bytes(b"a\xff");
    for target in ["local", "local/local"] {
        let mut command =
            command(["-t", target, "exec", "--", "sh", "-c", "printf %s \"$1\" | od -An -tx1", "sh"]);
        assert_eq!(finish(command.arg(word).output().unwrap()).ok().trim(), "61 ff");
    }
}

#[test]
fn an_interrupt_is_heard_while_nobody_reads() {
    let mut child = command(["exec", "--shell", "echo $$; exec yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut pid = String::new();
    lines.read_line(&mut pid).unwrap();
    let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let status = eventually("the end", Duration::from_secs(20), || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    let proc = std::path::Path::new("/proc").join(pid.trim());
    eventually("the end of the remote command", Duration::from_secs(20), || (!proc.exists()).then_some(()));
}
