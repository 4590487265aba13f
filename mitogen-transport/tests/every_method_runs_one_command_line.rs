//! What each method runs, word by word. The boot command itself is shown as one word.

use mitogen_bootstrap::plan::EnvChange;
use mitogen_transport::{
    Buildah, Custom, Doas, Docker, HostKeys, Incus, Jail, Kubectl, Local, Lxc, Lxd, Method, OptionValue,
    Podman, Setns, Ssh, Su, Sudo,
};

/// The command line with a named interpreter, in which the boot command is `BOOT`, quoted for a shell `exec BOOT`,
/// that of a tool that was told its language `BOOT'`, and sudo's random number `NONCE`.
fn argv(method: impl Into<Method>) -> String {
    let method = method.into();
    let boot = Local::new().python("py").plan().argv;
    let told = [&boot[..2], &[format!("unset LANGUAGE;{}", boot[2])], &boot[3..]].concat();
    let line = |boot: &[String]| {
        boot.iter().map(|word| mitogen_transport::quote::word(word)).collect::<Vec<_>>().join(" ")
    };
    let plan = method.plan();
    let tells = plan.env.contains(&EnvChange::Set("LANGUAGE".into(), "C".into()));
    let (boot, name) = if tells { (told, "BOOT'") } else { (boot, "BOOT") };
    let mut words = plan.argv;
    if let Some(at) = words.windows(boot.len()).position(|window| window == boot) {
        words.splice(at..at + boot.len(), [name.to_owned()]);
    }
    let shown = words.iter().map(|word| {
        let word = word.replace(&line(&boot), name);
        let nonce = word.strip_prefix("mitogen-").is_some_and(|rest| rest.len() == 17 && rest.ends_with(':'));
        let word = if nonce { "NONCE".to_owned() } else { word };
        if word.is_empty() || word.contains(' ') { format!("[{word}]") } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn accounts() {
    assert_eq!(argv(Local::new().python("py")), "BOOT");
    assert_eq!(argv(Sudo::new().python("py")), "sudo -u root -p NONCE -- BOOT'");
    assert_eq!(argv(Sudo::new().user("bob").password("x").python("py")), "sudo -u bob -p NONCE -- BOOT'");
    assert_eq!(argv(Sudo::new().terminal(false).python("py")), "sudo -u root -n -- BOOT'");
    let all = Sudo::new()
        .sudo_path("/opt/sudo")
        .set_home(true)
        .preserve_env(true)
        .selinux_role("r")
        .selinux_type("t")
        .args(["-g", "wheel"]);
    assert_eq!(argv(all.python("py")), "/opt/sudo -u root -p NONCE -H -E -r r -t t -g wheel -- BOOT'");
    let login = Sudo::new().login(true).python("py").plan().argv;
    assert_eq!(login[5..8], ["-i", "--", "sh"]);
    assert_eq!(argv(Su::new().python("py")), "su root -c [exec BOOT']");
    assert_eq!(
        argv(
            Su::new()
                .user("bob")
                .login(true)
                .shell("/bin/sh")
                .args(["-g", "x"])
                .su_path("/bin/su")
                .python("py")
        ),
        "/bin/su - -s /bin/sh -g x bob -c [exec BOOT']"
    );
    assert_eq!(argv(Doas::new().python("py")), "doas -u root -- BOOT'");
    assert_eq!(
        argv(Doas::new().user("bob").doas_path("/bin/doas").args(["-L"]).python("py")),
        "/bin/doas -u bob -L -- BOOT'"
    );
}

#[test]
fn containers() {
    assert_eq!(argv(Docker::new("c").python("py")), "docker exec --interactive -- c BOOT");
    assert_eq!(
        argv(Docker::new("c").user("bob").args(["-H", "unix:///s"]).tool_path("/bin/docker").python("py")),
        "/bin/docker -H unix:///s exec --interactive --user bob -- c BOOT"
    );
    assert_eq!(
        argv(Docker::image("i:1").user("bob").python("py")),
        "docker run --interactive --rm --entrypoint= --user bob -- i:1 BOOT"
    );
    assert_eq!(argv(Podman::new("c").python("py")), "podman exec --interactive -- c BOOT");
    assert_eq!(
        argv(Podman::image("i").python("py")),
        "podman run --interactive --rm --entrypoint= -- i BOOT"
    );
    assert_eq!(argv(Buildah::new("c").user("bob").python("py")), "buildah run --user bob -- c BOOT");
    assert_eq!(argv(Lxc::new("c").python("py")), "lxc-attach --clear-env --name=c -- BOOT");
    assert_eq!(
        argv(Lxc::new("c").lxc_path("/lxc").args(["-u", "1000"]).lxc_attach_path("/bin/a").python("py")),
        "/bin/a --clear-env --lxcpath=/lxc -u 1000 --name=c -- BOOT"
    );
    assert_eq!(argv(Lxd::new("c").python("py")), "lxc exec --mode=non-interactive c -- BOOT");
    assert_eq!(
        argv(Lxd::new("far:c").uid(1000).project("p").args(["--cwd=/"]).python("py")),
        "lxc exec --mode=non-interactive --user=1000 --project=p --cwd=/ far:c -- BOOT"
    );
    assert_eq!(argv(Incus::new("c").python("py")), "incus exec --mode=non-interactive c -- BOOT");
    assert_eq!(argv(Kubectl::new("p").python("py")), "kubectl exec --stdin p -- BOOT");
    assert_eq!(
        argv(Kubectl::new("deploy/p").namespace("n").container("c").args(["--context=x"]).python("py")),
        "kubectl --context=x exec --stdin --namespace=n --container=c deploy/p -- BOOT"
    );
    assert_eq!(argv(Jail::new("j").python("py")), "jexec j BOOT");
    assert_eq!(argv(Jail::new("j").user("bob").login(true).python("py")), "jexec -l -U bob j BOOT");
    assert_eq!(argv(Setns::pid(7).python("py")), "nsenter -t 7 --all -- BOOT");
    assert_eq!(
        argv(Setns::pid(7).args(["-m", "-n"]).uid(1).gid(2).nsenter_path("/bin/n").python("py")),
        "/bin/n -t 7 -m -n --setuid=1 --setgid=2 -- BOOT"
    );
    for (method, tool) in [
        (Setns::docker("c"), "docker"),
        (Setns::podman("c"), "podman"),
        (Setns::lxc("c"), "lxc-info"),
        (Setns::lxd("c"), "lxc"),
        (Setns::incus("c"), "incus"),
        (Setns::machinectl("c"), "machinectl"),
    ] {
        let words = method.python("py").plan().argv;
        assert_eq!(words[..2], ["sh", "-c"]);
        assert_eq!(words[3..8], ["nsenter", "c", tool, "--all", "--"]);
    }
}

#[test]
fn hosts() {
    let base = "ssh -T -oBatchMode=yes -oStrictHostKeyChecking=yes -oServerAliveInterval=15";
    assert_eq!(argv(Ssh::new("h").python("py")), format!("{base} h [exec BOOT]"));
    assert_eq!(
        argv(Ssh::new("h").user("u").port(22).identity("/k").keepalive(None).python("py")),
        "ssh -T -oBatchMode=yes -oStrictHostKeyChecking=yes -lu -p22 -i/k h [exec BOOT]"
    );
    assert_eq!(
        argv(
            Ssh::new("h")
                .config("/c")
                .jump("a,b:22")
                .compression(true)
                .option("X=y")
                .args(["-4"])
                .python("py")
        ),
        "ssh -T -F/c -4 -oX=y -Ja,b:22 -oCompression=yes -oBatchMode=yes -oStrictHostKeyChecking=yes \
         -oServerAliveInterval=15 h [exec BOOT]"
    );
    assert_eq!(
        argv(Ssh::new("h").password("p").host_keys(HostKeys::AcceptNew).python("py")),
        "ssh -T -oNumberOfPasswordPrompts=1 -oStrictHostKeyChecking=accept-new -oServerAliveInterval=15 h [exec BOOT]"
    );
}

#[test]
fn commands_of_ones_own() {
    assert_eq!(argv(Custom::new("nice", ["-n", "5"]).python("py")), "nice -n 5 BOOT");
    assert_eq!(argv(Custom::new("x", ["{command}", "end"]).python("py")), "x BOOT end");
    assert_eq!(argv(Custom::new("x", ["-c", "y;{line}"]).python("py")), "x -c [y;exec BOOT]");
    let console = Custom::new("telnet", ["h"]).terminal().says("$", "{line}").python("py");
    assert_eq!(argv(console), "telnet h");
}

/// The same methods by the names that targets, files and Python code use.
#[test]
fn options_by_name_are_the_same_methods() {
    let from = |name: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(key, value)| (*key, OptionValue::from(*value)));
        argv(
            Method::from_options(name, options.chain([("python", "py".into())]))
                .unwrap_or_else(|why| panic!("{why}")),
        )
    };
    for (name, options, words) in [
        ("local", &[][..], "BOOT"),
        ("sudo", &[("argument", "bob"), ("set_home", "yes")], "sudo -u bob -p NONCE -H -- BOOT'"),
        ("sudo", &[("username", "bob"), ("sudo_args", "-g wheel")], "sudo -u bob -p NONCE -g wheel -- BOOT'"),
        ("su", &[("argument", "bob"), ("login", "no")], "su bob -c [exec BOOT']"),
        ("doas", &[("argument", "bob")], "doas -u bob -- BOOT'"),
        ("docker", &[("container", "c"), ("username", "u")], "docker exec --interactive --user u -- c BOOT"),
        ("docker", &[("image", "i")], "docker run --interactive --rm --entrypoint= -- i BOOT"),
        ("podman", &[("argument", "c")], "podman exec --interactive -- c BOOT"),
        ("buildah", &[("argument", "c")], "buildah run -- c BOOT"),
        ("lxc", &[("argument", "c")], "lxc-attach --clear-env --name=c -- BOOT"),
        ("lxd", &[("argument", "c"), ("uid", "5")], "lxc exec --mode=non-interactive --user=5 c -- BOOT"),
        ("incus", &[("argument", "c")], "incus exec --mode=non-interactive c -- BOOT"),
        ("kubectl", &[("pod", "p"), ("namespace", "n")], "kubectl exec --stdin --namespace=n p -- BOOT"),
        ("jail", &[("container", "j")], "jexec j BOOT"),
        ("setns", &[("argument", "7")], "nsenter -t 7 --all -- BOOT"),
        ("custom", &[("argv", "nice")], "nice BOOT"),
        (
            "ssh",
            &[("argument", "u@h:22"), ("keepalive_enabled", "no")],
            "ssh -T -oBatchMode=yes -oStrictHostKeyChecking=yes -lu -p22 h [exec BOOT]",
        ),
    ] {
        assert_eq!(from(name, options), words, "{name} {options:?}");
    }
    let setns = |options: &[(&str, &str)]| {
        let options = options.iter().map(|(key, value)| (*key, OptionValue::from(*value)));
        Method::from_options("setns", options.collect::<Vec<_>>()).map(|method| method.hop())
    };
    assert_eq!(setns(&[("argument", "7"), ("kind", "lxc")]), Ok("setns:7?kind=lxc".into()));
    assert_eq!(setns(&[("kind", "lxc"), ("container", "c")]), Ok("setns:c?kind=lxc".into()));
}

#[test]
fn options_that_are_none_are_refused() {
    let from = |name: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(key, value)| (*key, OptionValue::from(*value)));
        match Method::from_options(name, options) {
            Ok(method) => panic!("{method:?}"),
            Err(why) => why.to_string(),
        }
    };
    assert!(from("telnet", &[]).contains("available: local, ssh, sudo"));
    assert!(from("sudo", &[("chroot", "x")]).contains("it takes: username, password"));
    assert!(from("docker", &[]).contains("needs `container`"));
    assert!(from("ssh", &[("port", "22")]).contains("needs `hostname`"));
    assert!(from("ssh", &[("hostname", "h"), ("port", "70000")]).contains("is no port"));
    assert!(from("setns", &[("pid", "me")]).contains("is no process id"));
    assert!(from("sudo", &[("login", "perhaps")]).contains("yes or no"));
    assert!(from("ssh", &[("hostname", "h"), ("check_host_keys", "maybe")]).contains("one of"));
    assert!(from("local", &[("connect_timeout", "0")]).contains("seconds"));
}
