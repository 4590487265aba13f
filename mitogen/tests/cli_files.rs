//! `put` and `get`: what they move, what they say, and when they say nothing.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, finish, mitogen};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Runs the command on a terminal of its own; prints its status and all that it wrote there.
const DRIVER: &str = r#"
import json, os, pty, sys
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while 1:
    try:
        data = os.read(master, 65536)
    except OSError:
        break
    if not data:
        break
    seen += data
status = os.waitpid(pid, 0)[1]
print(json.dumps({'status': os.WEXITSTATUS(status), 'seen': seen.decode('utf-8', 'replace')}))
"#;

fn on_a_terminal(args: &[&str]) -> (i64, String) {
    let mut driver = std::process::Command::new("python3");
    driver.args(["-c", DRIVER]).arg(command([""; 0]).get_program()).args(args);
    let run = finish(driver.output().expect("python3 is there"));
    let report: serde_json::Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|why| panic!("{why}: {run:?}"));
    (report["status"].as_i64().unwrap(), report["seen"].as_str().unwrap().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test is text")
}

/// A directory with a file of this size, `a`.
fn place(size: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..size).map(|at| ((at * 31) >> 5) as u8).collect();
    fs::write(directory.path().join("a"), bytes).unwrap();
    fs::set_permissions(directory.path().join("a"), PermissionsExt::from_mode(0o751)).unwrap();
    directory
}

#[test]
fn a_file_goes_and_comes_in_silence() {
    for size in [0, 10, 3_000_000] {
        let directory = place(size);
        let at = |name: &str| directory.path().join(name);
        for flags in [&[][..], &["--compress", "--verify"], &["--resume", "--no-sync"]] {
            let (a, b, c) = (at("a"), at("b"), at("c"));
            let put = [&["put"][..], flags, &[text(&a), text(&b)]].concat();
            assert_eq!(mitogen(put).ok(), "");
            let get = [&["get"][..], flags, &[text(&b), text(&c)]].concat();
            assert_eq!(mitogen(get).ok(), "");
            for name in ["b", "c"] {
                assert!(fs::read(at(name)).unwrap() == fs::read(at("a")).unwrap(), "{name}, {size} bytes");
                assert_eq!(fs::metadata(at(name)).unwrap().mode() & 0o7777, 0o751);
                assert_eq!(fs::metadata(at(name)).unwrap().mtime(), fs::metadata(at("a")).unwrap().mtime());
            }
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
        }
    }
}

#[test]
fn json_says_how_much_and_where() {
    let directory = place(200_000);
    let (a, b) = (directory.path().join("a"), directory.path().join("b"));
    let result = mitogen(["--json", "put", text(&a), text(&b)]).result();
    assert_eq!((&result["value"]["bytes"], &result["value"]["path"]), (&200_000.into(), &text(&b).into()));
    let run = mitogen(["--json", "get", "/nonexistent/x", text(&b)]);
    assert_eq!((run.status, &run.result()["error"]["kind"]), (1, &"call".into()), "{run:?}");
    assert!(fs::read(&b).unwrap() == fs::read(&a).unwrap(), "another content");
}

#[test]
fn a_terminal_shows_how_far_it_is_and_a_pipe_nothing() {
    let directory = place(48_000_000);
    let at = |name: &str| directory.path().join(name);
    for args in [["put", text(&at("a")), text(&at("b"))], ["get", text(&at("b")), text(&at("c"))]] {
        let (status, seen) = on_a_terminal(&args);
        assert_eq!(status, 0, "{seen}");
        for word in ["%", "MiB of 45.78 MiB", "MiB/s", "s left"] {
            assert!(
                seen.contains(word),
                "{word} is not shown: {:?}",
                &seen[seen.len().saturating_sub(300)..]
            );
        }
        // The line is gone at the end.
        assert!(seen.ends_with("\r\x1b[K"), "{:?}", &seen[seen.len().saturating_sub(300)..]);
        assert_eq!(mitogen(args).ok(), "");
        let quiet = [&["-q"][..], &args].concat();
        assert_eq!(on_a_terminal(&quiet), (0, String::new()));
    }
}

