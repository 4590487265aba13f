//! `--agent upstream=DIR`: the command's contexts run the core of a package that is installed here.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, eventually, mitogen};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// The packages that `cargo xtask test` and `cargo xtask interop` have installed.
fn packages() -> Vec<String> {
    let Some(packages) = std::env::var_os("MITOGEN_UPSTREAM") else {
        println!("skipped: releases of upstream's are not installed (`cargo xtask interop` does it)");
        return Vec::new();
    };
    std::env::split_paths(&packages).map(|path| format!("upstream={}", path.display())).collect()
}

#[test]
fn functions_are_called_and_commands_run() {
    for agent in packages() {
        let pid = mitogen(["call", "os.getpid", "--agent", &agent]).ok();
        assert!(pid.trim().parse::<u32>().is_ok(), "{pid}");
        let run = mitogen(["exec", "--agent", &agent, "--shell", "echo out; echo err >&2; exit 3"]);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (3, "out\n", "err\n"), "{agent}");
    }
}

#[test]
fn contexts_stand_behind_contexts() {
    for agent in packages() {
        let tree = mitogen(["tree", "--agent", &agent, "-t", "local/local"]).ok();
        assert_eq!(tree.lines().count(), 2, "{tree}");
        let run = mitogen(["ping", "--agent", &agent, "-t", "local/local?python=%2Fno%2Fpython", "--json"]);
        assert_eq!((run.status, &run.result()["error"]["kind"]), (4, &"connect".into()), "{run:?}");
    }
}

#[test]
fn what_needs_our_agent_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a directory");
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    std::fs::write(&here, "content").expect("a file");
    let paths = [&here, &there].map(|path| path.to_str().expect("text"));
    for agent in packages() {
        let run = mitogen(["put", "--agent", &agent, paths[0], paths[1]]);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains("runs upstream's core"), "{run:?}");
    }
}

#[test]
fn contexts_end_with_a_command_that_is_killed() {
    for agent in packages() {
        let folder = tempfile::tempdir().expect("a directory");
        let note = folder.path().join("pids");
        // The context that runs it, and the one that leads there.
        let parent = "sed 's/.*) //' /proc/$PPID/stat | cut -d' ' -f2";
        let wait = format!("(echo $PPID; {parent}) > {}; sleep 600", note.display());
        let args = ["-t", "local/local", "exec", "--agent", &agent, "--shell", &wait];
        let mut run = command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        let limit = Duration::from_secs(60);
        let pids = eventually("the command runs", limit, || {
            let text = std::fs::read_to_string(&note).unwrap_or_default();
            let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (pids.len() == 2).then_some(pids)
        });
        run.kill().expect("it is ours");
        run.wait().expect("it is ours");
        for pid in pids {
            eventually("a context ends", limit, || {
                (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
            });
        }
    }
}

#[test]
fn a_directory_without_the_package_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a directory");
    let run = mitogen(["call", "os.getpid", "--agent", &format!("upstream={}", folder.path().display())]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.contains("mitogen package"), "{run:?}");
    assert_eq!(mitogen(["ping", "--agent", "somebody"]).status, 2);
}
