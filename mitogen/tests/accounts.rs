//! Contexts of other accounts, by the real sudo, su and doas: started here and from contexts elsewhere.
//! `MITOGEN_TESTBED` names the testbed; without it these tests skip themselves, out loud.

#[macro_use]
mod account_bed;
mod common;

use account_bed::{check, needed, password, told, wrong};
use futures_util::future::join_all;
use mitogen::{Credential, Doas, FailureKind, Method, Phase, Su, Sudo};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

on_testbed!(sudo_without_a_password, bed, async {
    for account in ["tb_sudo", "tb_sudotty", "tb_sudopty", "tb_sudolog"] {
        bed.is(bed.sudo(account), "root").await;
        // Given and not asked for.
        bed.is(bed.sudo(account).password("pw-tb_unused").user("tb_target"), "tb_target").await;
    }
    bed.is(bed.sudo("tb_sudo").terminal(false), "root").await;
    let error = bed.fails(bed.sudo("tb_sudotty").terminal(false)).await;
    assert_eq!(error.kind, FailureKind::NoTerminal);
});

on_testbed!(sudo_with_a_password_however_it_asks, bed, async {
    let accounts = ["tb_sudopw", "tb_sudoprompt", "tb_sudolect", "tb_sudofb", "tb_sudoonce"];
    let each = accounts.map(async |account| {
        bed.is(bed.sudo(account).password(password(account)), "root").await;
        let error = bed.fails(bed.sudo(account).password("pw-tb_wrong")).await;
        assert_eq!((error.phase, &error.kind), (Phase::Login, &wrong()), "{account}");
        let error = bed.fails(bed.sudo(account)).await;
        assert_eq!(error.kind, needed(), "{account}");
    });
    // Whoever is refused waits for seconds.
    join_all(each).await;
    let error = bed.fails(bed.sudo("tb_sudopw").terminal(false)).await;
    assert_eq!(error.kind, needed());
});

on_testbed!(sudo_in_any_language, bed, async {
    let each = ["de_DE", "fr_FR", "zh_CN"].map(async |locale| {
        let sudo = |account: &str| {
            Sudo::new().sudo_path(bed.tool(
                "sudo",
                account,
                &format!("LC_ALL={locale}.UTF-8 LANG={locale}.UTF-8"),
            ))
        };
        bed.is(sudo("tb_sudopw").password("pw-tb_sudopw"), "root").await;
        assert_eq!(bed.fails(sudo("tb_sudopw").password("pw-tb_wrong")).await.kind, wrong(), "{locale}");
        assert_eq!(bed.fails(sudo("tb_sudopw")).await.kind, needed(), "{locale}");
        let refused = bed.fails(sudo("tb_nosudo").password("pw-tb_nosudo")).await;
        assert_eq!(refused.kind, FailureKind::NotPermitted, "{locale}");
    });
    join_all(each).await;
});

on_testbed!(what_else_sudo_refuses, bed, async {
    let error = bed.fails(bed.sudo("tb_nosudo").password("pw-tb_nosudo")).await;
    assert_eq!(error.kind, FailureKind::NotPermitted);
    let error = bed.fails(bed.sudo("tb_sudo").user("no-such-user")).await;
    assert_eq!(error.kind, FailureKind::NoSuchUser);
    let error = bed.fails(bed.sudo("tb_sudo").args(["--no-such-option"])).await;
    assert_eq!(error.kind, FailureKind::ToolUsage);
    let error = bed.fails(bed.sudo("tb_sudo").python("/no/such/python")).await;
    assert_eq!((error.phase, &error.kind), (Phase::Interpreter, &FailureKind::Exec));
    let error = bed.fails(Sudo::new().sudo_path("/no/such/sudo")).await;
    assert_eq!((error.phase, &error.kind), (Phase::Spawn, &FailureKind::ToolMissing));
});

on_testbed!(the_login_shell_of_an_account, bed, async {
    for python in [None, Some("python3")] {
        for user in ["tb_tcsh", "tb_zsh", "tb_fish", "tb_bash", "root"] {
            let mut sudo = bed.sudo("tb_sudo").user(user).login(true);
            if let Some(python) = python {
                sudo = sudo.python(python);
            }
            bed.is(sudo, user).await;
        }
    }
    let home = bed.router.connect(bed.sudo("tb_sudo").user("tb_target").login(true)).await.expect("a login");
    let dir: String = home.call("os.getcwd", ()).await.expect("a call");
    assert_eq!(dir, "/home/tb_target");
    let kept = bed.sudo("tb_sudo").set_home(true).preserve_env(true);
    bed.is(kept, "root").await;
});

