//! Targets of several hops: connected one behind the other, shared where they are the same.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, eventually, finish, local_with, mitogen, pyenv, ssh_config, testbed};
use std::time::{Duration, Instant};

#[test]
fn a_function_is_called_at_the_last_hop() {
    assert_eq!(mitogen(["-t", "local/local/local", "call", "operator.add", "1", "2"]).ok(), "3\n");
    let (Some(old), Some(new)) = (pyenv("2.7"), pyenv("3.12")) else {
        return eprintln!("SKIPPED: python2.7 or python3.12 is missing");
    };
    let target = format!("{}/{}", local_with(&old), local_with(&new));
    let run = mitogen(["-t", &target, "call", "platform.python_version"]);
    assert!(run.ok().starts_with("3.12."));
    let target = format!("{}/{}", local_with(&new), local_with(&old));
    let run = mitogen(["-t", &target, "call", "platform.python_version"]);
    assert!(run.ok().starts_with("2.7."));
}

#[test]
fn a_shared_prefix_is_connected_once() {
    let targets = ["-t", "local", "-t", "local/local", "-t", "local/local", "-t", "local/local/local"];
    let run = mitogen(targets.into_iter().chain(["--json", "tree"]));
    let results = run.results();
    let rows = |at: usize| results[at]["value"].as_array().unwrap_or_else(|| panic!("{run:?}")).clone();
    assert_eq!([rows(0).len(), rows(1).len(), rows(2).len(), rows(3).len()], [1, 2, 2, 3]);
    for at in 1..4 {
        assert_eq!(rows(at)[0], rows(0)[0], "{run:?}");
    }
    assert_ne!(rows(1)[1]["pid"], rows(2)[1]["pid"], "a target named twice is two contexts");
    assert_eq!(rows(3)[1], rows(1)[1]);
    assert_eq!(rows(3)[2]["parent"], rows(3)[1]["id"]);
    assert_eq!(rows(3)[2]["target"], "local/local/local");
    let text = mitogen(["-t", "local/local", "tree"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("local  id 1 "), "{text}");
    assert!(lines[1].starts_with("  local  id 2 "), "{text}");
    // Of several targets it is one tree.
    let text = mitogen(["-t", "local/local", "-t", "local", "-t", "local/local/local", "tree"]).ok();
    let depths: Vec<usize> = text.lines().map(|line| line.len() - line.trim_start().len()).collect();
    assert_eq!(depths, [0, 2, 4], "{text}");
}

/// A target of five hops: old and new Pythons in turns, where this machine has them.
fn five_deep() -> Vec<String> {
    let hop = |version| pyenv(version).map_or_else(|| "local".to_owned(), |python| local_with(&python));
    let hops = ["3.12", "2.7", "3.6", "2.7", "3.13"].map(hop);
    (1..=hops.len()).map(|depth| hops[..depth].join("/")).collect()
}

#[test]
fn a_tree_of_five_levels_is_shown() {
    let target = five_deep().pop().expect("five");
    let text = mitogen(["-t", &target, "tree"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    for (depth, line) in lines.iter().enumerate() {
        let start = format!("{}local  id {}  pid ", "  ".repeat(depth), depth + 1);
        assert!(line.starts_with(&start), "{text}");
    }
}

/// The children of a process that are contexts.
fn contexts_below(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let is_context = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("(mitogen:")
    };
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(is_context).collect()
}

#[test]
fn a_hop_that_is_killed_fails_all_that_waits_behind_it_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let targets = five_deep();
    let mut args: Vec<&str> = targets.iter().flat_map(|target| ["-t", target]).collect();
    // Each says that it is there, and waits; the first two until the others have failed.
    let place = folder.path().display();
    let code = format!(
        "open('{place}/%d' % os.getpid(), 'w').close()\nwhile not os.path.exists('{place}/go'): time.sleep(.02)"
    );
    // In every Python there is.
    let call = ["call", "timeit.timeit", &code, "import os, time", "--kw", "number=1"];
    args.extend(["--output", "jsonl"].into_iter().chain(call));
    let piped = std::process::Stdio::piped;
    let mut process = command(&args).stdout(piped()).stderr(piped()).spawn().expect("the command was built");
    let entries = || std::fs::read_dir(folder.path()).expect("a folder").count();
    eventually("all wait", Duration::from_secs(60), || (entries() == 5).then_some(()));
    let mut pids = vec![process.id()];
    while let [pid] = contexts_below(*pids.last().expect("one"))[..] {
        pids.push(pid);
    }
    assert_eq!(pids.len(), 6, "{pids:?}");
    let start = Instant::now();
    let victim = rustix::process::Pid::from_raw(i32::try_from(pids[3]).expect("a pid")).expect("a pid");
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).expect("killed");
    // Their results come as soon as there are any.
    let mut out = std::io::BufReader::new(process.stdout.take().expect("a pipe"));
    let mut results: Vec<serde_json::Value> = Vec::new();
    while results.len() < 5 {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
        results.push(serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}")));
        if results.len() == 3 {
            eprintln!("all three after {:?}", start.elapsed());
            std::fs::write(folder.path().join("go"), "").expect("written");
        }
    }
    let finished = finish(process.wait_with_output().expect("its end"));
    assert_eq!(finished.status, 4, "{finished:?}");
    results.sort_by_key(|result| result["target"].as_str().unwrap_or_default().len());
    for (result, target) in results.iter().zip(&targets) {
        assert_eq!(result["target"], **target);
    }
    for result in &results[..2] {
        assert!(result["value"].is_number(), "{results:?}");
    }
    for result in &results[2..] {
        assert_eq!(
            (&result["error"]["kind"], &result["error"]["phase"]),
            (&"lost".into(), &().into()),
            "{results:?}"
        );
    }
    for pid in &pids[3..] {
        let gone = || {
            (!contexts_below(pids[2]).contains(pid)
                && !std::path::Path::new(&format!("/proc/{pid}")).exists())
            .then_some(())
        };
        eventually("it is gone", Duration::from_secs(10), gone);
    }
}

