//! Accounts, containers and commands of one's own as hops of the command's targets.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{Run, command, eventually, finish, mitogen, ssh_config, testbed};
use std::{fs, io::Write, path::Path, process::Stdio, time::Duration};

fn secret_file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{text}").unwrap();
    file
}

fn become_with(testbed: &Path, password: &str, target: &str, rest: &[&str]) -> Run {
    let config = ssh_config(testbed).display().to_string();
    let file = secret_file(password);
    let path = file.path().display().to_string();
    mitogen(
        ["-F", &config, "--become-password-file", &path, "-t", target]
            .into_iter()
            .chain(rest.iter().copied()),
    )
}

#[test]
fn hops_of_every_account_tool() {
    let Some(bed) = testbed("hops_of_every_account_tool") else { return };
    let whoami = ["exec", "id", "-un"];
    assert_eq!(become_with(&bed, "pw-tb_sudopw", "ssh:tb_sudopw/sudo:root", &whoami).ok(), "root\n");
    assert_eq!(
        become_with(&bed, "pw-tb_sudopw", "ssh:tb_sudopw/sudo:tb_target?login=yes", &whoami).ok(),
        "tb_target\n"
    );
    assert_eq!(become_with(&bed, "pw-tb_target", "ssh:tb_su/su:tb_target", &whoami).ok(), "tb_target\n");
    assert_eq!(
        become_with(&bed, "pw-tb_doaspw", "ssh:tb_doaspw/doas:root/su:tb_dash/local", &whoami).ok(),
        "tb_dash\n"
    );
    let run = become_with(&bed, "pw-tb_wrong", "ssh:tb_sudopw/sudo:root", &["--json", "ping"]);
    let error = &run.result()["error"];
    assert_eq!(
        (run.status, error["kind"].as_str(), error["hop"].as_str()),
        (5, Some("auth"), Some("sudo:root")),
        "{run:?}"
    );
    assert!(error["message"].as_str().is_some_and(|text| text.contains("wrong password")), "{run:?}");
    let config = ssh_config(&bed).display().to_string();
    let run = mitogen(["-F", &config, "-t", "ssh:tb_sudopw/sudo:root", "--json", "ping"]);
    let hint = run.result()["error"]["hint"].to_string();
    assert!(run.status == 5 && hint.contains("--ask-become-pass"), "{run:?}");
}

#[test]
fn the_nightly_billing_runs() {
    let Some(bed) = testbed("the_nightly_billing_runs") else { return };
    let facts = fs::read_to_string(bed.join("env")).expect("the testbed's facts");
    let fact = |name: &str| facts.lines().find_map(|line| line.strip_prefix(name));
    let Some(podman) = fact("MITOGEN_TESTBED_PODMAN=") else {
        let why = fact("MITOGEN_TESTBED_WITHOUT_PODMAN=").unwrap_or("required, and not told of");
        return eprintln!("skipped: the_nightly_billing_runs: {why}");
    };
    let (config, password) = (ssh_config(&bed).display().to_string(), secret_file("pw-tb_sudopw"));
    let password = password.path().display().to_string();
    let podman = podman.trim_matches('\'').replace('/', "%2F");
    // The jump host has a key; the host behind it is asked for by its password.
    let target = format!("ssh:tb_bash/ssh:tb_sudopw/sudo:root/podman:tb?podman_path={podman}");
    let options =
        ["-F", &config, "--password-file", &password, "--become-password-file", &password, "-t", &target];
    let billing = "echo billed by $(hostname) for $(id -un)";
    let run = mitogen(options.into_iter().chain(["exec", "--shell", billing]));
    assert_eq!((run.status, run.stdout.as_str()), (0, "billed by tb-podman for root\n"), "{run:?}");
    let tree = mitogen(options.into_iter().chain(["tree"]));
    let depths: Vec<usize> = tree.stdout.lines().map(|line| line.len() - line.trim_start().len()).collect();
    assert_eq!(depths, [0, 2, 4, 6], "{tree:?}");
}

#[test]
fn the_doctor_shows_what_sudoers_may_say() {
    let Some(bed) = testbed("the_doctor_shows_what_sudoers_may_say") else { return };
    let config = ssh_config(&bed).display().to_string();
    let text = mitogen(["-F", &config, "-t", "ssh:tb_sudo/sudo:root", "doctor"]).ok();
    assert!(text.contains("ACCOUNT ALL=(root) NOPASSWD: /bin/sh -c "), "{text}");
    let run = become_with(&bed, "pw-tb_nosudo", "ssh:tb_nosudo/sudo:root", &["doctor"]);
    assert!(run.status == 5 && run.stdout.contains("NOPASSWD: /bin/sh"), "{run:?}");
}

