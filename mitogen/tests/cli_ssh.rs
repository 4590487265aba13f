//! Calls and commands over ssh, against the testbed.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{Run, mitogen, ssh_config, testbed};
use std::{io::Write, path::Path};

#[track_caller]
fn over_ssh(testbed: &Path, args: &[&str]) -> Run {
    let config = ssh_config(testbed).display().to_string();
    mitogen(["-F", &config].iter().chain(args))
}

#[test]
fn any_login_shell_will_do() {
    let Some(testbed) = testbed("any_login_shell_will_do") else { return };
    for user in ["tb_bash", "tb_dash", "tb_tcsh", "tb_zsh"] {
        let target = format!("ssh:{user}");
        let run = over_ssh(&testbed, &["-t", &target, "call", "operator.add", "1", "2"]);
        assert_eq!((run.status, run.stdout.as_str()), (0, "3\n"), "{user}: {run:?}");
        let run = over_ssh(
            &testbed,
            &["-t", &target, "exec", "--", "sh", "-c", "id -un; echo \"a  b\" >&2; exit 3"],
        );
        assert_eq!((run.status, run.stdout), (3, format!("{user}\n")), "{user}");
        assert_eq!(run.stderr, "a  b\n", "{user}");
    }
}

#[test]
fn a_noisy_login_is_no_obstacle() {
    let Some(testbed) = testbed("a_noisy_login_is_no_obstacle") else { return };
    let run = over_ssh(&testbed, &["-t", "ssh:tb_noisy", "call", "operator.add", "1", "2"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "3\n"), "{run:?}");
}

#[test]
fn a_password_is_read_from_a_file() {
    let Some(testbed) = testbed("a_password_is_read_from_a_file") else { return };
    for user in ["tb_pw", "tb_kbd"] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "pw-{user}").unwrap();
        let path = file.path().display().to_string();
        let target = format!("ssh:{user}");
        let run = over_ssh(&testbed, &["-t", &target, "--password-file", &path, "call", "getpass.getuser"]);
        assert_eq!((run.status, run.stdout), (0, format!("{user}\n")), "{}", run.stderr);
    }
}

#[test]
fn users_and_ports_may_stand_in_the_target() {
    let Some(testbed) = testbed("users_and_ports_may_stand_in_the_target") else { return };
    let key = testbed.join("ssh/client").display().to_string();
    let known = format!("UserKnownHostsFile={}", testbed.join("ssh/known_hosts").display());
    let config = std::fs::read_to_string(testbed.join("ssh_config")).expect("the testbed's ssh_config");
    let mut of_dash = config.lines().skip_while(|line| *line != "Host tb_dash");
    let port = of_dash.find_map(|line| line.trim().strip_prefix("Port ")).expect("a port");
    let target = &*format!("ssh:tb_dash@127.0.0.1:{port}");
    let run = mitogen([
        "-F",
        "/dev/null",
        "-i",
        &key,
        "-o",
        &known,
        "-o",
        "HostKeyAlias=tb1",
        "-t",
        target,
        "--json",
        "exec",
        "id",
        "-un",
    ]);
    assert_eq!(run.status, 0, "{run:?}");
    let result = run.result();
    assert_eq!((&result["target"], &result["value"]["stdout"]), (&target.into(), &"tb_dash\n".into()));
}

#[test]
fn failures_of_several_targets_combine() {
    let Some(testbed) = testbed("failures_of_several_targets_combine") else { return };
    let wrong = format!("UserKnownHostsFile={}", testbed.join("ssh/known_hosts_wrong").display());
    let run = over_ssh(
        &testbed,
        &["-o", &wrong, "-t", "local", "-t", "ssh:tb_dash", "call", "os.listdir", "/nonexistent"],
    );
    assert_eq!(run.status, 5, "{run:?}");
}

/// A stand-in for ssh whose server has no room for the first logins, and then runs what it is given here.
const CROWDED: &str = "#!/bin/sh
for command; do :; done
if mkdir \"$0.1\" 2>/dev/null || mkdir \"$0.2\" 2>/dev/null; then
    echo 'kex_exchange_identification: read: Connection reset by peer' >&2
    exit 255
fi
exec sh -c \"$command\"
";

#[test]
fn a_server_that_has_no_room_yet_is_asked_again() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let tool = directory.path().join("ssh");
    std::fs::write(&tool, CROWDED).unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let target = format!("ssh:crowded?ssh_path={}", tool.display().to_string().replace('/', "%2F"));
    let run = mitogen(["-v", "-t", &target, "call", "operator.add", "1", "2"]);
    assert_eq!((run.status, run.stdout.as_str()), (0, "3\n"), "{run:?}");
    assert_eq!(run.stderr.matches("turned away; once more").count(), 2, "{run:?}");
    // Not for longer than a connection may take; and the error is that of the last attempt.
    std::fs::write(
        &tool,
        "#!/bin/sh\necho 'kex_exchange_identification: read: Connection reset by peer' >&2; exit 255\n",
    )
    .unwrap();
    let run = mitogen(["--connect-timeout", "0.9", "-t", &target, "call", "os.getpid"]);
    assert!(run.status == 4 && run.stderr.contains("try: the server hung up"), "{run:?}");
}
