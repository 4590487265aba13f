//! `mitogen call`: values in, values out, failures told.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, finish, local_with, mitogen, pyenv};
use serde_json::json;

#[test]
fn a_function_s_result_is_printed() {
    let pid = mitogen(["call", "os.getpid"]).ok();
    assert!(pid.trim_end().parse::<u32>().is_ok(), "{pid}");
}

#[test]
fn a_string_is_printed_as_it_is_and_anything_else_as_json() {
    assert_eq!(mitogen(["call", "json.dumps", r#"{"a": [1, 2]}"#]).ok(), "{\"a\": [1, 2]}\n");
    assert_eq!(
        mitogen(["call", "json.loads", r#""{\"a\": [1, null, 1.5]}""#]).ok(),
        "{\"a\": [1, null, 1.5]}\n"
    );
    assert_eq!(mitogen(["call", "os.path.split", "/a/é"]).ok(), "[\"/a\", \"é\"]\n");
}

#[test]
fn arguments_are_json_unless_told_otherwise() {
    assert_eq!(mitogen(["call", "math.fabs", "-5"]).ok(), "5.0\n");
    assert_eq!(mitogen(["call", "operator.add", "1", "2"]).ok(), "3\n");
    assert_eq!(mitogen(["call", "--str", "operator.add", "1", "2"]).ok(), "12\n");
    assert_eq!(mitogen(["call", "os.path.basename", "--", "-t"]).ok(), "-t\n");
    assert_eq!(mitogen(["call", "json.dumps", "[1]", "--kw", "indent=1"]).ok(), "[\n 1\n]\n");
    let deep = "[".repeat(500) + &"]".repeat(500);
    let run = mitogen(["call", "builtins.len", &deep]);
    assert_eq!((run.status, run.stderr.contains("--str")), (2, true), "{run:?}");
    assert_eq!(mitogen(["call", "--str", "builtins.len", &deep]).ok(), "1000\n");
    let big = "123456789012345678901234567890";
    assert_eq!(mitogen(["call", "operator.neg", big]).ok(), format!("-{big}\n"));
}

#[test]
fn methods_of_classes_and_objects_are_found() {
    assert_eq!(mitogen(["call", "os.environ.get", "no such variable", "5"]).ok(), "5\n");
    let dotted = mitogen(["call", "datetime.datetime.fromtimestamp", "0"]);
    // A datetime cannot be sent: that it was made is enough.
    assert_eq!(dotted.status, 1, "{dotted:?}");
    assert_eq!(mitogen(["call", "bytes.fromhex", "41"]).status, 1);
    assert_eq!(mitogen(["call", "builtins:dict.fromkeys", "[\"a\"]"]).ok(), "{\"a\": null}\n");
}

#[test]
fn named_tuples_come_as_arrays() {
    let result = mitogen(["--json", "call", "os.uname"]).result();
    assert_eq!(result["value"].as_array().map(Vec::len), Some(5), "{result}");
}

#[test]
fn bytes_that_are_no_text_become_base64() {
    let run = mitogen(["--json", "call", "binascii.unhexlify", "ff00"]);
    assert_eq!(run.result()["value"], json!({"base64": "/wA="}));
    assert_eq!(mitogen(["call", "--str", "binascii.unhexlify", "4142"]).ok(), "AB\n");
}

#[test]
fn a_result_in_json_has_the_documented_shape() {
    let run = mitogen(["--json", "call", "operator.add", "1", "2"]);
    assert_eq!(run.status, 0);
    let result = run.result();
    assert_eq!(
        (&result["target"], &result["ok"], &result["value"]),
        (&json!("local"), &json!(true), &json!(3))
    );
    assert!(result["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn an_exception_is_a_failed_call() {
    let run = mitogen(["--json", "call", "os.listdir", "/nonexistent"]);
    assert_eq!(run.status, 1);
    let result = run.result();
    let error = &result["error"];
    assert_eq!((&result["ok"], &error["kind"]), (&json!(false), &json!("call")));
    assert!(error["type"].as_str().is_some_and(|name| name.ends_with("FileNotFoundError")), "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("/nonexistent")), "{error}");

    let run = mitogen(["call", "os.listdir", "/nonexistent"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("FileNotFoundError"), "{}", run.stderr);
}

#[test]
fn the_remote_traceback_is_shown() {
    let run = mitogen(["--json", "call", "--str", "json.loads", "{"]);
    let error = &run.result()["error"];
    assert!(error["traceback"].as_str().is_some_and(|text| text.contains("json/__init__.py")), "{error}");
    let run = mitogen(["call", "--str", "json.loads", "{"]);
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("Traceback") && run.stderr.contains("json/__init__.py"), "{}", run.stderr);
}

#[test]
fn a_name_that_is_nowhere_is_a_failed_call() {
    for name in ["no_such_module_x.f", "os.no_such_function_x"] {
        let run = mitogen(["call", name]);
        assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.contains("no_such"), "{run:?}");
    }
}

#[test]
fn a_function_that_exits_or_returns_the_unsendable_fails_alone() {
    let run = mitogen(["--json", "-t", "local", "call", "sys.exit", "3"]);
    assert_eq!((run.status, &run.result()["error"]["kind"]), (1, &json!("call")), "{run:?}");
    let run = mitogen(["--json", "call", "threading.Lock"]);
    assert_eq!((run.status, &run.result()["error"]["kind"]), (1, &json!("call")), "{run:?}");
}

#[test]
fn what_a_function_prints_is_shown_on_stderr_by_target() {
    let run = mitogen(["call", "os.system", "echo hello; echo oops >&2"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "0\n"), "{run:?}");
    assert!(run.stderr.contains("local: stdout: hello\n"), "{run:?}");
    assert!(run.stderr.contains("local: stderr: oops\n"), "{run:?}");
    assert_eq!(mitogen(["-q", "call", "os.system", "echo hello"]).ok(), "0\n");
}

#[test]
fn several_targets_answer_in_their_order() {
    let Some(old) = pyenv("2.7") else {
        eprintln!("skipped: several_targets_answer_in_their_order: no Python 2.7 under pyenv");
        return;
    };
    let old = local_with(&old);
    let run = mitogen(["-t", &old, "-t", "local", "call", "platform.python_version"]);
    let text = run.ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with(&format!("{old}: 2.7."))
            && lines[1].starts_with("local: 3."),
        "{text}"
    );

    let python = old.split_once('=').unwrap().1.replace("%2F", "/");
    let text = mitogen(["--python", &python, "call", "platform.python_version"]).ok();
    assert!(text.starts_with("2.7."), "{text}");
}

#[test]
fn many_targets_run_at_once() {
    let targets = ["local"; 12].join("\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("# all of them\n{targets}\n")).unwrap();
    let path = file.path().display().to_string();
    let text = mitogen(["--targets-file", &path, "-f", "4", "call", "operator.add", "1", "2"]).ok();
    assert_eq!(text, "local: 3\n".repeat(12));
    let text = mitogen(["--targets-file", &path, "-b", "call", "operator.add", "1", "2"]).ok();
    assert!(text.contains("(12 targets): 3\n"), "{text}");
    let run = mitogen(["--targets-file", &path, "--output", "jsonl", "call", "operator.add", "1", "2"]);
    let values: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(values.len(), 12);
    assert!(values.iter().all(|result| result["value"] == 3 && result["target"] == "local"));
    let run = mitogen(["--targets-file", &path, "--json", "call", "operator.add", "1", "2"]);
    assert_eq!(run.results().len(), 12);
}

#[test]
fn targets_are_read_from_stdin() {
    use std::{io::Write, process::Stdio};
    let mut child = command(["--targets-file", "-", "call", "operator.add", "1", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"local\n  # none\nlocal # again\n").unwrap();
    assert_eq!(finish(child.wait_with_output().unwrap()).ok(), "local: 3\nlocal: 3\n");
}

#[test]
fn the_name_of_a_target_stands_in_front_of_all_that_is_said_of_it() {
    let run = mitogen(["-t", "local", "-t", "local/local", "call", "json.loads", "{"]);
    assert_eq!(run.status, 1, "{run:?}");
    let starts: Vec<&str> = run.stderr.lines().filter(|line| !line.starts_with("  ")).collect();
    assert!(starts.len() == 2 && starts[0].starts_with("mitogen: local: json."), "{run:?}");
    assert!(starts[1].starts_with("mitogen: local/local: json."), "{run:?}");
    assert_eq!(run.stderr.matches("\n  Traceback (most recent call last):\n").count(), 2, "{run:?}");
    // Alone it stands as Python has it.
    let run = mitogen(["call", "json.loads", "{"]);
    assert!(run.stderr.starts_with("Traceback (most recent call last):\n  File"), "{run:?}");
}

#[test]
fn a_long_list_of_targets_is_told_in_short() {
    let run = mitogen(["-t", "local?python=no-such-python[01-30].x", "-b", "call", "os.getpid"]);
    assert!(run.stderr.contains("local?python=no-such-python[01-30].x (30 targets): "), "{run:?}");
}

#[test]
fn one_bad_target_does_not_spoil_the_others() {
    let run = mitogen([
        "--json",
        "-t",
        "local?python=no-such-python-x",
        "-t",
        "local",
        "call",
        "operator.add",
        "1",
        "2",
    ]);
    assert_eq!(run.status, 4, "{run:?}");
    let results = run.results();
    assert_eq!(
        (&results[0]["ok"], &results[0]["error"]["kind"]),
        (&json!(false), &json!("connect")),
        "{run:?}"
    );
    assert_eq!(results[0]["error"]["hop"], "local?python=no-such-python-x", "{run:?}");
    assert_eq!(results[0]["error"]["phase"], "interpreter", "{run:?}");
    assert_eq!(results[1]["value"], 3);
}

#[test]
fn a_deadline_that_passes_has_its_own_status() {
    let run = mitogen(["--json", "--timeout", "0.5", "call", "time.sleep", "20"]);
    assert_eq!((run.status, &run.result()["error"]["kind"]), (6, &json!("timeout")), "{run:?}");
    assert!(run.result()["seconds"].as_f64().unwrap() < 15.0);
}

#[test]
fn a_context_that_is_killed_is_lost() {
    let run = mitogen(["--json", "call", "os._exit", "7"]);
    assert_eq!((run.status, &run.result()["error"]["kind"]), (4, &json!("lost")), "{run:?}");
}

#[test]
fn frames_may_go_unsigned() {
    assert_eq!(mitogen(["--unsigned", "call", "operator.add", "1", "2"]).ok(), "3\n");
}
