//! The system's ssh client against a real server. `MITOGEN_TESTBED` names the directory of the
//! test bed's `ssh_config`; without it these tests skip themselves, out loud.

mod support;

use mitogen_transport::{
    ConnectError, Exit, FailureKind, HostKeys, Phase, Process, SecretName, Ssh, connect,
};
use mitogen_wire::{ContextId, DEFAULT_MAX_PAYLOAD, Direction, FrameFormat, Handle, Message};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{alone, preamble};

const DEADLINE: Duration = Duration::from_secs(20);

fn testbed(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("MITOGEN_TESTBED").map(PathBuf::from);
    if dir.is_none() {
        eprintln!("skipped: {test}: MITOGEN_TESTBED does not name a test bed");
    }
    dir
}

macro_rules! with_testbed {
    ($name:ident, $dir:ident, $story:expr) => {
        #[test]
        fn $name() {
            let Some($dir) = testbed(stringify!($name)) else { return };
            alone(|| $story);
        }
    };
}

fn ssh(dir: &std::path::Path, host: &str) -> Ssh {
    Ssh::new(host).config(dir.join("ssh_config").to_string_lossy())
}

async fn born(ssh: Ssh) {
    let hop = ssh.hop();
    let connected =
        connect(&ssh.plan(), preamble().as_bytes(), DEADLINE).await.unwrap_or_else(|e| panic!("{e}"));
    eprintln!("{hop} in {:.0} ms", connected.elapsed.as_secs_f64() * 1e3);
    let (mut reader, writer) =
        connected.stream.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    writer.send(&Message::new(ContextId::CONTROLLER, ContextId(1), Handle(106))).expect("sent");
    while let Ok(Some(_)) = reader.next().await {}
    let exit = Process::stop(&connected.process, Duration::from_secs(5), Duration::from_secs(1)).await;
    assert!(exit.is_some_and(|e| matches!(e, Exit::Status(_))), "{hop}: {exit:?}");
}

async fn refused(ssh: Ssh) -> Box<ConnectError> {
    let started = Instant::now();
    let error = connect(&ssh.plan(), preamble().as_bytes(), DEADLINE).await.expect_err("a failure");
    eprintln!("{error}\n");
    assert!(started.elapsed() < DEADLINE - Duration::from_secs(1), "only the deadline ended it");
    assert!(!format!("{error} {error:?}").contains("pw-tb"), "a secret: {error:?}");
    error
}

fn password() -> SecretName {
    SecretName("password".into())
}

with_testbed!(five_login_shells_and_noise, dir, async {
    for host in ["tb_bash", "tb_dash", "tb_tcsh", "tb_zsh", "tb_fish", "tb_noisy"] {
        born(ssh(&dir, host)).await;
    }
});

with_testbed!(what_ssh_config_says_of_a_host_counts, dir, async {
    let scratch = tempfile::tempdir().expect("a directory");
    let config = scratch.path().join("config");
    let theirs = dir.join("ssh_config");
    let text = format!(
        "Match originalhost special exec true\n  HostName 127.0.0.1\n  User tb_zsh\n  HostKeyAlias tb1\n  \
         Port {}\nMatch all\n  Include {}\n",
        port(&dir),
        theirs.display()
    );
    std::fs::write(&config, text).expect("written");
    born(ssh(&dir, "special").config(config.to_string_lossy())).await;
});

with_testbed!(a_named_interpreter_through_a_shell_that_minds_quotes, dir, async {
    for host in ["tb_bash", "tb_tcsh"] {
        born(ssh(&dir, host).python_argv(["/usr/bin/env", "A=it's !x \\ \"y\"", "python3"])).await;
    }
});

with_testbed!(a_password, dir, async {
    for host in ["tb_pw", "tb_kbd", "tb_two"] {
        born(ssh(&dir, host).password(format!("pw-{host}"))).await;
    }
    // Given and not asked for.
    born(ssh(&dir, "tb_bash").password("pw-tb_bash")).await;
    born(ssh(&dir, "tb_noisy").password("pw-tb_noisy")).await;
});

