//! docs/migrating.md: what it shows of upstream's Python and of the command runs as it stands there, with targets on
//! this machine in place of `web1` and the others. (Its Rust runs as doc tests.)
#![cfg(feature = "cli")]

mod cli_support;
mod upstream_support;

use cli_support::{eventually, finish};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use upstream_support::{NEW, package, program, pythons};

const LONG: Duration = Duration::from_secs(60);
const PAGE: &str = include_str!("../../docs/migrating.md");

/// The blocks of a language, each with the heading above it.
fn blocks(language: &str) -> Vec<(&'static str, String)> {
    let (mut heading, mut found, mut within) = ("", Vec::new(), None);
    for line in PAGE.lines() {
        match (line.trim_start().strip_prefix("```"), &mut within) {
            (Some(_), Some(_)) => within = None,
            (Some(name), None) => {
                within = Some(name);
                if name == language {
                    found.push((heading, String::new()));
                }
            }
            (None, Some(name)) if *name == language => {
                let (_, text) = found.last_mut().expect("a block");
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => heading = line.strip_prefix("## ").unwrap_or(heading),
            _ => {}
        }
    }
    found
}

/// The blocks below a heading.
fn below(language: &str, heading: &str) -> Vec<String> {
    let found: Vec<String> =
        blocks(language).into_iter().filter(|(above, _)| *above == heading).map(|(_, text)| text).collect();
    assert!(!found.is_empty(), "no {language} below {heading:?}");
    found
}

/// A place with what the commands and programs of the page want.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a directory");
    for directory in ["site", "lib", "www"] {
        std::fs::create_dir(place.path().join(directory)).expect("a new directory");
    }
    let install = "def install(version):\n    return 'installed ' + version\n\nif __name__ == \"__main__\":\n    pass\n";
    for (name, text) in
        [("site/index.html", "hello"), ("syslog", "one\ntwo\n"), ("install.py", install), ("tool", TOOL)]
    {
        std::fs::write(place.path().join(name), text).expect("a file");
    }
    place
}

/// What `{}` in a shell line stands for: targets here.
fn here(line: &str) -> String {
    let line = line.split("   #").next().unwrap_or_default();
    line.replace("ssh:bastion/ssh:db1/sudo:root --ask-become-pass", "local/local/local")
        .replace("'ssh:web[01-20]'", "local")
        .replace("ssh:web1", "local")
        .replace("ssh:web2", "local")
        .replace("/srv/www", "\"$PWD/www\"")
        .replace("/var/log/syslog", "\"$PWD/syslog\"")
}

fn shell(place: &Path, line: &str) -> Command {
    let directory = Path::new(env!("CARGO_BIN_EXE_mitogen")).parent().expect("a directory");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(directory.to_owned()).chain(std::env::split_paths(&path)));
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(place).env("HOME", place).stdin(Stdio::null());
    command.env("PATH", path.expect("a path")).env_remove("PYTHONPATH");
    // The interpreters of this machine may lie below the home that was.
    if let (None, Some(home)) = (std::env::var_os("PYENV_ROOT"), std::env::var_os("HOME")) {
        command.env("PYENV_ROOT", Path::new(&home).join(".pyenv"));
    }
    command
}

#[test]
fn every_command_does_what_it_is_shown_for() {
    let place = place();
    let commands: Vec<String> = blocks("sh").iter().flat_map(|(_, text)| text.lines()).map(here).collect();
    let listening = commands.iter().filter(|line| line.contains(" listen ")).count();
    assert_eq!((commands.len(), listening), (7, 1), "{commands:?}");
    for line in commands.iter().filter(|line| !line.contains(" listen ")) {
        let run = finish(output(&mut shell(place.path(), line)));
        assert_eq!(run.status, 0, "{line}: {run:?}");
        if line.contains("install.py") {
            assert_eq!(run.stdout.matches("installed 1.4.2").count(), 2, "{run:?}");
        }
    }
    let www = std::fs::read_to_string(place.path().join("www/site/index.html"))
        .or_else(|_| std::fs::read_to_string(place.path().join("www/index.html")));
    assert_eq!(www.expect("it was put there"), "hello");
}

