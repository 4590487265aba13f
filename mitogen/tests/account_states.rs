//! Accounts that have expired, are locked, or want a code behind the password; and sudo-rs. All by the real tools, in the
//! languages of the testbed. `MITOGEN_TESTBED` names that; without it these tests skip themselves, out loud.

#[macro_use]
mod account_bed;

use account_bed::{check, needed, password, told, wrong, wrong_of};
use futures_util::future::join_all;
use mitogen::{Credential, Doas, FailureKind, Method, Phase, Ssh, Su, Sudo};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Environments of tools; `LANGUAGE` is what the method says.
const LANGUAGES: [&str; 3] =
    ["", "LC_ALL=de_DE.UTF-8 LANGUAGE=$LANGUAGE", "LC_ALL=zh_CN.UTF-8 LANGUAGE=$LANGUAGE"];

on_testbed!(accounts_that_cannot_be_used_are_told_apart_in_any_language, bed, async {
    let each = LANGUAGES.map(async |language| {
        for (account, kind) in
            [("tb_gone", FailureKind::AccountUnusable), ("tb_expired", FailureKind::PasswordExpired)]
        {
            let methods: [Method; 3] = [
                Sudo::new().sudo_path(bed.tool("sudo", account, language)).password(password(account)).into(),
                Doas::new().doas_path(bed.tool("doas", account, language)).password(password(account)).into(),
                Su::new()
                    .user(account)
                    .su_path(bed.tool("su", "tb_su", language))
                    .password(password(account))
                    .into(),
            ];
            for method in methods {
                let error = bed.fails(method).await;
                assert_eq!(
                    (error.phase, &error.kind),
                    (Phase::Login, &kind),
                    "{account} {language}: {error}"
                );
            }
        }
    });
    join_all(each).await;
});

on_testbed!(a_locked_account_is_one_whose_password_is_wrong, bed, async {
    // PAM says no more than that, to nobody.
    let methods: [Method; 3] = [
        Sudo::new().sudo_path(bed.tool("sudo", "tb_locked", "")).password("pw-tb_locked").into(),
        Doas::new().doas_path(bed.tool("doas", "tb_locked", "")).password("pw-tb_locked").into(),
        Su::new().user("tb_locked").su_path(bed.tool("su", "tb_su", "")).password("pw-tb_locked").into(),
    ];
    let each = methods.map(async |method| assert_eq!(bed.fails(method).await.kind, wrong()));
    join_all(each).await;
});

on_testbed!(the_language_of_programs_in_the_context_is_the_account_s, bed, async {
    let sudo = bed.tool("sudo", "tb_sudo", LANGUAGES[1]);
    let context = bed.router.connect(Sudo::new().sudo_path(sudo)).await.expect("root");
    let no_such_file =
        context.exec(mitogen::Command::new("sudo").arg("-u").arg("no-such-user").arg("id")).await;
    let said = String::from_utf8_lossy(&no_such_file.expect("an end").stderr).into_owned();
    assert!(said.contains("Unbekannter Benutzer") || said.contains("unbekannter Benutzer"), "{said}");
});

/// The counters of the codes that were given last.
static GIVEN: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// The code that this account is to give next.
fn code(account: &str) -> Option<String> {
    let bed = std::env::var("MITOGEN_TESTBED").ok()?;
    let facts = std::fs::read_to_string(format!("{bed}/env")).ok()?;
    let path = facts.lines().find_map(|line| line.strip_prefix("MITOGEN_TESTBED_OATH="))?;
    let text = std::fs::read_to_string(path.trim_matches('\'')).ok()?;
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(account))?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    // The counter of the last code that was good. Who writes there at the same time for another account may put an older
    // one back for a while (pam_oath copies what it has read before it held the lock), so none is given twice.
    let next = fields.get(4).map_or(0, |last| last.parse::<u64>().expect("a counter") + 1);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let next = given.get(account).map_or(next, |&last| next.max(last + 1));
    given.insert(account.to_owned(), next);
    let out = Command::new("oathtool").args(["-c", &next.to_string(), fields[3]]).output().ok()?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Fetched when the tool asks, and not before.
fn codes(account: &'static str) -> Credential {
    Credential::fetch(move |question| async move {
        assert!(!question.text.starts_with("Password"), "{question:?}");
        tokio::task::spawn_blocking(move || code(account)).await.expect("a code")
    })
}

fn both() -> FailureKind {
    wrong_of("password or second factor")
}