/// What somebody else's tool may look like, and a console behind a terminal.
const METHODS: &str = r#"
[method.rootshell]
argv = ["sudo", "-k", "-p", "mitogen-asks:", "su", "-", "{argument}", "-c", "{line}"]
argument = "root"
wiring = "prompts"
prompt = [{ contains = "mitogen-asks:", secret = "become" }]
failure = [{ contains = "incorrect password", kind = "auth-refused" }, { contains = "does not exist", kind = "no-such-user" }]

[method.console]
argv = ["script", "-qfec", "sh {argument}", "/dev/null"]
wiring = "terminal"
prompt = [
    { ends = "console login:", say = "{user}" },
    { contains = "Password:", secret = "login" },
    { ends = "ready>", say = "stty raw -echo;{line}" },
]
failure = [{ contains = "Login incorrect", kind = "auth-refused" }]

[method.twice]
argv = ["sh", "{argument}", "{command}"]
wiring = "prompts"
prompt = [{ contains = "Password:", secret = "become" }, { contains = "Code:", secret = "second-factor" }]
failure = [{ contains = "refused", kind = "auth-refused" }]

[method.limited]
argv = ["prlimit", "--nofile={files}", "{command}"]
"#;

/// Asks as a console server does (behind `script`, which as telnet does switches the echo off for good), and then is a shell.
const CONSOLE: &str = r#"
echo 'console server 1.0: password: Permission denied is no error here'
printf 'console login: '; read user
stty -echo; printf 'Password: '; read password; stty echo; echo
[ "$user/$password" = "bob/opensesame" ] || { echo 'Login incorrect'; exit 1; }
PS1='ready> ' exec sh -i
"#;

#[test]
fn commands_of_ones_own_from_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    fs::write(path("methods.toml"), METHODS).unwrap();
    fs::write(path("console"), CONSOLE).unwrap();
    let methods = path("methods.toml");
    let run = mitogen(["--methods", &methods, "-t", "limited?files=99", "exec", "--shell", "ulimit -n"]);
    assert_eq!(run.ok(), "99\n");
    let run = mitogen(["--methods", &methods, "-t", "limited", "ping"]);
    assert!(run.status == 2 && run.stderr.contains("needs the option `files`"), "{run:?}");
    let run = mitogen(["--methods", &methods, "-t", "other", "ping"]);
    assert!(run.status == 2 && run.stderr.contains("console, limited, rootshell"), "{run:?}");
    // A console on a terminal, here and behind another hop.
    let console = format!("console:{}?user=bob", path("console").replace('/', "%2F"));
    let (right, wrong) = (secret_file("opensesame"), secret_file("wrong"));
    for target in [console.clone(), format!("local/{console}")] {
        let file = right.path().display().to_string();
        let run = mitogen([
            "--methods",
            &methods,
            "--password-file",
            &file,
            "-t",
            &target,
            "call",
            "operator.mul",
            "\"ab\"",
            "30000",
        ]);
        assert_eq!(run.ok().trim_end().len(), 60000);
        let file = wrong.path().display().to_string();
        let run = mitogen(["--methods", &methods, "--password-file", &file, "-t", &target, "--json", "ping"]);
        let error = &run.result()["error"];
        assert_eq!((run.status, error["kind"].as_str()), (5, Some("auth")), "{run:?}");
        assert_eq!(error["message"], "wrong login password", "{run:?}");
        assert_eq!(error["hop"].as_str(), Some(console.as_str()), "{run:?}");
    }
}

/// Asks for two things, and passes on what it was told to run.
const TWICE: &str = r#"
exec 3<>/dev/tty
stty -echo <&3
printf 'Password: ' >&3; read -r password <&3
printf '\nCode: ' >&3; read -r code <&3
echo >&3
[ "$password/$code" = opensesame/123456 ] || { echo 'both were refused' >&2; exit 1; }
exec "$@"
"#;

#[test]
fn a_second_factor_is_fetched_by_a_command() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    fs::write(path("methods.toml"), METHODS).unwrap();
    fs::write(path("twice"), TWICE).unwrap();
    let password = secret_file("opensesame");
    let run = |command: &str, target: &str| {
        let (methods, file) = (path("methods.toml"), password.path().display().to_string());
        mitogen([
            "--methods",
            &methods,
            "--become-password-file",
            &file,
            "--second-factor-command",
            command,
            "-t",
            target,
            "--json",
            "call",
            "os.getpid",
        ])
    };
    let target = format!("twice:{}", path("twice").replace('/', "%2F"));
    let asked = path("asked");
    let good = format!("echo \"$MITOGEN_QUESTION\" >>{asked}; echo 123456; echo more");
    for target in [target.clone(), format!("local/{target}")] {
        let result = run(&good, &target);
        assert_eq!(result.status, 0, "{result:?}");
        assert_eq!(fs::read_to_string(&asked).unwrap(), "Code:\n");
        fs::remove_file(&asked).unwrap();
        let wrong = run("echo 999999", &target);
        let error = &wrong.result()["error"];
        assert_eq!(
            (wrong.status, error["message"].as_str()),
            (5, Some("wrong password or second factor")),
            "{wrong:?}"
        );
        assert!(!format!("{wrong:?}").contains("opensesame"), "{wrong:?}");
        let none = run("echo nothing to tell >&2; exit 3", &target);
        assert!(none.status == 5 && none.stderr.contains("nothing to tell"), "{none:?}");
        assert!(none.result()["error"]["hint"].to_string().contains("--second-factor-command"), "{none:?}");
    }
}

