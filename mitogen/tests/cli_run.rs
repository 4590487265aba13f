//! `mitogen run` and `--path`: programs of the user's in contexts.

mod common;

use std::path::Path;
use std::process::{Command, Output};

fn mitogen(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mitogen"))
        .current_dir(folder)
        .env_remove("VIRTUAL_ENV")
        .args(args)
        .output()
        .expect("the command runs")
}

fn program() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let files = [
        (
            "program.py",
            "import beside\nimport lent\ndef main(x=1, y=0):\n    return beside.twice(x) + y + lent.ONE\nclass Tool(object):\n    @staticmethod\n    def name():\n        return __name__\nif __name__ == '__main__':\n    raise SystemExit('only here')\n",
        ),
        ("beside.py", "def twice(x):\n    return 2 * x\n"),
        ("lib/lent.py", "ONE = 1\n"),
        ("bare.py", "def main():\n    pass\n"),
    ];
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        std::fs::write(path, text).expect("a file");
    }
    root
}

#[test]
fn a_program_runs_where_nothing_of_it_is() {
    let root = program();
    let output =
        mitogen(root.path(), &["-v", "run", "--path", "lib", "program.py", "main", "20", "--kw", "y=1"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.trim() == "42", "{out}{err}");
    assert!(err.contains("asked for __main__: it and 2 other modules sent"), "{err}");
    let output = mitogen(root.path(), &["run", "--path=lib", "program.py", "Tool.name"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "__main__");
}

#[test]
fn a_program_runs_on_every_python() {
    let root = program();
    for python in common::interpreters() {
        let python = python.to_string_lossy();
        let args = ["--python", &python, "run", "--path", "lib", "program.py", "main", "20", "--kw", "y=1"];
        let output = mitogen(root.path(), &args);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "42", "{output:?}");
    }
}

#[test]
fn modules_of_a_path_can_be_called() {
    let root = program();
    let output = mitogen(root.path(), &["--path", ".", "call", "beside.twice", "4"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "8", "{output:?}");
}

#[test]
fn a_program_without_a_guard_is_refused_with_advice() {
    let root = program();
    let output = mitogen(root.path(), &["run", "bare.py"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("main guard"), "{output:?}");
    let output = mitogen(root.path(), &["run", "nosuch.py"]);
    assert_eq!(output.status.code(), Some(2));
}