on_testbed!(ssh_with_several_questions, bed, async {
    let config = bed.dir.join("ssh_config");
    let ssh = |account: &str| Ssh::new(account).config(config.to_string_lossy());
    let with = |account: &'static str| ssh(account).password(password(account));
    bed.is(with("tb_otp").second_factor(codes("tb_otp")), "tb_otp").await;
    // Given, and by the question's text.
    let now = || code("tb_otp").expect("a code");
    bed.is(with("tb_otp").second_factor(now()), "tb_otp").await;
    bed.is(with("tb_otp").answer("One-time password", "code", now()), "tb_otp").await;
    // A key, and then nothing but a code.
    bed.is(ssh("tb_otpkey").second_factor(codes("tb_otpkey")), "tb_otpkey").await;
    // Behind another context the code is fetched here.
    let via = bed.account("tb_bash").await;
    let child = via.connect(with("tb_otpvia").second_factor(codes("tb_otpvia"))).await;
    check(&child.unwrap_or_else(|error| panic!("{error}")), "tb_otpvia").await;

    let error = bed.fails(with("tb_otp").second_factor("000000")).await;
    assert_eq!((error.phase, &error.kind), (Phase::Login, &both()), "{error}");
    let error = bed.fails(ssh("tb_otp").password("pw-tb_wrong").second_factor(codes("tb_otp"))).await;
    assert_eq!(error.kind, both(), "{error}");
    let error = bed.fails(ssh("tb_otpkey").second_factor("000000")).await;
    assert_eq!(error.kind, wrong_of("second factor"), "{error}");
    let none = Credential::fetch(|_| async { None::<String> });
    let error = bed.fails(with("tb_otp").second_factor(none)).await;
    assert_eq!(error.kind, FailureKind::SecretNeeded(mitogen::SecretName("second factor".into())));
});

on_testbed!(sudo_with_several_questions, bed, async {
    let sudo = || bed.sudo("tb_sudootp").password("pw-tb_sudootp");
    bed.is(sudo().second_factor(codes("tb_sudootp")), "root").await;
    let error = bed.fails(sudo().second_factor("000000")).await;
    assert_eq!(error.kind, both(), "{error}");
    assert_eq!(bed.fails(sudo()).await.kind, wrong(), "nothing for the second question");
});

on_testbed!(su_and_doas_with_several_questions, bed, async {
    // In a chroot whose root is no mount there are none.
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        return eprintln!(
            "skipped: su_and_doas_with_several_questions: optional here: no mount namespace of our own"
        );
    }
    // su and doas have PAM services of their own names: ours stands in their place, for them alone.
    let under = |tool: &str, account: &str| {
        let plain = bed.tool(tool, account, "");
        let path = bed.scratch.path().join(format!("{tool}-otp"));
        let script = format!(
            "#!/bin/sh\nexec unshare -m sh -c 'mount --bind /etc/pam.d/mitogen-testbed-otp /etc/pam.d/{tool}&&exec {plain} \"$@\"' sh \"$@\"\n"
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        path.to_string_lossy().into_owned()
    };
    let su = || Su::new().user("tb_target").su_path(under("su", "tb_su")).password("pw-tb_target");
    bed.is(su().second_factor(codes("tb_target")), "tb_target").await;
    assert_eq!(bed.fails(su().second_factor("000000")).await.kind, both());
    let doas = || Doas::new().doas_path(under("doas", "tb_doasotp")).password("pw-tb_doasotp");
    bed.is(doas().second_factor(codes("tb_doasotp")), "root").await;
    assert_eq!(bed.fails(doas().second_factor("000000")).await.kind, both());
});

on_testbed!(sudo_rs, bed, async {
    let facts = std::fs::read_to_string(bed.dir.join("env")).expect("the testbed's facts");
    let fact = |name: &str| facts.lines().find_map(|line| line.strip_prefix(name));
    let Some(path) = fact("MITOGEN_TESTBED_SUDO_RS=") else {
        let why = fact("MITOGEN_TESTBED_WITHOUT_SUDO_RS=").unwrap_or("required, and not told of");
        return eprintln!("skipped: sudo_rs: {why}");
    };
    let sudo = |account: &str| Sudo::new().sudo_path(bed.tool(path.trim_matches('\''), account, ""));
    bed.is(sudo("tb_sudo"), "root").await;
    bed.is(sudo("tb_sudo").terminal(false), "root").await;
    bed.is(sudo("tb_sudo").user("tb_target").login(true), "tb_target").await;
    bed.is(sudo("tb_sudopw").password("pw-tb_sudopw"), "root").await;
    assert_eq!(bed.fails(sudo("tb_sudopw").password("pw-tb_wrong")).await.kind, wrong());
    assert_eq!(bed.fails(sudo("tb_sudopw")).await.kind, needed());
    assert_eq!(bed.fails(sudo("tb_sudopw").terminal(false)).await.kind, needed());
    assert_eq!(bed.fails(sudo("tb_nosudo").password("pw-tb_nosudo")).await.kind, FailureKind::NotPermitted);
    assert_eq!(bed.fails(sudo("tb_sudo").user("no-such-user")).await.kind, FailureKind::NoSuchUser);
    assert_eq!(bed.fails(sudo("tb_sudo").args(["--no-such-option"])).await.kind, FailureKind::ToolUsage);
    let gone = bed.fails(sudo("tb_gone").password("pw-tb_gone")).await;
    assert_eq!(gone.kind, FailureKind::AccountUnusable, "{gone}");
    let error = told(bed.router.connect(sudo("tb_sudo").python("/no/such/python")).await);
    assert_eq!((error.phase, &error.kind), (Phase::Interpreter, &FailureKind::Exec));
});
