//! Targets of several hops: connected one behind the other, shared where they are the same.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{local_with, mitogen, pyenv, ssh_config, testbed};

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