#[test]
fn directories_go_with_all_that_is_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("tree/x/y")).unwrap();
    fs::create_dir(at("tree/empty")).unwrap();
    for number in 0..50 {
        fs::write(at(&format!("tree/x/{number}")), vec![number; 1000 * number as usize]).unwrap();
    }
    fs::write(at("tree/x/y/ü"), "deep").unwrap();
    fs::set_permissions(at("tree/x"), PermissionsExt::from_mode(0o750)).unwrap();
    let refused = mitogen(["put", text(&at("tree")), text(&at("up"))]);
    assert_eq!(refused.status, 2, "{refused:?}");
    mitogen(["put", "-r", text(&at("tree")), text(&at("up"))]).ok();
    mitogen(["get", "-r", text(&at("up")), text(&at("down"))]).ok();
    // Into a directory that is there.
    mitogen(["put", "-r", text(&at("tree")), text(&at("up"))]).ok();
    for root in ["up", "down", "up/tree"] {
        let at = |name: &str| at(root).join(name);
        assert_eq!(fs::read(at("x/y/ü")).unwrap(), b"deep", "{root}");
        assert_eq!(fs::read(at("x/49")).unwrap(), vec![49; 49_000], "{root}");
        assert_eq!(fs::metadata(at("x")).unwrap().mode() & 0o777, 0o750, "{root}");
        assert!(at("empty").is_dir(), "{root}");
    }
}

#[test]
fn patterns_and_several_files_go_into_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["1.txt", "2.txt", "3.dat"] {
        fs::write(at(name), name).unwrap();
    }
    fs::create_dir(at("to")).unwrap();
    mitogen(["put", text(&at("*.txt")), text(&at("3.dat")), text(&at("to"))]).ok();
    for name in ["1.txt", "2.txt", "3.dat"] {
        assert_eq!(fs::read_to_string(at("to").join(name)).unwrap(), name);
    }
    for missing in ["none", "*.none"] {
        let run = mitogen(["put", text(&at(missing)), text(&at("to"))]);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
    }
}

#[test]
fn from_several_targets_each_has_a_place_of_its_own() {
    let directory = place(70_000);
    let at = |name: &str| directory.path().join(name);
    let run = mitogen(["-t", "local", "-t", "local/local", "get", text(&at("a")), text(&at("got"))]);
    assert_eq!(run.status, 0, "{run:?}");
    for name in ["local", "local%2Flocal"] {
        assert!(fs::read(at("got").join(name)).unwrap() == fs::read(at("a")).unwrap(), "another content");
    }
    // Targets that differ in their options only.
    mitogen(["-t", "local?name=[1-3]", "get", text(&at("a")), text(&at("three"))]).ok();
    assert_eq!(fs::read_dir(at("three")).unwrap().count(), 3);
    let twice = mitogen(["-t", "local", "-t", "local", "get", text(&at("a")), text(&at("two"))]);
    assert_eq!((twice.status, twice.stderr.contains("twice")), (2, true), "{twice:?}");
}

#[test]
fn a_directory_goes_into_itself_once() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("a"), "a").unwrap();
    std::os::unix::fs::symlink("a", tree.join("link")).unwrap();
    let run = mitogen(["put", "-r", text(&tree), text(&tree.join("in"))]);
    assert_eq!((run.status, run.stderr.contains("link is no file")), (0, true), "{run:?}");
    let copied: Vec<_> =
        fs::read_dir(tree.join("in")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(copied, ["a"]);
}

#[test]
fn standard_input_and_output_are_files_too() {
    let directory = place(500_000);
    let at = |name: &str| directory.path().join(name);
    let input = fs::File::open(at("a")).unwrap();
    let put = command(["put", "/dev/stdin", text(&at("b"))]).stdin(input).output().unwrap();
    assert_eq!(finish(put).ok(), "");
    assert!(fs::read(at("b")).unwrap() == fs::read(at("a")).unwrap(), "another content");
    let mut piped = command(["put", "/dev/stdin", text(&at("c"))]);
    let mut child = piped.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, &fs::read(at("a")).unwrap()).unwrap();
    drop(pipe);
    assert!(child.wait().unwrap().success());
    assert!(fs::read(at("c")).unwrap() == fs::read(at("a")).unwrap(), "another content");
    let got = command(["get", text(&at("a")), "/dev/stdout"]).output().unwrap();
    assert!(got.stdout == fs::read(at("a")).unwrap(), "{}", String::from_utf8_lossy(&got.stderr));
}
