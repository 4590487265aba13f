//! Contexts in real containers and namespaces, started here and from contexts elsewhere. `MITOGEN_TESTBED`
//! names the testbed; without it, or where it could not start containers, these tests skip themselves.

mod common;

use futures_util::future::join_all;
use mitogen::{
    Buildah, Command, ConnectError, Context, Custom, Docker, Error, FailureKind, HostKeys, Kubectl, Lxc, Lxd,
    Method, Phase, Podman, Router, Setns, Ssh, Sudo,
};
use std::collections::BTreeMap;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// The testbed's facts, if it has this kind of container.
fn testbed(test: &str, kind: &str) -> Option<BTreeMap<String, String>> {
    let Some(dir) = std::env::var_os("MITOGEN_TESTBED") else {
        eprintln!("skipped: {test}: MITOGEN_TESTBED does not name a testbed");
        return None;
    };
    let text = std::fs::read_to_string(std::path::Path::new(&dir).join("env")).expect("the testbed's facts");
    let facts: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("MITOGEN_TESTBED_")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect();
    assert!(facts.contains_key("CONTAINER"), "an older testbed: bring it up anew");
    if !facts.contains_key(kind) {
        let why = facts.get(&format!("WITHOUT_{kind}")).map_or("required, and not told of", String::as_str);
        eprintln!("skipped: {test}: {kind}: {why}");
        return None;
    }
    Some(facts)
}

fn router() -> Router {
    Router::builder().connect_timeout(DEADLINE).build().expect("a router")
}

async fn host(context: &Context) -> String {
    context.call("platform.node", ()).await.expect("a call")
}

async fn is_at(router: &Router, method: impl Into<Method>, name: &str) {
    let method = method.into();
    let hop = method.hop();
    let context = router.connect(method).await.unwrap_or_else(|error| panic!("{hop}: {error}"));
    assert_eq!(host(&context).await, name, "{hop}");
    context.shutdown().await.expect("an orderly end");
}

fn told(result: Result<Context, Error>) -> Box<ConnectError> {
    match result {
        Err(Error::Connect(error)) => {
            eprintln!("{error}\n");
            assert!(error.elapsed < DEADLINE - Duration::from_secs(1), "only the deadline ended it");
            error
        }
        other => panic!("{other:?}"),
    }
}

async fn fails(router: &Router, method: impl Into<Method>, kind: FailureKind) {
    let method = method.into();
    let hop = method.hop();
    let error = told(router.connect(method).await);
    assert_eq!((error.hop, error.kind), (hop, kind));
}

#[tokio::test]
async fn lxc() {
    let Some(bed) = testbed("lxc", "LXC") else { return };
    let router = router();
    let lxc = |name: &str| Lxc::new(name).lxc_path(&bed["LXC"]);
    is_at(&router, lxc("tb"), "tb-lxc").await;
    is_at(&router, lxc("tb").python("python3"), "tb-lxc").await;
    fails(&router, lxc(&bed["CONTAINER_STOPPED"]), FailureKind::TargetStopped).await;
    fails(&router, lxc("tb").python("/no/such/python"), FailureKind::Exec).await;
    fails(&router, lxc("tb").args(["--no-such-option"]), FailureKind::ToolUsage).await;
    is_at(&router, Setns::lxc("tb").tool_path(lxc_info(&bed)), "tb-lxc").await;
    fails(&router, Setns::lxc("nope").tool_path(lxc_info(&bed)), FailureKind::TargetMissing).await;
    let stopped = Setns::lxc(&bed["CONTAINER_STOPPED"]).tool_path(lxc_info(&bed));
    fails(&router, stopped, FailureKind::TargetStopped).await;
    router.shutdown().await.expect("an orderly end");
}

/// lxc-info takes the place of the containers as an option, which a path cannot hold.
fn lxc_info(bed: &BTreeMap<String, String>) -> String {
    tool("lxc-info", &format!("exec lxc-info -P {} \"$@\"", bed["LXC"]))
}

/// A program of this name that runs this line of shell.
fn tool(name: &str, line: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let script = format!("#!/bin/sh\n{line}\n");
    // Written whole and then put in place: several tests may do it at once.
    let fresh = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    std::fs::write(fresh.path(), script).expect("a script");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(fresh.path(), mode).expect("a mode");
    drop(fresh.into_temp_path().persist(&path));
    path.to_string_lossy().into_owned()
}

