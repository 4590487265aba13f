//! The command's manners: usage errors, help, pipes that close, Ctrl-C.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, eventually, finish, mitogen};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

#[test]
fn bad_usage_ends_with_2_and_says_what_is_wrong() {
    for (args, told) in [
        (&["call"][..], "FUNC"),
        (&["call", "getpid"], "names no module"),
        (&["call", "os.getpid", "--nonsense"], "--nonsense"),
        (&["call", "os.getpid", "--kw", "x"], "NAME=VALUE"),
        (&["exec"], "CMD"),
        (&["-t", "telnet:root", "ping"], "available: local, ssh, sudo"),
        (&["-t", "ssh:a/", "ping"], "%2F"),
        (&["-t", "ssh:w[2-1]", "ping"], "backwards"),
        (&["-t", "local?colour=red", "ping"], "it takes: python"),
        (&["--targets-file", "/nonexistent/x", "ping"], "/nonexistent/x"),
        (&["--password-file", "/nonexistent/x", "-t", "ssh:a", "ping"], "/nonexistent/x"),
        (&["--timeout", "-1", "ping"], "timeout"),
        (&["man", "nonsense"], "doctor"),
        (&["nonsense"], "nonsense"),
    ] {
        let run = mitogen(args);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(told), "{args:?}: {run:?}");
    }
}

#[test]
fn help_goes_to_stdout_with_examples() {
    for command in ["call", "exec", "ping", "doctor", "completions", "man"] {
        assert!(mitogen([command, "--help"]).ok().contains("Examples:"), "{command}");
    }
    assert!(mitogen(["--version"]).ok().starts_with("mitogen "));
    assert!(mitogen(["man"]).ok().contains(".TH"));
    assert!(mitogen(["completions", "bash"]).ok().contains("mitogen"));
}

