//! `--ask-pass`: asked once on the terminal, without echo, and the terminal is left as it was.
#![cfg(feature = "cli")]

mod cli_support;

use cli_support::{command, finish, ssh_config, testbed};

/// Drives the command on a terminal of its own: waits for the question, notes whether the terminal echoes, sends
/// what it was given, and at the end prints what it saw: echo when asked, echo afterwards, status, output.
const DRIVER: &str = r#"
import json, os, pty, select, signal, sys, termios, time
answer, argv = sys.argv[1], sys.argv[2:]
pid, master = pty.fork()
if pid == 0:
    os.execv(argv[0], argv)
def echoes():
    return bool(termios.tcgetattr(master)[3] & termios.ECHO)
seen, asked, deadline = b'', None, time.time() + 60
ended = None
while time.time() < deadline:
    if select.select([master], [], [], 0.05)[0]:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        if not data:
            break
        seen += data
    if asked is None and b'Password: ' in seen:
        asked = echoes()
        if answer == 'SIGTERM':
            os.kill(pid, signal.SIGTERM)
        else:
            os.write(master, answer.encode().decode('unicode_escape').encode())
    if asked is not None and ended is None:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            ended = status
            break
if ended is None:
    ended = os.waitpid(pid, 0)[1]
while select.select([master], [], [], 0.2)[0]:
    try:
        data = os.read(master, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
after = echoes()
print(json.dumps({'asked': asked, 'after': after, 'status': os.WEXITSTATUS(ended), 'seen': seen.decode('utf-8', 'replace')}))
"#;

#[track_caller]
fn on_a_terminal(answer: &str, args: &[&str]) -> serde_json::Value {
    let mut driver = std::process::Command::new("python3");
    driver.args(["-c", DRIVER, answer]).arg(command([""; 0]).get_program()).args(args);
    driver.env("TERM", "xterm").env_remove("NO_COLOR");
    let run = finish(driver.output().expect("python3 is there"));
    serde_json::from_str(&run.stdout).unwrap_or_else(|why| panic!("{why}: {run:?}"))
}

#[test]
fn ctrl_c_at_the_question_restores_the_terminal() {
    for answer in ["\\x03", "SIGTERM"] {
        let report = on_a_terminal(answer, &["--ask-pass", "-t", "ssh:nowhere.invalid", "ping"]);
        assert_eq!((&report["asked"], &report["after"]), (&false.into(), &true.into()), "{answer}: {report}");
        assert_eq!(report["status"], 130, "{answer}: {report}");
    }
}

#[test]
fn the_password_is_asked_once_for_all_targets() {
    let Some(testbed) = testbed("the_password_is_asked_once_for_all_targets") else { return };
    let config = ssh_config(&testbed).display().to_string();
    let args =
        ["-F", &config, "--ask-pass", "-t", "ssh:tb_pw", "-t", "ssh:tb_pw", "call", "operator.add", "1", "2"];
    let report = on_a_terminal("pw-tb_pw\\n", &args);
    assert_eq!((&report["asked"], &report["after"]), (&false.into(), &true.into()), "{report}");
    assert_eq!(report["status"], 0, "{report}");
    let seen = report["seen"].as_str().unwrap_or_default();
    assert_eq!(seen.matches("Password: ").count(), 1, "{report}");
    assert!(!seen.contains("pw-tb_pw"), "{report}");
    // In colour, as on any terminal.
    assert_eq!(seen.matches("ssh:tb_pw\u{1b}[0m: 3").count(), 2, "{report}");
}