on_testbed!(su_with_and_without_a_password, bed, async {
    let su = |environment: &str| Su::new().user("tb_target").su_path(bed.tool("su", "tb_su", environment));
    bed.is(Su::new().user("tb_target"), "tb_target").await;
    bed.is(Su::new().user("tb_tcsh").login(true), "tb_tcsh").await;
    bed.is(Su::new().user("tb_nologin").shell("/bin/sh"), "tb_nologin").await;
    let each = ["", "LC_ALL=de_DE.UTF-8", "LC_ALL=zh_CN.UTF-8"].map(async |environment| {
        bed.is(su(environment).password("pw-tb_target"), "tb_target").await;
        assert_eq!(bed.fails(su(environment).password("pw-tb_wrong")).await.kind, wrong(), "{environment}");
        assert_eq!(bed.fails(su(environment)).await.kind, needed(), "{environment}");
    });
    join_all(each).await;
    let error = bed.fails(su("").user("no-such-user").password("pw-tb_x")).await;
    assert_eq!(error.kind, FailureKind::NoSuchUser);
    let error = bed.fails(Su::new().user("tb_nologin")).await;
    assert_eq!(error.kind, FailureKind::AccountUnusable);
});

on_testbed!(doas_with_and_without_a_password, bed, async {
    let doas = |account: &str| Doas::new().doas_path(bed.tool("doas", account, ""));
    bed.is(doas("tb_doas"), "root").await;
    bed.is(doas("tb_doas").user("tb_target"), "tb_target").await;
    bed.is(doas("tb_doaspw").password("pw-tb_doaspw"), "root").await;
    assert_eq!(bed.fails(doas("tb_doaspw").password("pw-tb_wrong")).await.kind, wrong());
    assert_eq!(bed.fails(doas("tb_doaspw")).await.kind, needed());
    let error = bed.fails(doas("tb_nosudo").password("pw-tb_nosudo")).await;
    assert_eq!(error.kind, FailureKind::NotPermitted);
    assert_eq!(bed.fails(doas("tb_doas").user("no-such-user")).await.kind, FailureKind::NoSuchUser);
});

on_testbed!(the_same_from_a_context_elsewhere, bed, async {
    let become_root = async |account: &str, method: Method| {
        let context = bed.account(account).await;
        let child = context.connect(method).await.unwrap_or_else(|error| panic!("{account}: {error}"));
        check(&child, "root").await;
    };
    become_root("tb_sudo", Sudo::new().into()).await;
    become_root("tb_sudotty", Sudo::new().into()).await;
    become_root("tb_sudopw", Sudo::new().password("pw-tb_sudopw").into()).await;
    become_root("tb_sudofb", Sudo::new().password("pw-tb_sudofb").into()).await;
    become_root("tb_doaspw", Doas::new().password("pw-tb_doaspw").into()).await;
    let context = bed.account("tb_su").await;
    let child = context.connect(Su::new().user("tb_target").password("pw-tb_target")).await.expect("su");
    check(&child, "tb_target").await;
    let each = [
        ("tb_sudopw", Method::from(Sudo::new().password("pw-tb_wrong")), wrong()),
        ("tb_sudopw", Sudo::new().into(), needed()),
        ("tb_nosudo", Sudo::new().password("pw-tb_nosudo").into(), FailureKind::NotPermitted),
        ("tb_su", Su::new().user("tb_target").password("pw-tb_wrong").into(), wrong()),
        ("tb_su", Su::new().user("tb_target").into(), needed()),
        ("tb_doaspw", Doas::new().password("pw-tb_wrong").into(), wrong()),
        ("tb_doaspw", Doas::new().into(), needed()),
    ]
    .map(async |(account, method, kind)| {
        let context = bed.account(account).await;
        let error = told(context.connect(method).await);
        assert_eq!((error.phase, error.kind), (Phase::Login, kind), "{account}");
        let name: String = context.call("getpass.getuser", ()).await.expect("it lives on");
        assert_eq!(name, account);
    });
    join_all(each).await;
});

on_testbed!(secrets_are_fetched_when_a_tool_asks, bed, async {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let fetch = |answers: Option<&'static str>| {
        let asked = Arc::clone(&asked);
        Credential::fetch(move |question| {
            asked.lock().unwrap().push((question.hop, question.text));
            async move {
                // A vault takes its time.
                tokio::time::sleep(Duration::from_millis(50)).await;
                answers.map(str::to_owned)
            }
        })
    };
    bed.is(bed.sudo("tb_sudo").password(fetch(None)), "root").await;
    assert_eq!(asked.lock().unwrap().len(), 0, "nobody asked");

    bed.is(bed.sudo("tb_sudopw").password(fetch(Some("pw-tb_sudopw"))), "root").await;
    let elsewhere = bed.account("tb_doaspw").await;
    let child = elsewhere.connect(Doas::new().password(fetch(Some("pw-tb_doaspw")))).await.expect("doas");
    check(&child, "root").await;
    {
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 2, "{asked:?}");
        assert_eq!(asked[0].0, "sudo:root");
        assert!(asked[1].1.starts_with("doas (tb_doaspw@"), "{asked:?}");
    }
    // Asked once, whether it was right or not.
    for (answer, kind) in [(Some("pw-tb_wrong"), wrong()), (None, needed())] {
        asked.lock().unwrap().clear();
        let error = bed.fails(bed.sudo("tb_sudopw").password(fetch(answer))).await;
        assert_eq!(error.kind, kind);
        let error = told(elsewhere.connect(Doas::new().password(fetch(answer))).await);
        assert_eq!(error.kind, kind);
        assert_eq!(asked.lock().unwrap().len(), 2);
    }
});