#[tokio::test]
async fn podman() {
    let Some(bed) = testbed("podman", "PODMAN") else { return };
    let router = router();
    let podman = |name: &str| Podman::new(name).tool_path(&bed["PODMAN"]);
    is_at(&router, podman("tb"), "tb-podman").await;
    let user = router.connect(podman("tb").user("user1")).await.expect("another user");
    assert_eq!(user.call::<u32>("os.getuid", ()).await.expect("a call"), 1000);
    fails(&router, podman("tb").user("nobody-here"), FailureKind::NoSuchUser).await;
    fails(&router, podman("no-such-container"), FailureKind::TargetMissing).await;
    fails(&router, podman(&bed["CONTAINER_STOPPED"]), FailureKind::TargetStopped).await;
    fails(&router, podman("tb").python("/no/such/python"), FailureKind::Exec).await;
    let setns = |name: &str| Setns::podman(name).tool_path(&bed["PODMAN"]);
    is_at(&router, setns("tb"), "tb-podman").await;
    fails(&router, setns("no-such-container"), FailureKind::TargetMissing).await;
    fails(&router, setns(&bed["CONTAINER_STOPPED"]), FailureKind::TargetStopped).await;
    // A container of its own, which goes with its context.
    let image = || Podman::image("localhost/tb:std").tool_path(&bed["PODMAN"]);
    let context = router.connect(image()).await.expect("a container of an image");
    assert_eq!(context.call::<u32>("os.getuid", ()).await.expect("a call"), 0);
    let name = host(&context).await;
    context.shutdown().await.expect("an orderly end");
    fails(&router, image().python("/no/such/python"), FailureKind::Exec).await;
    common::wait_for("the container to go", || !names_of_containers(&bed).contains(&name));
    router.shutdown().await.expect("an orderly end");
}