#[test]
fn a_python_program_that_stays_works_with_the_listener() {
    let Some(package) = package("a_python_program_that_stays_works_with_the_listener", NEW) else { return };
    let Some((_, python)) = pythons().pop() else { return println!("skipped: no python3 on this machine") };
    let place = place();
    let heading = "Python programs that stay";
    let line = here(below("sh", heading)[0].trim());
    let mut listener = shell(place.path(), &format!("exec {line}"));
    let mut listener = listener.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
    let socket = place.path().join(".mitogen.sock");
    eventually("it listens", LONG, || socket.exists().then_some(()));
    let mut source = below("python", heading).remove(0);
    // It holds its targets a little later.
    source = source.replace("for target", "import time\ntime.sleep(3)\nfor target");
    let output = output(program(&python, &package, &source, &[]).env("HOME", place.path()));
    let _ = Command::new("kill").args(["-INT", &listener.id().to_string()]).status();
    let ended = listener.wait().expect("it is ours");
    let lines = told(&output);
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("local ")), "{output:?}");
    assert_eq!(ended.code(), Some(130));
}

/// What becomes of a program that prints little, in time.
fn output(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program is there");
    let start = std::time::Instant::now();
    while child.try_wait().expect("it is ours").is_none() {
        if start.elapsed() > LONG {
            let _ = child.kill();
            panic!("it has not ended: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("it has ended")
}

fn told(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// What upstream's programs on the page find there already.
const TOOL: &str = r"
import os, platform, sys, time
import mitogen.core, mitogen.master, mitogen.parent, mitogen.select, mitogen.service, mitogen.utils

mitogen.master.Router.ssh = lambda self, hostname=None, via=None: self.local(via=via)

@mitogen.utils.run_with_router
def main(router):
    names = ['web1', 'web2']
    contexts = [router.ssh(hostname=name) for name in names]
    space = dict(globals(), router=router, names=names, contexts=contexts, context=contexts[0])
    exec(compile(open('program').read(), 'program', 'exec'), space)
";

#[test]
fn upstreams_programs_are_programs_of_upstreams() {
    let Some(package) = package("upstreams_programs_are_programs_of_upstreams", NEW) else { return };
    let Some((_, python)) = pythons().pop() else { return println!("skipped: no python3 on this machine") };
    let place = place();
    let path = std::env::join_paths([package.as_path(), place.path()]).expect("paths");
    let run = |source: &str| {
        let source = source
            .replace("/var/log/syslog", &place.path().join("syslog").display().to_string())
            .replace("/tmp/new", &place.path().join("new").display().to_string());
        std::fs::write(place.path().join("program"), source).expect("a file");
        let tool = std::fs::read_to_string(place.path().join("tool")).expect("the tool");
        told(&output(program(&python, Path::new(&path), &tool, &[]).current_dir(place.path())))
    };
    // It has a router of its own.
    let call = below("python", "A call").remove(0).replace("import os, mitogen.utils", "");
    let pid = run(&format!("{call}\nassert main is None"));
    assert!(matches!(&pid[..], [pid] if pid.parse::<u32>().is_ok()), "{pid:?}");
    assert_eq!(run(&below("python", "Fan-out")[0]).len(), 2);
    assert_eq!(run(&below("python", "A select loop")[0]).len(), 2);
    let follow = below("python", "Following a file through a channel");
    std::fs::write(place.path().join("follow.py"), &follow[0]).expect("a file");
    assert_eq!(run(&format!("import follow\n{}", follow[1])), ["one", "two"]);
    let new = place.path().join("new");
    assert_eq!(run(&below("python", "A chain of calls")[0]), [new.display().to_string()]);
    let behind = below("python", "Contexts behind contexts").remove(0);
    assert!(run(&behind.replace("router.sudo(via=db1)", "router.local(via=db1)")).is_empty());
    // Of the others the page shows parts.
    for (heading, source) in blocks("python") {
        let script = "import sys; compile(sys.argv[1].replace('...)', ')'), 'page', 'exec')";
        let dedented: String = source
            .lines()
            .map(|line| {
                line.strip_prefix("  ").filter(|_| source.starts_with("  ")).unwrap_or(line).to_owned() + "\n"
            })
            .collect();
        let output = output(&mut program(&python, &package, script, &[&dedented]));
        assert!(output.status.success(), "below {heading:?}: {output:?}");
    }
}
