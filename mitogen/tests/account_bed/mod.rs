//! The testbed's accounts, and ways to be them.
#![allow(dead_code)] // each test file uses some of it

use mitogen::{ConnectError, Context, Error, FailureKind, Method, Router, SecretName, Ssh, Sudo};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// What connects in a second or two, and refuses in three, does neither at the end of this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn testbed(test: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("MITOGEN_TESTBED").map(PathBuf::from);
    match &dir {
        None => eprintln!("skipped: {test}: MITOGEN_TESTBED does not name a testbed"),
        Some(dir) => {
            let facts = std::fs::read_to_string(dir.join("env")).expect("the testbed's facts");
            assert!(facts.contains("MITOGEN_TESTBED_ACCOUNTS"), "an older testbed: bring it up anew");
        }
    }
    dir
}

/// A test with a [`Bed`], or its skip.
macro_rules! on_testbed {
    ($name:ident, $bed:ident, $story:expr) => {
        #[tokio::test]
        async fn $name() {
            let Some(dir) = account_bed::testbed(stringify!($name)) else { return };
            let $bed = account_bed::Bed::new(dir);
            $story.await;
            $bed.router.shutdown().await.expect("an orderly end");
        }
    };
}

/// A router, and ways to be one of the testbed's accounts.
pub(crate) struct Bed {
    pub(crate) dir: PathBuf,
    pub(crate) router: Router,
    /// Programs that run others as another account: as root alone can.
    pub(crate) scratch: tempfile::TempDir,
}

pub(crate) fn password(account: &str) -> String {
    format!("pw-{account}")
}

impl Bed {
    pub(crate) fn new(dir: PathBuf) -> Bed {
        let router = Router::builder().connect_timeout(DEADLINE).build().expect("a router");
        Bed { dir, router, scratch: tempfile::tempdir().expect("a directory") }
    }

    /// A context of this account, by ssh.
    pub(crate) async fn account(&self, account: &str) -> Context {
        let ssh = Ssh::new(account).config(self.dir.join("ssh_config").to_string_lossy());
        self.router.connect(ssh).await.unwrap_or_else(|error| panic!("{account}: {error}"))
    }

    /// A program that is `tool`, run by this account with these settings.
    pub(crate) fn tool(&self, tool: &str, account: &str, environment: &str) -> String {
        let name = format!("{tool}-{account}-{}", environment.replace([' ', '=', '.'], "-"));
        let path = self.scratch.path().join(name);
        let script = format!(
            "#!/bin/sh\ncd /\nexec setpriv --reuid {account} --regid {account} --init-groups \
             env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/{account} USER={account} {environment} {tool} \"$@\"\n"
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        path.to_string_lossy().into_owned()
    }

    /// sudo, as this account would run it here.
    pub(crate) fn sudo(&self, account: &str) -> Sudo {
        Sudo::new().sudo_path(self.tool("sudo", account, ""))
    }

    pub(crate) async fn is(&self, method: impl Into<Method>, user: &str) {
        let method = method.into();
        let hop = method.hop();
        let context = self.router.connect(method).await.unwrap_or_else(|error| panic!("{hop}: {error}"));
        check(&context, user).await;
        context.shutdown().await.expect("an orderly end");
    }

    pub(crate) async fn fails(&self, method: impl Into<Method>) -> Box<ConnectError> {
        told(self.router.connect(method).await)
    }
}

/// Calls something, and something large, so that a terminal in between shows.
pub(crate) async fn check(context: &Context, user: &str) {
    let name: String = context.call("getpass.getuser", ()).await.expect("a call");
    let uid: u32 = context.call("os.geteuid", ()).await.expect("a call");
    assert_eq!(uid == 0, user == "root", "{name}");
    let id = context.exec(mitogen::Command::new("id").arg("-un")).await.expect("id").stdout;
    assert_eq!(String::from_utf8_lossy(&id).trim(), user);
    // Bytes that a terminal would take for its own, far beyond its line.
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let blob = mitogen::Value::Bytes(bytes.clone().into());
    let back: mitogen::Value = context
        .call("operator.concat", (blob, mitogen::Value::Bytes(Vec::new().into())))
        .await
        .expect("an echo");
    assert_eq!(back.as_bytes(), Some(&bytes[..]));
}

pub(crate) fn told(result: Result<Context, Error>) -> Box<ConnectError> {
    match result {
        Err(Error::Connect(error)) => {
            eprintln!("{error}\n");
            assert!(error.elapsed < DEADLINE - Duration::from_secs(1), "only the deadline ended it");
            assert!(!format!("{error} {error:?}").contains("pw-tb"), "a secret: {error:?}");
            error
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn wrong() -> FailureKind {
    FailureKind::WrongSecret(SecretName("password".into()))
}

pub(crate) fn needed() -> FailureKind {
    FailureKind::SecretNeeded(SecretName("password".into()))
}

pub(crate) fn wrong_of(what: &str) -> FailureKind {
    FailureKind::WrongSecret(SecretName(what.into()))
}
