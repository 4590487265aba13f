//! The texts in `scenarios` (its README tells their language), replayed: what the agent's library does, the
//! forwarder does, and the reverse.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use mitogen_importer::{Forwarder, Step};
use mitogen_wire::ContextId;
use std::path::{Path, PathBuf};

fn link(word: &str) -> ContextId {
    ContextId(word.parse().unwrap_or_else(|_| panic!("{word:?} is no number")))
}

/// Carries one statement out. A part of a bundle is what a scenario calls it.
fn play(forwarder: &mut Forwarder<String>, statement: &str) {
    let words: Vec<&str> = statement.split_whitespace().collect();
    match words[0] {
        "ask" => forwarder.handle_request(link(words[1]), words[2]),
        "own" => forwarder.want(words[1]),
        "bundle" => {
            let count = words[2].trim_end_matches(':');
            let total: usize = count.parse().expect("a number of parts");
            let names: Vec<&str> = words[3..].iter().map(|name| name.trim_start_matches('-')).collect();
            for part in 1..=total {
                let names = if part == total { &names[..] } else { &[] };
                forwarder.handle_part(words[1], names, format!("{} {part}/{total}", words[1]), part == total);
            }
        }
        "part" => {
            let count = words[2].trim_end_matches(':');
            let (part, total) = count.split_once('/').expect("which part of how many");
            let names: Vec<&str> = words[3..].iter().map(|name| name.trim_start_matches('-')).collect();
            forwarder.handle_part(words[1], &names, format!("{} {count}", words[1]), part == total);
        }
        "lost" => forwarder.handle_link_down(link(words[1])),
        "orphan" => forwarder.handle_parent_down(),
        _ => panic!("no such statement"),
    }
}

/// All that came of it, as the lines that a scenario has for it.
fn outcome(forwarder: &mut Forwarder<String>) -> Vec<String> {
    let steps = std::iter::from_fn(|| forwarder.poll_output());
    let line = |step| match step {
        Step::Ask(name) => format!("up {name}"),
        Step::Pass { link, part } => format!("to {link}: {part}"),
        Step::End { link, name } => format!("end {link}: {name}"),
        Step::Deny { link, name } => format!("deny {link}: {name}"),
    };
    let mut lines: Vec<String> = steps.map(line).collect();
    lines.sort();
    lines
}

fn replay(path: &Path) {
    let story = std::fs::read_to_string(path).expect("a scenario");
    let lines = story.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines: Vec<(usize, &str)> =
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    let expects = |line: &str| ["up ", "to ", "end ", "deny "].iter().any(|verb| line.starts_with(verb));
    let mut forwarder = Forwarder::new();
    let mut rest = &lines[..];
    while let [(number, statement), more @ ..] = rest {
        let count = more.iter().take_while(|(_, line)| expects(line)).count();
        let mut expected: Vec<&str> = more[..count].iter().map(|(_, line)| *line).collect();
        expected.sort_unstable();
        play(&mut forwarder, statement);
        assert_eq!(outcome(&mut forwarder), expected, "{}, line {number}: {statement}", path.display());
        rest = &more[count..];
    }
}

#[test]
fn every_scenario_ends_as_it_says() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = 0;
    for entry in std::fs::read_dir(directory).expect("the scenarios") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            replay(&path);
            played += 1;
        }
    }
    assert!(played >= 3, "{played} scenarios found");
}