on_testbed!(a_chain_of_five, bed, async {
    let start = Instant::now();
    let first = bed.account("tb_sudopw").await;
    let second = first.connect(Sudo::new().password("pw-tb_sudopw").user("tb_su")).await.expect("sudo");
    let third = second.connect(Su::new().user("tb_doaspw").password("pw-tb_doaspw")).await.expect("su");
    let fourth = third.connect(Doas::new().password("pw-tb_doaspw")).await.expect("doas");
    let fifth = fourth.connect(Su::new().user("tb_target").login(true)).await.expect("su");
    assert_eq!(fifth.target(), "ssh:tb_sudopw/sudo:tb_su/su:tb_doaspw/doas:root/su:tb_target");
    check(&fifth, "tb_target").await;
    eprintln!("five hops in {} ms", start.elapsed().as_millis());
    // What fails at the end says where, and takes nothing along.
    let error = told(fifth.connect(Su::new().user("tb_su").password("pw-tb_wrong")).await);
    assert_eq!(error.kind, wrong());
    assert_eq!(error.hop, "su:tb_su");
    assert!(error.via.as_deref().is_some_and(|via| via.ends_with("su:tb_target")), "{error:?}");
    check(&fifth, "tb_target").await;
    first.shutdown().await.expect("an orderly end");
    assert!(!fifth.is_connected());
});

on_testbed!(user_code_in_a_context_becomes_others_too, bed, async {
    let context = bed.account("tb_sudopw").await;
    let code = "
import mitogen.core
def become(method, options, router=None):
    try:
        child = getattr(router, method)(**options)
    except mitogen.core.Error:
        import sys
        return 'failed: %s' % (sys.exc_info()[1],)
    return child.call(__import__('os').geteuid)
become = mitogen.core.takes_router(become)
";
    context
        .call::<()>("builtins.exec", (format!("import sys, types\nm = types.ModuleType('become')\nexec({code:?}, m.__dict__)\nfor n in list(m.__dict__):\n    if hasattr(m.__dict__[n], '__code__'): m.__dict__[n].__module__ = 'become'\nsys.modules['become'] = m\n"),))
        .await
        .expect("a module");
    let become_with = async |method: &str, options: &[(&str, mitogen::Value)]| -> mitogen::Value {
        let pairs: Vec<(mitogen::Value, mitogen::Value)> =
            options.iter().map(|(key, value)| (mitogen::Value::Text((*key).into()), value.clone())).collect();
        let call = context.call("become.become", (method, mitogen::Value::Dict(pairs))).await;
        call.unwrap_or_else(|error| panic!("{error}"))
    };
    let secret = |text: &str| mitogen::Value::Secret(mitogen::Secret::new(text));
    let root = become_with("sudo", &[("password", secret("pw-tb_sudopw"))]).await;
    assert_eq!(root.as_i64(), Some(0));
    let why = become_with("sudo", &[("password", secret("pw-tb_wrong"))]).await;
    let why = why.as_str().expect("a failure").to_owned();
    assert!(why.starts_with("failed: sudo"), "{why}");
    assert!(!why.contains("pw-tb"), "{why}");
    let why = become_with("sudo", &[("chroot", "x".into())]).await;
    assert!(why.as_str().is_some_and(|why| why.contains("no option `chroot`")), "{why:?}");
});

on_testbed!(sudoers_can_name_the_command, bed, async {
    let path = PathBuf::from("/etc/sudoers.d/mitogen-testbed-pin");
    for sudo in [bed.sudo("tb_sudopin"), bed.sudo("tb_sudopin").user("tb_target").python("python3")] {
        let draft = bed.scratch.path().join("pin");
        std::fs::write(&draft, format!("{}\n", sudo.sudoers_line("tb_sudopin"))).expect("a draft");
        let good = std::process::Command::new("visudo").arg("-cqf").arg(&draft).status().expect("visudo");
        assert!(good.success(), "{}", sudo.sudoers_line("tb_sudopin"));
        struct Gone(PathBuf);
        impl Drop for Gone {
            fn drop(&mut self) {
                let _ = std::fs::remove_file(&self.0);
            }
        }
        let gone = Gone(path.clone());
        std::fs::copy(&draft, &path).expect("a rule");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).expect("a mode");
        let user = if sudo.hop() == "sudo:root" { "root" } else { "tb_target" };
        bed.is(sudo.clone(), user).await;
        let other = bed.fails(sudo.clone().python("python3.11")).await;
        assert_eq!(other.kind, needed(), "another command is not allowed");
        drop(gone);
    }
});