#[test]
fn a_pipe_that_closes_ends_the_command_quietly() {
    for args in [
        &["--help"][..],
        &["man"],
        &["completions", "zsh"],
        &["call", "os.getpid"],
        &["--json", "call", "os.uname"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let run = finish(output);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn colours_come_only_when_asked_for() {
    let failing = ["call", "os.listdir", "/nonexistent"];
    assert!(!mitogen(failing).stderr.contains('\x1b'));
    assert!(mitogen(["--color", "always"].iter().chain(&failing)).stderr.contains('\x1b'));
    assert!(!mitogen(["--color", "never"].iter().chain(&failing)).stderr.contains('\x1b'));
}

/// A run whose context works for longer than anybody waits; and the context's process.
fn busy(directory: &tempfile::TempDir) -> (Child, Pid) {
    let file = directory.path().join("pid");
    let script = format!("echo $PPID > '{0}.new' && mv '{0}.new' '{0}'; exec sleep 20", file.display());
    let child =
        command(["exec", "--shell", &script]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = eventually("the command runs", Duration::from_secs(30), || {
        std::fs::read_to_string(&file).ok()?.trim().parse().ok().and_then(Pid::from_raw)
    });
    (child, pid)
}

#[test]
fn ctrl_c_ends_the_command_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let (child, context) = busy(&directory);
    let start = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let run = finish(child.wait_with_output().unwrap());
    assert_eq!(run.status, 130, "{run:?}");
    assert!(run.stderr.contains("interrupted: 0 of 1 targets done"), "{run:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(test_kill_process(context).is_err(), "the context is still there");
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (child, context) = busy(&directory);
    // A context that does not listen: ending it in good order takes as long as the grace.
    kill_process(context, Signal::STOP).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let run = finish(child.wait_with_output().unwrap());
    let took = start.elapsed();
    let _ = kill_process(context, Signal::KILL);
    assert_eq!(run.status, 130, "{run:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn an_interrupted_json_document_names_what_was_not_done() {
    // The second one is at work when the interrupt comes, the third was not begun.
    for (form, jsonl) in [("--json", false), ("--output=jsonl", true)] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("runs");
        let script = format!("echo x >> '{}'; test $(wc -l < '{0}') = 1 || exec sleep 20", file.display());
        let targets = ["-f", "1", "-t", "local?name=[1-3]"];
        let child = command(targets.into_iter().chain([form, "exec", "--shell", &script]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the second one runs", Duration::from_secs(30), || {
            (std::fs::read_to_string(&file).ok()?.lines().count() == 2).then_some(())
        });
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let run = finish(child.wait_with_output().unwrap());
        assert_eq!(run.status, 130, "{run:?}");
        assert!(run.stderr.contains("interrupted: 1 of 3 targets done"), "{run:?}");
        let results = match jsonl {
            true => run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            false => run.results(),
        };
        check_cut(&results, &["local?name=1", "local?name=2", "local?name=3"], &run);
        assert_eq!(results[0]["value"]["status"], 0, "{run:?}");
    }
}

/// The first of these targets was done, the others were not, and each says so.
#[track_caller]
fn check_cut(results: &[serde_json::Value], targets: &[&str], run: &cli_support::Run) {
    let names: Vec<_> = results.iter().map(|result| result["target"].as_str().unwrap()).collect();
    assert_eq!(names, targets, "{run:?}");
    assert_eq!(results[0]["ok"], true, "{run:?}");
    for result in &results[1..] {
        assert_eq!(result["ok"], false, "{run:?}");
        assert_eq!(result["error"]["kind"], "call", "{run:?}");
        assert!(result["error"]["message"].as_str().unwrap().contains("interrupted"), "{run:?}");
    }
}

#[test]
fn an_interrupted_transfer_names_what_was_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("a"), "a").unwrap();
    // What starts in the place of an interpreter, and never is one.
    std::fs::write(at("python"), format!("#!/bin/sh\necho > '{}'; exec sleep 20\n", at("busy"))).unwrap();
    std::fs::set_permissions(at("python"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let dumb = cli_support::local_with(at("python").as_ref());
    for work in [&["put", &at("a"), &at("b")][..], &["get", &at("a"), &at("c")], &["call", "os.getpid"]] {
        let _ = std::fs::remove_file(at("busy"));
        let targets = ["-f", "1", "-t", "local", "-t", &dumb, "-t", "local?name=3", "--json"];
        let mut run = command(targets.iter().chain(work));
        let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the second one begins", Duration::from_secs(30), || {
            std::path::Path::new(&at("busy")).exists().then_some(())
        });
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let run = finish(child.wait_with_output().unwrap());
        assert_eq!(run.status, 130, "{work:?}: {run:?}");
        check_cut(&run.results(), &["local", &dumb, "local?name=3"], &run);
    }
}

#[test]
fn a_result_that_nobody_can_have_is_an_error() {
    let closed = |redirection: &str, args: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" \"$@\" {redirection}")]);
        shell.arg(command([""; 0]).get_program()).args(args);
        finish(shell.stdin(Stdio::null()).output().unwrap())
    };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("a"), "a").unwrap();
    for args in [
        &["call", "os.getpid"][..],
        &["--json", "call", "os.getpid"],
        &["--output", "jsonl", "call", "os.getpid"],
        &["exec", "echo", "x"],
        &["-b", "exec", "echo", "x"],
        &["-t", "local?name=[1-2]", "exec", "echo", "x"],
        &["ping", "-c", "1"],
        &["tree"],
        &["man"],
        &["get", &at("a"), "/dev/stdout"],
    ] {
        let run = closed(">&-", args);
        // What cannot be done is known before anything is done.
        let status = if args[0] == "get" { 2 } else { 70 };
        assert_eq!((run.status, run.stderr.contains("closed")), (status, true), "{args:?}: {run:?}");
        // Who throws it away on purpose may.
        let run = closed(">/dev/null", args);
        assert_eq!(run.status, 0, "{args:?}: {run:?}");
    }
    // Where there is nothing to say nothing is lost.
    assert_eq!(closed(">&-", &["put", &at("a"), &at("b")]).ok(), "");
    assert_eq!(closed(">&-", &["exec", "true"]).ok(), "");
    let run = closed("<&-", &["put", "/dev/stdin", &at("c")]);
    assert_eq!((run.status, run.stderr.contains("closed")), (2, true), "{run:?}");
    assert!(!directory.path().join("c").exists());
}