/// Those that podman knows; without `--name` the host's name is the start of the number.
fn names_of_containers(bed: &BTreeMap<String, String>) -> String {
    let mut list = std::process::Command::new(&bed["PODMAN"]);
    let out = list.args(["ps", "-a", "--format", "{{.ID}} {{.Names}}"]).output().expect("podman");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[tokio::test]
async fn lxd() {
    let Some(bed) = testbed("lxd", "LXD") else { return };
    let router = router();
    let lxd = |name: &str| Lxd::new(name).tool_path(&bed["LXD"]);
    is_at(&router, lxd("tb-lxd"), "tb-lxd").await;
    is_at(&router, lxd("local:tb-lxd").python("python3"), "tb-lxd").await;
    let user = router.connect(lxd("tb-lxd").uid(1000).project("default")).await.expect("another user");
    assert_eq!(user.call::<u32>("os.getuid", ()).await.expect("a call"), 1000);
    fails(&router, lxd("no-such-container"), FailureKind::TargetMissing).await;
    fails(&router, lxd("tb-lxd").project("no-such-project"), FailureKind::TargetMissing).await;
    fails(&router, lxd("nowhere:tb-lxd"), FailureKind::TargetMissing).await;
    fails(&router, lxd("tb-lxd-stopped"), FailureKind::TargetStopped).await;
    fails(&router, lxd("tb-lxd").python("/no/such/python"), FailureKind::Exec).await;
    fails(&router, lxd("tb-lxd").args(["--no-such-option"]), FailureKind::ToolUsage).await;
    let script = |name: &str, line: &str| tool(name, &line.replace("LXC", &bed["LXD"]));
    let nobody = script(
        "lxc-nobody",
        "LXD_CONF=/tmp exec setpriv --reuid 65534 --regid 65534 --clear-groups LXC \"$@\"",
    );
    fails(&router, Lxd::new("tb-lxd").tool_path(nobody), FailureKind::NotPermitted).await;
    let nowhere = script("lxc-nowhere", "LXD_DIR=/no/such/place exec LXC \"$@\"");
    fails(&router, Lxd::new("tb-lxd").tool_path(nowhere), FailureKind::Refused).await;
    let setns = |name: &str| Setns::lxd(name).tool_path(&bed["LXD"]);
    is_at(&router, setns("tb-lxd"), "tb-lxd").await;
    fails(&router, setns("no-such-container"), FailureKind::TargetMissing).await;
    fails(&router, setns("tb-lxd-stopped"), FailureKind::TargetStopped).await;
    router.shutdown().await.expect("an orderly end");
}

#[tokio::test]
async fn kubectl() {
    let Some(bed) = testbed("kubectl", "KUBECONFIG") else { return };
    let router = router();
    // The real kubectl, and a server that knows as much of the protocol as it needs.
    let config = format!("--kubeconfig={}", bed["KUBECONFIG"]);
    let pod = |name: &str| {
        Kubectl::new(name)
            .args([&config])
            .kubectl_path(tool("kubectl", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true exec kubectl \"$@\""))
    };
    // It says on standard error which container it took.
    is_at(&router, pod("good"), "tb-podman").await;
    is_at(&router, pod("good").namespace("other").container("side").python("python3"), "tb-podman").await;
    fails(&router, pod("no-such-pod"), FailureKind::TargetMissing).await;
    fails(&router, pod("good").namespace("nowhere"), FailureKind::TargetMissing).await;
    fails(&router, pod("good").container("no-such-container"), FailureKind::TargetMissing).await;
    fails(&router, pod("done"), FailureKind::TargetStopped).await;
    fails(&router, pod("mine"), FailureKind::NotPermitted).await;
    fails(&router, pod("good").python("/no/such/python"), FailureKind::Exec).await;
    fails(&router, pod("good").args(["--no-such-option"]), FailureKind::ToolUsage).await;
    fails(&router, pod("good").args(["--context=nowhere"]), FailureKind::ToolUsage).await;
    fails(&router, pod("good").args(["--server=http://127.0.0.1:1"]), FailureKind::Refused).await;
    // Bytes of every value, and many of them, both ways.
    let context = router.connect(pod("good")).await.expect("a pod");
    let bytes: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let sent = mitogen::Value::Bytes(bytes.clone().into());
    let empty = mitogen::Value::Bytes(Vec::new().into());
    let back: mitogen::Value = context.call("operator.concat", (sent, empty)).await.expect("an echo");
    assert_eq!(back.as_bytes(), Some(&bytes[..]));
    // And from a context elsewhere.
    let local = router.connect(mitogen::Local::new()).await.expect("a context");
    let child = local.connect(pod("good")).await.expect("a pod behind a context");
    assert_eq!(host(&child).await, "tb-podman");
    router.shutdown().await.expect("an orderly end");
}

#[tokio::test]
async fn docker_s_client() {
    let Some(bed) = testbed("docker_s_client", "PODMAN") else { return };
    let Some(_) = testbed("docker_s_client", "DOCKER") else { return };
    // podman speaks docker's language at a socket.
    let scratch = tempfile::tempdir().expect("a directory");
    let socket = format!("unix://{}/podman.sock", scratch.path().display());
    let mut service = std::process::Command::new(&bed["PODMAN"])
        .args(["system", "service", "-t", "0", &socket])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("podman");
    common::wait_for("the socket", || scratch.path().join("podman.sock").exists());
    let router = router();
    let docker = |name: &str| Docker::new(name).args(["-H", &socket]);
    let done = async {
        is_at(&router, docker("tb"), "tb-podman").await;
        is_at(&router, docker("tb").user("user1"), "tb-podman").await;
        let image = Docker::image("localhost/tb:std").args(["-H", &socket]);
        let context = router.connect(image).await.expect("a container of an image");
        let name = host(&context).await;
        context.shutdown().await.expect("an orderly end");
        common::wait_for("the container to go", || !names_of_containers(&bed).contains(&name));
        fails(&router, docker("no-such-container"), FailureKind::TargetMissing).await;
        fails(&router, docker(&bed["CONTAINER_STOPPED"]), FailureKind::TargetStopped).await;
        let setns = |name: &str| {
            Setns::docker(name).tool_path(tool("docker", &format!("exec docker -H {socket} \"$@\"")))
        };
        is_at(&router, setns("tb"), "tb-podman").await;
        fails(&router, setns("no-such-container"), FailureKind::TargetMissing).await;
        fails(&router, setns(&bed["CONTAINER_STOPPED"]), FailureKind::TargetStopped).await;
        let nobody = Docker::new("tb").args(["-H", "unix:///no/such/socket"]);
        fails(&router, nobody, FailureKind::Refused).await;
        router.shutdown().await.expect("an orderly end");
    };
    done.await;
    service.kill().expect("a signal");
    service.wait().expect("its end");
}

#[tokio::test]
async fn buildah() {
    let Some(bed) = testbed("buildah", "BUILDAH") else { return };
    let router = router();
    let buildah = |name: &str| Buildah::new(name).tool_path(&bed["BUILDAH"]);
    let context = router.connect(buildah(&bed["CONTAINER_WORKING"])).await.expect("a working container");
    let passwd: String = context.call("linecache.getline", ("/etc/passwd", 2)).await.expect("a call");
    assert!(passwd.starts_with("user1:"), "{passwd}");
    fails(&router, buildah("no-such-container"), FailureKind::TargetMissing).await;
    router.shutdown().await.expect("an orderly end");
}

#[tokio::test]
async fn namespaces_of_a_process() {
    let Some(_) = testbed("namespaces_of_a_process", "NAMESPACES") else { return };
    let router = router();
    let flags = ["-Urpfu", "--mount-proc", "--kill-child"];
    let inner = router.connect(Custom::new("unshare", flags)).await.expect("namespaces of our own");
    assert_eq!(inner.call::<u32>("os.getpid", ()).await.expect("a call"), 1, "the first process there");
    inner.call::<()>("socket.sethostname", ("tb-inner",)).await.expect("a name");
    // Its number here: the only child of unshare.
    let pids: Vec<u32> = common::children();
    let pid = pids.into_iter().flat_map(children_of).find(|pid| hostname_of(*pid)).expect("the process");
    is_at(&router, Setns::pid(pid), "tb-inner").await;
    // machinectl wants systemd; what it prints of a machine's leader is known.
    let machinectl = format!(
        "[ \"$*\" = 'show -p Leader m' ] || {{ echo 'No machine known' >&2; exit 1; }}; echo Leader={pid}"
    );
    let machine = |name: &str| Setns::machinectl(name).tool_path(tool("machinectl", &machinectl));
    is_at(&router, machine("m"), "tb-inner").await;
    fails(&router, machine("no-such-machine"), FailureKind::TargetMissing).await;
    fails(&router, Setns::pid(4_000_000), FailureKind::TargetMissing).await;
    fails(&router, Setns::pid(pid).args(["--no-such-option"]), FailureKind::ToolUsage).await;
    router.shutdown().await.expect("an orderly end");
}

#[tokio::test]
async fn a_wire_that_takes_its_time() {
    let Some(bed) = testbed("a_wire_that_takes_its_time", "SLOW_SSH") else { return };
    let router = router();
    let ssh = Ssh::new("slow").config(&bed["SSH_CONFIG"]).ssh_path(&bed["SLOW_SSH"]);
    let far = router.connect(ssh).await.expect("ssh");
    let root = far.connect(Sudo::new()).await.expect("sudo");
    let inner = root.connect(mitogen::Local::new()).await.expect("local");
    let start = std::time::Instant::now();
    assert_eq!(inner.call::<u32>("os.geteuid", ()).await.expect("a call"), 0);
    // Both ways: else it is no slow wire that this has come by.
    let each_way = bed["SLOW_MS"].parse().expect("a number");
    assert!(start.elapsed() >= 2 * Duration::from_millis(each_way), "{:?}", start.elapsed());
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    let sent = mitogen::Value::Bytes(bytes.clone().into());
    let empty = mitogen::Value::Bytes(Vec::new().into());
    let back: mitogen::Value = inner.call("operator.concat", (sent, empty)).await.expect("an echo");
    assert_eq!(back.as_bytes(), Some(&bytes[..]));
    router.shutdown().await.expect("an orderly end");
}

fn children_of(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether the process has a host name of its own.
fn hostname_of(pid: u32) -> bool {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/uts")).ok();
    namespace(&pid.to_string()) != namespace("self")
}

/// What the front page of the original promises: a jump host, a host behind it, an account there, a container
/// that only that account can reach, and a script run in it.
#[tokio::test]
async fn the_nightly_billing_runs() {
    let Some(bed) = testbed("the_nightly_billing_runs", "PODMAN") else { return };
    let router = router();
    let bastion_host = Ssh::new("tb_bash").config(&bed["SSH_CONFIG"]);
    let bastion_host = router.connect(bastion_host).await.expect("the jump host");
    // With nothing that it could log in by but what we send: no key, no configuration.
    let docker_host = Ssh::new("127.0.0.1")
        .port(bed["SSH_PORT2"].parse().expect("a port"))
        .user("tb_sudopw")
        .password("pw-tb_sudopw")
        .config("/dev/null")
        .host_keys(HostKeys::Ignore);
    let docker_host = bastion_host.connect(docker_host).await.expect("the host behind it");
    let sudo_account = Sudo::new().user("root").password("pw-tb_sudopw");
    let sudo_account = docker_host.connect(sudo_account).await.expect("the account");
    let billing0 = Podman::new(&bed["CONTAINER"]).tool_path(&bed["PODMAN"]);
    let internal_box = sudo_account.connect(billing0).await.expect("the container");

    let users =
        [&bastion_host, &docker_host, &sudo_account].map(|context| context.call("getpass.getuser", ()));
    let users: Vec<String> = join_all(users).await.into_iter().map(|user| user.expect("a name")).collect();
    assert_eq!(users, ["tb_bash", "tb_sudopw", "root"]);
    assert_eq!(host(&internal_box).await, "tb-podman");
    let () = internal_box.call("os.chdir", ("/tmp",)).await.expect("a directory");
    let script =
        "#!/usr/bin/env python3\nopen('/tmp/billed', 'w').write('%s' % __import__('platform').node())\n";
    let install =
        format!("cat > run-nightly-billing.py <<'END'\n{script}END\nchmod +x run-nightly-billing.py");
    internal_box.exec(Command::new("sh").arg("-c").arg(install)).await.expect("a script");
    let status: u32 = internal_box.call("os.system", ("./run-nightly-billing.py",)).await.expect("a status");
    let billed = internal_box.exec(Command::new("cat").arg("billed")).await.expect("its trace");
    assert_eq!((status, &billed.stdout[..]), (0, &b"tb-podman"[..]));
    internal_box.exec(Command::new("rm").arg("billed").arg("run-nightly-billing.py")).await.expect("removed");
    router.shutdown().await.expect("an orderly end");
}

#[tokio::test]
async fn a_chain_of_five_through_a_container() {
    let Some(bed) = testbed("a_chain_of_five_through_a_container", "LXC") else { return };
    let config = std::path::Path::new(&bed["SSH_CONFIG"]);
    let router = router();
    let first = router.connect(Ssh::new("tb_sudopw").config(config.to_string_lossy())).await.expect("ssh");
    let second = first.connect(Sudo::new().password("pw-tb_sudopw")).await.expect("sudo");
    let third = second.connect(Lxc::new("tb").lxc_path(&bed["LXC"])).await.expect("lxc");
    let flags = ["-Uru", "--kill-child"];
    let fourth = third.connect(Custom::new("unshare", flags)).await.expect("unshare");
    fourth.call::<()>("socket.sethostname", ("tb-deep",)).await.expect("a name");
    // Not all of them: the control groups belong to the container.
    let leader = fourth.call("os.getpid", ()).await.expect("a call");
    let fifth = fourth.connect(Setns::pid(leader).args(["--uts"])).await.expect("setns");
    assert_eq!(host(&fifth).await, "tb-deep");
    assert_eq!(host(&third).await, "tb-lxc");
    let error = told(second.connect(Lxc::new("nope").lxc_path(&bed["LXC"])).await);
    assert_eq!((error.phase, error.kind), (Phase::Login, FailureKind::TargetStopped));
    // Without root's rights.
    let error = told(first.connect(Lxc::new("tb").lxc_path(&bed["LXC"])).await);
    assert_eq!(error.kind, FailureKind::NotPermitted);
    router.shutdown().await.expect("an orderly end");
}
