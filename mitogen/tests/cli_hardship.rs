//! Where the command has to work with little, or among noise.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, finish, local_with, mitogen, pyenv};
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn few_descriptors_make_it_slower_and_nothing_else() {
    let targets = ["-t", "local"].repeat(14);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(command([""; 0]).get_program());
    shell.args(targets).args(["-v", "-f", "14", "-b", "call", "operator.add", "1", "2"]);
    let run = finish(shell.stdin(Stdio::null()).output().expect("a shell"));
    assert_eq!((run.status, run.stdout.as_str()), (0, "local (14 targets): 3\n"), "{run:?}");
    assert!(run.stderr.contains("8 targets at once, not 14"), "{run:?}");
    // A chain of hops under the same limit.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(command([""; 0]).get_program());
    shell.args(["-t", "local/local", "call", "operator.add", "1", "2"]);
    assert_eq!(finish(shell.stdin(Stdio::null()).output().expect("a shell")).ok(), "3\n");
    // With fewer a context cannot be born, and that is said.
    for few in ["6", "20", "63"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n $1; shift; exec \"$0\" \"$@\""]).arg(command([""; 0]).get_program());
        shell.args([few, "call", "operator.add", "1", "2"]);
        let run = finish(shell.stdin(Stdio::null()).output().expect("a shell"));
        assert_eq!((run.status, run.stderr.contains("ulimit -n")), (70, true), "{run:?}");
    }
}

#[test]
fn no_variable_of_pythons_own_and_no_chatty_module_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let noise = "import sys\n\
                 sys.stdout.write('noise EC0\\nEC9\\nEC1\\nin EC2\\n' * 50)\n\
                 sys.stdout.flush()\n\
                 sys.stderr.write('noise on stderr\\n')\n";
    for name in ["sitecustomize.py", "usercustomize.py", "startup.py"] {
        std::fs::write(directory.path().join(name), noise).unwrap();
    }
    let startup = directory.path().join("startup.py").display().to_string();
    let settings = [
        ("PYTHONPATH", &*directory.path().display().to_string()),
        ("PYTHONSTARTUP", &startup),
        ("PYTHONVERBOSE", "1"),
        ("PYTHONINSPECT", "1"),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONIOENCODING", "utf-16"),
        ("PYTHONOPTIMIZE", "2"),
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONDEVMODE", "1"),
        ("PYTHONSAFEPATH", "1"),
        ("PYTHONPROFILEIMPORTTIME", "1"),
        ("PYTHONPYCACHEPREFIX", "/nonexistent/x"),
        ("LC_ALL", "C"),
    ];
    let pythons: Vec<PathBuf> = ["2.7", "3.6", "3.13"].into_iter().filter_map(pyenv).collect();
    if pythons.is_empty() {
        eprintln!("SKIPPED: no python2.7, 3.6 or 3.13 on this machine; only the first that is found");
    }
    for python in pythons.iter().map(|path| local_with(path)).chain(["local".to_owned()]) {
        let target = format!("{python}/{python}");
        let run = command(["-t", &target, "call", "operator.add", "1", "2"]).envs(settings).output().unwrap();
        let run = finish(run);
        assert_eq!((run.status, run.stdout.as_str()), (0, "3\n"), "{python}: {run:?}");
    }
}

#[test]
fn an_interpreter_that_its_environment_breaks_is_told_from_one_that_is_not_there() {
    let run =
        finish(command(["--json", "call", "os.getpid"]).env("PYTHONHOME", "/nonexistent").output().unwrap());
    assert_eq!(run.status, 4, "{run:?}");
    let error = &run.result()["error"];
    assert_eq!(error["kind"], "connect", "{run:?}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("PYTHONHOME")), "{run:?}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("sitecustomize.py"), "raise SystemExit(3)").unwrap();
    let run = finish(command(["call", "os.getpid"]).env("PYTHONPATH", directory.path()).output().unwrap());
    assert!(run.status == 4 && run.stderr.contains("try: the interpreter ends while it starts"), "{run:?}");
}

#[test]
fn an_empty_environment_is_enough() {
    let program = command([""; 0]).get_program().to_owned();
    let run = Command::new(program)
        .args(["--python", "/usr/bin/env python3", "call", "operator.add", "1", "2"])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // `--python` is one word: it is not taken apart.
    assert_eq!(finish(run).status, 4);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = command([""; 0]).get_program().to_owned();
    let mut bare = Command::new(program);
    bare.args(["call", "operator.add", "1", "2"]).env_clear().env("PATH", path).stdin(Stdio::null());
    assert_eq!(finish(bare.output().unwrap()).ok(), "3\n");
    // Without it the shell has one of its own, which Python does not know.
    if ["/bin/python3", "/usr/bin/python3"].iter().any(|path| std::path::Path::new(path).exists()) {
        assert_eq!(finish(bare.env_remove("PATH").output().unwrap()).ok(), "3\n");
    } else {
        eprintln!("skipped: an_empty_environment_is_enough: no python3 where every shell looks");
    }
    assert_eq!(mitogen(["call", "operator.add", "1", "2"]).ok(), "3\n");
}
