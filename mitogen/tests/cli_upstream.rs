//! `--agent upstream=DIR`: the command's contexts run the core of a package that is installed here.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::mitogen;

/// The packages that `cargo xtask test` and `cargo xtask interop` have installed.
fn packages() -> Vec<String> {
    let Some(packages) = std::env::var_os("MITOGEN_UPSTREAM") else {
        println!("skipped: optional releases of upstream's (`cargo xtask interop` installs them)");
        return Vec::new();
    };
    std::env::split_paths(&packages).map(|path| format!("upstream={}", path.display())).collect()
}

#[test]
fn functions_are_called_and_commands_run() {
    for agent in packages() {
        let pid = mitogen(["call", "os.getpid", "--agent", &agent]).ok();
        assert!(pid.trim().parse::<u32>().is_ok(), "{pid}");
        let run = mitogen(["exec", "--agent", &agent, "--shell", "echo out; echo err >&2; exit 3"]);
        assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (3, "out\n", "err\n"), "{agent}");
    }
}

#[test]
fn contexts_stand_behind_contexts() {
    for agent in packages() {
        let tree = mitogen(["tree", "--agent", &agent, "-t", "local/local"]).ok();
        assert_eq!(tree.lines().count(), 2, "{tree}");
        let run = mitogen(["ping", "--agent", &agent, "-t", "local/local?python=%2Fno%2Fpython", "--json"]);
        assert_eq!((run.status, &run.result()["error"]["kind"]), (4, &"connect".into()), "{run:?}");
    }
}

#[test]
fn a_directory_without_the_package_is_a_usage_error() {
    let folder = tempfile::tempdir().expect("a directory");
    let run = mitogen(["call", "os.getpid", "--agent", &format!("upstream={}", folder.path().display())]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.contains("mitogen package"), "{run:?}");
    assert_eq!(mitogen(["ping", "--agent", "somebody"]).status, 2);
}
