//! The boot command's text, and what the shells that people log in with make of it.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "support/birth.rs"]
mod birth;
#[path = "../../mitogen-wire/tests/support/mod.rs"]
mod support;

use birth::Birth;
use mitogen_bootstrap::{Interpreter, boot_command};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Shells, and the arguments that make them take a command.
const SHELLS: [&[&str]; 11] = [
    &["sh"],
    &["bash"],
    &["dash"],
    &["tcsh"],
    &["csh"],
    &["zsh"],
    &["fish"],
    &["ksh"],
    &["mksh"],
    &["yash"],
    &["busybox", "sh"],
];

/// A first stage that only says that it runs, with an odd letter or two.
const STAGE: &[u8] = b"import os\nos.write(1,'born\\n'.encode())\0";

fn named(words: &[&str]) -> Vec<String> {
    boot_command(&Interpreter::Named(words.iter().map(|&word| word.to_owned()).collect()))
}

fn on_path(program: &str) -> bool {
    let search = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&search).any(|directory| directory.join(program).exists())
}

/// A directory that holds nothing but this interpreter, as `name`.
fn only(name: &str) -> Option<tempfile::TempDir> {
    let wanted = |python: &support::Python| python.version.starts_with('2') == (name == "python2");
    let python = support::pythons().into_iter().find(wanted)?;
    let directory = tempfile::tempdir().expect("a temporary directory");
    symlink(&python.path, directory.path().join(name)).expect("a link");
    Some(directory)
}

/// Starts `command` with a search path of that directory and the system's own.
fn start(mut command: Command, path: &Path) -> Birth {
    command.env("PATH", path);
    Birth::start(command, false)
}

#[test]
fn its_text_is_constant() {
    let read = "import sys;sys.path[0]or sys.path.pop(0);import os,select;exec(str().join(iter(lambda:select.select([0],[],[])and \
                chr(ord(os.read(0,1)or os._exit(61))),chr(0))))";
    let discover = format!(
        "export PYTHONSAFEPATH=1;for p in python3 python python2 /usr/libexec/platform-python;do command -v $p&&\
         echo EC0&&exec $p -Sc \"{read}\";done;echo EC9"
    );
    assert_eq!(boot_command(&Interpreter::Discover), ["sh", "-c", &discover]);
    assert_eq!(boot_command(&Interpreter::Named(Vec::new())), ["sh", "-c", &discover]);
    let exec = format!("export PYTHONSAFEPATH=1;echo EC0&&exec \"$0\" \"$@\" -Sc \"{read}\"");
    assert_eq!(named(&["python2.7"]), ["sh", "-c", &exec, "python2.7"]);
    assert_eq!(named(&["env", "-i", "python3"]), ["sh", "-c", &exec, "env", "-i", "python3"]);
}

#[test]
fn it_is_short_and_needs_no_escape() {
    for command in [boot_command(&Interpreter::Discover), named(&["python3"])] {
        let script = &command[2];
        assert!(script.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"'\\!#".contains(&b)), "{script}");
    }
    let script = &boot_command(&Interpreter::Discover)[2];
    let ssh = "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oServerAliveInterval=15 foo";
    let whole = format!("{ssh} exec sh -c '{script}'");
    println!("command_bytes: {}", whole.len());
    assert!(whole.len() <= 400, "{} bytes: {whole}", whole.len());
}

#[test]
fn between_single_quotes_it_survives_every_login_shell() {
    let Some(directory) = only("python3") else { return };
    let system = std::env::var_os("PATH").unwrap_or_default();
    let mut path = vec![directory.path().to_owned()];
    path.extend(std::env::split_paths(&system));
    let path = std::env::join_paths(path).expect("a search path");
    for shell in SHELLS {
        if !on_path(shell[0]) {
            eprintln!("SKIPPED: {} is not on this machine", shell[0]);
            continue;
        }
        for words in [&[] as &[&str], &["python3"]] {
            let argv = named(words);
            let text = format!("exec sh -c '{}' {}", argv[2], argv[3..].join(" "));
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg("-c").arg(text);
            let mut birth = start(command, Path::new(&path));
            birth.expect("EC0");
            assert!(birth.feed(STAGE));
            birth.expect("born");
            birth.end();
        }
    }
}

#[test]
fn it_finds_the_interpreter_whatever_its_name() {
    for name in ["python3", "python", "python2"] {
        let Some(directory) = only(name) else { continue };
        let mut command = Command::new("/bin/sh");
        command.args(&boot_command(&Interpreter::Discover)[1..]);
        let mut birth = start(command, directory.path());
        birth.expect("EC0");
        let path = directory.path().join(name);
        assert_eq!(String::from_utf8_lossy(&birth.seen), format!("{}\nEC0\n", path.display()));
        assert!(birth.feed(STAGE));
        birth.expect("born");
        birth.end();
    }
}

#[test]
fn without_an_interpreter_it_says_so() {
    if Path::new("/usr/libexec/platform-python").exists() {
        eprintln!("SKIPPED: this machine cannot be without Python");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new("/bin/sh");
    command.args(&boot_command(&Interpreter::Discover)[1..]);
    let mut birth = start(command, directory.path());
    birth.end();
    assert_eq!(birth.seen, b"EC9\n");
}

#[test]
fn a_named_interpreter_that_is_missing_ends_the_shell() {
    let argv = named(&["/nonexistent/py thon's"]);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]);
    let mut birth = Birth::start(command, false);
    let status = birth.end();
    assert_eq!(birth.seen, b"EC0\n");
    assert!(matches!(status.code(), Some(126 | 127)), "{status}");
}