with_testbed!(a_wrong_password, dir, async {
    for host in ["tb_pw", "tb_kbd", "tb_two"] {
        let error = refused(ssh(&dir, host).password("pw-tb_wrong")).await;
        assert_eq!((error.phase, &error.kind), (Phase::Login, &FailureKind::WrongSecret(password())));
    }
});

with_testbed!(a_password_that_is_needed_and_not_given, dir, async {
    for host in ["tb_pw", "tb_kbd", "tb_two"] {
        let error = refused(ssh(&dir, host)).await;
        assert_eq!(error.kind, FailureKind::SecretNeeded(password()), "{error}");
    }
    let error = refused(ssh(&dir, "tb_pw").passphrase("unused")).await;
    assert_eq!(error.kind, FailureKind::SecretNeeded(password()), "{error}");
});

with_testbed!(a_passphrase, dir, async {
    let key = dir.join("ssh/client_pass");
    if !key.exists() {
        eprintln!("skipped: a_passphrase: the test bed has no key with a passphrase");
        return;
    }
    // ssh_config's own key would be tried first: leave that file aside.
    let plain = || {
        ssh(&dir, "127.0.0.1")
            .config("/dev/null")
            .user("tb_dash")
            .identity(key.to_string_lossy())
            .host_keys(HostKeys::Ignore)
            .port(port(&dir))
            .option("IdentitiesOnly=yes")
            .option("IdentityAgent=none")
            .option("PasswordAuthentication=no")
            .option("KbdInteractiveAuthentication=no")
    };
    born(plain().passphrase("key-passphrase")).await;
    let error = refused(plain().passphrase("pw-tb_wrong")).await;
    assert_eq!(error.kind, FailureKind::WrongSecret(SecretName("passphrase".into())), "{error}");
    let error = refused(plain().password("pw-tb_wrong")).await;
    assert_eq!(error.kind, FailureKind::SecretNeeded(SecretName("passphrase".into())), "{error}");
});

/// The port of the first server, from the testbed's facts.
fn port(dir: &std::path::Path) -> u16 {
    let text = std::fs::read_to_string(dir.join("env")).expect("the testbed's facts");
    let line = text.lines().find_map(|l| l.strip_prefix("MITOGEN_TESTBED_SSH_PORT=")).expect("a port");
    line.trim_matches('\'').parse().expect("a number")
}

with_testbed!(host_keys, dir, async {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = |name: &str| scratch.path().join(name);
    let with = |path: &std::path::Path| {
        ssh(&dir, "tb_dash").option(format!("UserKnownHostsFile={}", path.display()))
    };
    let known = file("known");
    let error = refused(with(&known)).await;
    assert_eq!((error.phase, &error.kind), (Phase::Login, &FailureKind::HostKeyUnknown));
    let error = refused(with(&known).password("pw-tb_dash")).await;
    assert_eq!(error.kind, FailureKind::HostKeyUnknown);
    // Whoever lets ssh ask is told what it asked.
    let asks = with(&known).password("pw-tb_dash").option("StrictHostKeyChecking=ask");
    assert_eq!(refused(asks).await.kind, FailureKind::HostKeyUnknown);
    assert!(!known.exists());

    born(with(&known).host_keys(HostKeys::AcceptNew)).await;
    let recorded = std::fs::read_to_string(&known).expect("the recorded key");
    born(with(&known)).await;

    let mut words: Vec<&str> = recorded.lines().next().expect("a line").split(' ').collect();
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEjZBuG5ddc3TbMFFxqJCqQkx3jt4vBPBTHr1vFKmYxz";
    words.truncate(1);
    let wrong = file("wrong");
    std::fs::write(&wrong, format!("{} {other}\n", words[0])).expect("written");
    for ssh in
        [with(&wrong), with(&wrong).host_keys(HostKeys::AcceptNew), with(&wrong).password("pw-tb_dash")]
    {
        let error = refused(ssh).await;
        assert_eq!(error.kind, FailureKind::HostKeyChanged, "{error}");
    }
    let revoked = file("revoked");
    std::fs::write(&revoked, recorded.lines().map(|l| format!("@revoked {l}\n")).collect::<String>())
        .expect("written");
    assert_eq!(refused(with(&revoked)).await.kind, FailureKind::HostKeyRevoked);
    // Ignoring means both files.
    born(ssh(&dir, "tb_dash").host_keys(HostKeys::Ignore)).await;
});