#[test]
fn ssh_wants_a_password_and_a_code() {
    let Some(bed) = testbed("ssh_wants_a_password_and_a_code") else { return };
    let facts = fs::read_to_string(bed.join("env")).unwrap();
    let codes = facts.lines().find_map(|line| line.strip_prefix("MITOGEN_TESTBED_OATH=")).expect("codes");
    // The next code of the account, from the counter of the last; that may have gone back for a while, if others write.
    let scratch = tempfile::tempdir().unwrap();
    let given = scratch.path().join("given").display().to_string();
    let command = format!(
        "awk '$2==\"tb_otpcli\"{{print $5==\"\"?0:$5+1, $4}}' {codes} | {{ read -r at key; \
         [ ! -e {given} ] || [ $at -gt $(cat {given}) ] || at=$(($(cat {given})+1)); echo $at >{given}; \
         oathtool -c $at $key; }}"
    );
    let config = ssh_config(&bed).display().to_string();
    let password = secret_file("pw-tb_otpcli");
    let file = password.path().display().to_string();
    let options = ["-F", &config, "--password-file", &file, "--second-factor-command", &command];
    // An option of the target's own takes nothing away from those of all.
    for target in ["ssh:tb_otpcli", "ssh:tb_otpcli?compression=yes"] {
        let run = mitogen(options.iter().chain(&["-t", target, "exec", "id", "-un"]));
        assert_eq!(run.ok(), "tb_otpcli\n");
    }
}

#[test]
fn a_command_of_ones_own_with_a_password() {
    let Some(bed) = testbed("a_command_of_ones_own_with_a_password") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let methods = scratch.path().join("methods.toml").display().to_string();
    fs::write(&methods, METHODS).unwrap();
    let run = |password: &str, target: &str| {
        become_with(&bed, password, target, &["--methods", &methods, "--json", "exec", "id", "-un"])
    };
    let good = run("pw-tb_sudopw", "ssh:tb_sudopw/rootshell:tb_tcsh");
    assert_eq!(good.result()["value"]["stdout"], "tb_tcsh\n", "{good:?}");
    let wrong = run("pw-tb_wrong", "ssh:tb_sudopw/rootshell");
    assert_eq!(
        (wrong.status, wrong.result()["error"]["message"].as_str()),
        (5, Some("wrong password")),
        "{wrong:?}"
    );
}

/// Where the text stands in the arguments or the environment of some process.
fn exposed(secret: &str) -> Vec<String> {
    let holds = |path: &Path| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()))
    };
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    processes
        .filter(|path| !path.ends_with(&own))
        .flat_map(|path| [path.join("cmdline"), path.join("environ")])
        .filter(|path| holds(path))
        .map(|path| path.display().to_string())
        .collect()
}

#[test]
fn a_password_of_sudo_su_and_doas_shows_nowhere() {
    let Some(bed) = testbed("a_password_of_sudo_su_and_doas_shows_nowhere") else { return };
    let config = ssh_config(&bed).display().to_string();
    for (target, password) in [
        ("ssh:tb_sudopw/sudo:root", "pw-tb_sudopw"),
        ("ssh:tb_su/su:tb_target", "pw-tb_target"),
        ("ssh:tb_doaspw/doas:root", "pw-tb_doaspw"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(scratch.path(), open).unwrap();
        let started = scratch.path().join("started");
        let file = secret_file(password);
        let script = format!("echo x >'{0}'; while [ -e '{0}' ]; do sleep 0.05; done", started.display());
        let child = command(["-vvv", "-F", &config, "-t", target, "--become-password-file"])
            .arg(file.path())
            .args(["exec", "--shell", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the command was run", Duration::from_secs(30), || started.exists().then_some(()));
        let found = exposed(password);
        fs::remove_file(&started).unwrap();
        let run = finish(child.wait_with_output().unwrap());
        assert_eq!(run.status, 0, "{run:?}");
        assert!(found.is_empty(), "{target}: {found:?}");
        assert!(run.stderr.contains("mitogen::frame"), "{run:?}");
        assert!(!format!("{run:?}").contains(password), "{target}: {run:?}");
    }
}

#[test]
fn secrets_are_nothing_for_targets() {
    for target in [
        "sudo:root?password=x",
        "ssh:h?password=x",
        "su:bob?password=x",
        "sudo:root?second-factor=1",
        "ssh:h?second_factor=1",
    ] {
        let run = mitogen(["-t", target, "ping"]);
        assert!(run.status == 2 && run.stderr.contains("which others can read"), "{run:?}");
    }
}
