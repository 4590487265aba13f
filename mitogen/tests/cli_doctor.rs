//! `mitogen doctor` and `mitogen ping`.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{Run, mitogen, ssh_config, testbed};
use serde_json::{Value, json};
use std::{io::Write, path::Path};

#[test]
fn a_ping_measures_round_trips() {
    let text = mitogen(["ping", "-c", "5"]).ok();
    assert!(
        text.starts_with("5 round trips: min ") && text.contains("median") && text.contains("p99"),
        "{text}"
    );
    let result = mitogen(["--json", "ping", "-c", "5"]).result();
    let times = &result["value"];
    assert_eq!(times["count"], 5);
    let [min, median, p99] = ["min_us", "median_us", "p99_us"].map(|name| times[name].as_f64().unwrap());
    assert!(0.0 < min && min <= median && median <= p99, "{times}");
}

/// The verdicts by phase.
#[track_caller]
fn verdicts(run: &Run) -> Vec<(String, String)> {
    let result = run.result();
    let phases = result["value"]["phases"].as_array().unwrap_or_else(|| panic!("{run:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    phases.iter().map(|phase| (text(&phase["phase"]), text(&phase["verdict"]))).collect()
}

#[test]
fn a_healthy_target_passes_every_phase() {
    let text = mitogen(["doctor"]).ok();
    for phase in ["resolve", "auth", "interpreter", "first stage", "agent", "first call"] {
        assert!(text.lines().any(|line| line.starts_with(phase)), "{text}");
    }
    assert!(text.contains("Python 3."), "{text}");
    let run = mitogen(["--json", "doctor"]);
    let verdicts: Vec<String> = verdicts(&run).into_iter().map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, ["none", "none", "ok", "ok", "ok", "ok"], "{run:?}");
}

#[test]
fn a_missing_interpreter_is_named() {
    let run = mitogen(["--json", "--python", "no-such-python-x", "doctor"]);
    assert_eq!(run.status, 4, "{run:?}");
    assert_eq!(run.result()["error"]["kind"], "connect");
    let verdicts = verdicts(&run);
    assert_eq!(verdicts[2], ("interpreter".to_owned(), "failed".to_owned()), "{run:?}");
    assert_eq!(verdicts[5].1, "not-reached");
    let run = mitogen(["--python", "no-such-python-x", "doctor"]);
    assert_eq!(run.status, 4);
    assert!(run.stdout.contains("FAILED") && run.stdout.contains("no-such-python-x"), "{run:?}");
}

/// The failed phase, kind, and everything said about it, of an examination over ssh.
#[track_caller]
fn diagnosis(testbed: &Path, args: &[&str]) -> (i32, String, String, String) {
    let config = ssh_config(testbed).display().to_string();
    let run =
        mitogen(["--json", "--connect-timeout", "20", "-F", &config].iter().chain(args).chain(&["doctor"]));
    let failed = verdicts(&run).into_iter().find(|(_, verdict)| verdict == "failed").map(|(phase, _)| phase);
    let error = run.result()["error"].clone();
    let kind = error["kind"].as_str().unwrap_or_default().to_owned();
    (run.status, failed.unwrap_or_default(), kind, format!("{error}"))
}

#[test]
fn each_cause_over_ssh_is_named() {
    let Some(testbed) = testbed("each_cause_over_ssh_is_named") else { return };
    let (status, phase, kind, text) = diagnosis(&testbed, &["-t", "ssh:tb_dash", "-o", "Port=1"]);
    assert_eq!((status, phase.as_str(), kind.as_str()), (4, "auth", "connect"), "{text}");
    assert!(text.contains("refused"), "{text}");

    let mut password = tempfile::NamedTempFile::new().unwrap();
    password.write_all(b"not-the-password\n").unwrap();
    let path = password.path().display().to_string();
    let (status, phase, kind, text) = diagnosis(&testbed, &["-t", "ssh:tb_pw", "--password-file", &path]);
    assert_eq!((status, phase.as_str(), kind.as_str()), (5, "auth", "auth"), "{text}");
    assert!(text.contains("password") && !text.contains("not-the-password"), "{text}");

    let wrong = format!("UserKnownHostsFile={}", testbed.join("ssh/known_hosts_wrong").display());
    let (status, phase, kind, text) = diagnosis(&testbed, &["-t", "ssh:tb_dash", "-o", &wrong]);
    assert_eq!((status, phase.as_str(), kind.as_str()), (5, "auth", "host-key"), "{text}");

    // Whole sentences, from the first.
    assert!(text.contains("\"seen\":[\"WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\""), "{text}");

    for account in ["ssh:tb_nologin", "ssh:tb_sftp"] {
        let (status, phase, kind, text) = diagnosis(&testbed, &["-t", account]);
        assert_eq!((status, phase.as_str(), kind.as_str()), (4, "interpreter", "connect"), "{text}");
    }

    let (status, phase, _, text) = diagnosis(&testbed, &["-t", "ssh:tb_dash", "-o", "StdinNull=yes"]);
    assert_eq!((status, phase.as_str()), (4, "resolve"), "{text}");

    let (status, phase, kind, text) =
        diagnosis(&testbed, &["-t", "ssh:tb_dash", "--python", "no-such-python-x"]);
    assert_eq!((status, phase.as_str(), kind.as_str()), (4, "interpreter", "connect"), "{text}");
    assert!(text.contains("no-such-python-x"), "{text}");

    let (status, phase, kind, text) = diagnosis(&testbed, &["-t", "ssh:no-such-host.invalid"]);
    assert_eq!((status, phase.as_str(), kind.as_str()), (4, "resolve", "connect"), "{text}");
}

#[test]
fn a_healthy_target_over_ssh_passes_every_phase() {
    let Some(testbed) = testbed("a_healthy_target_over_ssh_passes_every_phase") else { return };
    let config = ssh_config(&testbed).display().to_string();
    let run = mitogen(["--json", "-F", &config, "-t", "ssh:tb_dash", "doctor"]);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(verdicts(&run).iter().all(|(_, verdict)| verdict == "ok"), "{run:?}");
    // The login shell looks for the interpreter: there is no time of its own to tell.
    let result = run.result();
    let phases = result["value"]["phases"].as_array().unwrap().iter();
    let untimed: Vec<&Value> = phases.filter(|row| row["ms"].is_null()).map(|row| &row["phase"]).collect();
    assert_eq!(untimed, ["interpreter"], "{run:?}");
    assert_eq!(run.result()["error"], json!(null));
}