#[test]
fn the_hop_that_failed_is_named() {
    let wrong = "local?python=%2Fnonexistent%2Fpython";
    let targets =
        ["-t".to_owned(), format!("local/{wrong}/local"), "-t".to_owned(), format!("local/{wrong}")];
    let run =
        mitogen(targets.iter().map(String::as_str).chain(["-t", "local", "--json", "call", "os.getpid"]));
    assert_eq!(run.status, 4, "{run:?}");
    let results = run.results();
    for result in &results[..2] {
        let error = &result["error"];
        assert_eq!(
            (error["kind"].as_str(), error["hop"].as_str()),
            (Some("connect"), Some(wrong)),
            "{run:?}"
        );
        assert_eq!(error["phase"], "interpreter");
    }
    assert_eq!(results[2]["ok"], true);
}

#[test]
fn a_host_may_be_behind_another() {
    let Some(testbed) = testbed("a_host_may_be_behind_another") else { return };
    let config = ssh_config(&testbed).display().to_string();
    let run = mitogen(["-F", &config, "-t", "ssh:tb_dash/local", "exec", "id", "-un"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "tb_dash\n"), "{run:?}");
    // The same account cannot read what the next ssh would need: the failure is that hop's.
    let run =
        mitogen(["-F", &config, "-t", "ssh:tb_dash/ssh:nowhere.invalid", "--json", "call", "os.getpid"]);
    let error = &run.result()["error"];
    assert_eq!(error["hop"], "ssh:nowhere.invalid", "{run:?}");
    assert!(run.status == 4 || run.status == 5, "{run:?}");
}

#[test]
fn a_wrong_password_reads_the_same_behind_other_hops() {
    let Some(testbed) = testbed("a_wrong_password_reads_the_same_behind_other_hops") else { return };
    let config = ssh_config(&testbed).display().to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong\n").unwrap();
    let path = file.path().display().to_string();
    let targets = ["-t", "ssh:tb_pw", "-t", "local/local/ssh:tb_pw"];
    let options = ["-F", &config, "--password-file", &path, "--json"];
    let run = mitogen(options.into_iter().chain(targets).chain(["call", "os.getpid"]));
    let results = run.results();
    assert_eq!(results[0]["error"]["kind"], "auth", "{run:?}");
    assert_eq!(results[0]["error"], results[1]["error"]);
    assert_eq!(run.status, 5);
}
