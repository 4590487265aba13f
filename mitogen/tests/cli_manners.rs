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
fn an_interrupted_json_document_is_still_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("runs");
    let script = format!("echo x >> '{}'; test $(wc -l < '{0}') = 1 || exec sleep 20", file.display());
    let child = command(["-f", "1", "-t", "local", "-t", "local", "--json", "exec", "--shell", &script])
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
    assert_eq!(run.result()["value"]["status"], 0, "{run:?}");
}