with_testbed!(hosts_that_cannot_be_reached, dir, async {
    let any = || ssh(&dir, "127.0.0.1").host_keys(HostKeys::Ignore);
    let error = refused(any().port(1)).await;
    assert_eq!((error.phase, &error.kind), (Phase::Login, &FailureKind::Refused));
    assert_eq!(refused(ssh(&dir, "no-such-host.invalid")).await.kind, FailureKind::Resolve);

    // An address that never answers, or has no route, depending on where this runs.
    let started = Instant::now();
    let plan = ssh(&dir, "192.0.2.1").plan();
    let error = connect(&plan, b"", Duration::from_secs(2)).await.expect_err("a failure");
    assert!(
        matches!(error.kind, FailureKind::TimedOut | FailureKind::Unreachable | FailureKind::Refused),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(4));

    // A port that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let plan = any().port(silent.local_addr().expect("an address").port()).plan();
    let error = connect(&plan, b"", Duration::from_secs(1)).await.expect_err("a failure");
    assert_eq!(error.kind, FailureKind::TimedOut, "{error}");
    drop(silent);
});

with_testbed!(an_expired_password, dir, async {
    let error = refused(ssh(&dir, "tb_expired")).await;
    assert_eq!(error.kind, FailureKind::PasswordExpired);
    let error =
        refused(ssh(&dir, "tb_expired").password("pw-tb_expired").option("PubkeyAuthentication=no")).await;
    assert_eq!(error.kind, FailureKind::PasswordExpired);
});

with_testbed!(accounts_without_a_shell, dir, async {
    for host in ["tb_nologin", "tb_sftp"] {
        let error = refused(ssh(&dir, host)).await;
        // The login itself went well.
        assert_eq!((error.phase, &error.kind), (Phase::Interpreter, &FailureKind::NotRun));
        assert!(!error.last_lines.is_empty() && error.hint.is_some());
    }
});

with_testbed!(client_options_that_would_be_in_the_way, dir, async {
    let with = |option: &str| ssh(&dir, "tb_dash").option(option);
    born(with("RequestTTY=force")).await;
    born(with("LogLevel=DEBUG3")).await;
    for (option, kinds) in [
        ("StdinNull=yes", &[FailureKind::NoInput][..]),
        // It depends on whether the one in the background got there before the tool's end was seen.
        ("ForkAfterAuthentication=yes", &[FailureKind::Background, FailureKind::NotRun]),
        ("RemoteCommand=id", &[FailureKind::ToolUsage]),
    ] {
        let error = refused(with(option)).await;
        assert!(kinds.contains(&error.kind), "{option}: {error}");
        let name = option.split('=').next().expect("a name");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains(name)), "{error}");
    }
    // Without a session nothing ever comes: only the deadline can tell.
    let error = connect(&with("SessionType=none").plan(), b"", Duration::from_secs(2)).await;
    let error = error.expect_err("a failure");
    assert_eq!((error.phase, &error.kind), (Phase::Login, &FailureKind::TimedOut));
});

