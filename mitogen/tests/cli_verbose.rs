//! What `-v`, `-vv` and `-vvv` show, and what nothing ever shows.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::mitogen;

/// An argument that must not be seen in any log, and a result likewise.
const SECRET: &str = "correct horse battery staple";

fn logs(verbosity: &str, args: &[&str]) -> String {
    let run = mitogen([verbosity].iter().chain(args));
    assert_eq!(run.status, 0, "{run:?}");
    assert!(!run.stderr.contains(SECRET), "{run:?}");
    run.stderr
}

#[test]
fn each_level_shows_what_it_promises() {
    let call = ["-t", "local/local", "call", "operator.concat", SECRET, "!"];
    let phases = logs("-v", &call);
    assert!(phases.contains("phase first stage") && phases.contains("local/local: connected"), "{phases}");
    assert!(!phases.contains("mitogen::protocol"), "{phases}");

    let protocol = logs("-vv", &call);
    for what in [
        "context 1: local: running [\"sh\"",
        "context 1: local: phase agent after ",
        "route to 1 added, via 1",
        "context 1 is sent module mitogen.spawn, ",
        "context 2 (local.local) is connected, a child of 1",
        "route to 2 removed, via 1",
        "context 2 (local.local) has ended",
        "context 1 (local) has ended",
    ] {
        assert!(protocol.contains(what), "no {what:?} in {protocol}");
    }
    // Nothing was lost: the end was asked for.
    assert!(!protocol.contains("lost") && !protocol.contains("mitogen::frame"), "{protocol}");

    let frames = logs("-vvv", &call);
    for what in ["to link 1: 0 -> 2 Handle(101, CALL_FUNCTION), answer to ", "from link 1: 2 -> 0 Handle(1"] {
        assert!(frames.contains(what), "no {what:?} in {frames}");
    }
}

#[test]
fn a_context_that_goes_unasked_is_lost() {
    let run = mitogen(["-vv", "call", "os._exit", "7"]);
    assert_eq!(run.status, 4, "{run:?}");
    assert!(run.stderr.contains("context 1 (local) is lost: it closed the link"), "{run:?}");
}
