//! Lines that the grammar takes, and lines that it refuses.

use super::*;
use clap::CommandFactory;
use std::time::Duration;

fn parse(line: &[&str]) -> Result<(Common, Command), clap::Error> {
    Cli::try_parse_from([&["mitogen"], line].concat()).map(Cli::settle)
}

fn call(line: &[&str]) -> (Common, CallArgs) {
    match parse(line) {
        Ok((common, Command::Call(args))) => (common, args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn common_options_stand_on_either_side() {
    let (common, args) = call(&["-t", "a", "--json", "-v", "call", "-t", "b", "os.getpid", "-vv", "-f", "3"]);
    assert_eq!(common.target, ["a", "b"]);
    assert_eq!(common.form(), Form::Json);
    assert_eq!((common.verbose, common.forks), (3, Some(3)));
    assert_eq!(args.func, "os.getpid");
    let (common, args) = call(&["call", "f.g", "1", "x", "--timeout", "2.5", "y"]);
    assert_eq!(common.timeout, Some(Duration::from_millis(2500)));
    assert_eq!(args.args, ["1", "x", "y"]);
}

#[test]
fn what_stands_later_wins() {
    let (common, _) = call(&["--json", "call", "--output", "jsonl", "f.g"]);
    assert_eq!(common.form(), Form::Jsonl);
    let (common, _) = call(&["--output", "text", "call", "f.g", "--json"]);
    assert_eq!(common.form(), Form::Json);
    let (common, _) = call(&["--timeout", "1", "--timeout", "2", "call", "f.g"]);
    assert_eq!(common.timeout, Some(Duration::from_secs(2)));
}

#[test]
fn arguments_may_start_with_a_hyphen() {
    assert_eq!(call(&["call", "f.g", "-5", "-1.5e3"]).1.args, ["-5", "-1.5e3"]);
    assert_eq!(call(&["call", "f.g", "--", "-t", "--json"]).1.args, ["-t", "--json"]);
    assert_eq!(call(&["call", "f.g", "--kw", "a=-1"]).1.kw, [("a".into(), "-1".into())]);
    assert!(parse(&["call", "f.g", "--nonsense"]).is_err());
}

#[test]
fn everything_behind_the_remote_command_is_its_own() {
    for line in [&["exec", "--", "ls", "-t", "--json"][..], &["exec", "ls", "-t", "--json"]] {
        match parse(line) {
            Ok((common, Command::Exec(args))) => {
                assert_eq!(args.command, ["ls", "-t", "--json"]);
                assert!(common.target.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
    match parse(&["exec", "--shell", "-x | y", "-t", "a"]) {
        Ok((common, Command::Exec(args))) => {
            assert_eq!(
                (args.shell.as_deref(), &common.target[..]),
                (Some("-x | y".as_ref()), &["a".to_owned()][..])
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(parse(&["exec"]).is_err());
    assert!(parse(&["exec", "--shell", "x", "y"]).is_err());
}

#[test]
fn values_are_checked() {
    for bad in [
        &["call", "f.g", "--kw", "x"][..],
        &["call", "f.g", "--kw", "1x=2"],
        &["call", "f.g", "--timeout", "0"],
        &["call", "f.g", "--timeout", "inf"],
        &["call", "f.g", "-f", "0"],
        &["ping", "-c", "0"],
        &["ping", "-q", "-v"],
        &["ping", "--ssh-option", "X"],
        &["ping", "--agent", "other"],
        &["ping", "--agent", "upstream="],
        &["run"],
    ] {
        match parse(bad) {
            Err(error) => assert_eq!(error.exit_code(), 2, "{bad:?}"),
            Ok(parsed) => panic!("{bad:?} gave {parsed:?}"),
        }
    }
}

#[test]
fn every_command_shows_examples() {
    for command in Cli::command().get_subcommands_mut() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Examples:"), "{}", command.get_name());
    }
}