with_testbed!(a_connection_that_is_shared_is_no_obstacle, dir, async {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("master");
    let shared = || {
        ssh(&dir, "tb_dash")
            .option("ControlMaster=auto")
            .option("ControlPersist=60")
            .option(format!("ControlPath={}", path.display()))
    };
    born(shared()).await;
    // The first one left a master behind, as its user has asked.
    assert!(path.exists());
    born(shared()).await;
    let config = dir.join("ssh_config");
    let mut stop = std::process::Command::new("ssh");
    stop.arg("-F").arg(config).arg(format!("-oControlPath={}", path.display())).args(["-Oexit", "tb_dash"]);
    assert!(stop.output().expect("ssh").status.success());
});

with_testbed!(a_missing_interpreter_on_the_far_side, dir, async {
    let error = refused(ssh(&dir, "tb_dash").python("/no/such/python")).await;
    assert_eq!((error.phase, &error.kind), (Phase::Interpreter, &FailureKind::Exec));
    assert_eq!(error.exit, Some(Exit::Status(127)));
});

with_testbed!(options_that_ssh_does_not_know, dir, async {
    let error = refused(ssh(&dir, "tb_dash").option("NoSuchOption=1")).await;
    assert_eq!(error.kind, FailureKind::ToolUsage);
    assert_eq!(refused(ssh(&dir, "tb_dash").ssh_path("no-such-ssh")).await.kind, FailureKind::ToolMissing);
});

with_testbed!(jump_hosts, dir, async {
    born(ssh(&dir, "hop2")).await;
    // By hand: no alias knows of it.
    born(ssh(&dir, "tb_tcsh").jump("tb_bash,tb_dash").compression(true)).await;
    let error = refused(ssh(&dir, "tb_dash").jump("tb_nowhere.invalid")).await;
    assert_eq!(error.kind, FailureKind::Resolve, "{error}");
});

with_testbed!(one_connection_for_several_contexts, dir, async {
    let scratch = tempfile::tempdir().expect("a directory");
    let socket = format!("ControlPath={}/%C", scratch.path().display());
    let shared = || ssh(&dir, "tb_dash").option("ControlMaster=auto").option(&socket);
    // The first is the master, and ends with its context: nothing is left behind.
    let connected = connect(&shared().plan(), preamble().as_bytes(), DEADLINE).await.expect("the master");
    born(shared()).await;
    born(shared().password("pw-tb_dash")).await;
    let (mut reader, writer) =
        connected.stream.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
    writer.send(&Message::new(ContextId::CONTROLLER, ContextId(1), Handle(106))).expect("sent");
    while let Ok(Some(_)) = reader.next().await {}
    let exit = Process::stop(&connected.process, Duration::from_secs(5), Duration::from_secs(1)).await;
    assert!(exit.is_some(), "the master ends");
    assert_eq!(std::fs::read_dir(scratch.path()).expect("the directory").count(), 0, "its socket is gone");
});

with_testbed!(login_scripts_count_for_the_deadline, dir, async {
    let started = Instant::now();
    let deadline = Duration::from_secs(3);
    let plan = ssh(&dir, "tb_slow").plan();
    let error = connect(&plan, preamble().as_bytes(), deadline).await.expect_err("a failure");
    assert_eq!((error.phase, &error.kind), (Phase::Login, &FailureKind::TimedOut), "{error}");
    assert!(error.last_lines.iter().any(|line| line.text == "just a moment"), "{error}");
    assert!(started.elapsed() < deadline + Duration::from_secs(3), "{error}");
});

with_testbed!(a_password_is_fetched_when_ssh_asks, dir, async {
    use mitogen_transport::{Credential, Method, connect_observed};
    for host in ["tb_pw", "tb_kbd", "tb_two"] {
        let method = Method::from(ssh(&dir, host).password(Credential::fetch(move |question| async move {
            assert!(question.text.to_lowercase().contains("password"), "{question:?}");
            Some(format!("pw-{host}"))
        })));
        let (plan, preamble) = (method.plan(), preamble());
        let connected =
            connect_observed(&plan, preamble.as_bytes(), DEADLINE, method.credentials(), &mut |_, _| {})
                .await;
        drop(connected.unwrap_or_else(|error| panic!("{error}")));
    }
});
