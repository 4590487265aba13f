//! Accounts that want a code behind their password: a PAM service of our own that asks for both, and a record of what
//! codes are due. An sshd serves it that is called by its name; sudo is told the name; for su and doas, which have names
//! of their own, a test can mount it over theirs.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Part, Testbed, shared};
use crate::sh::{self, Result, fail};

/// The service, and so the name of the sshd that serves it.
pub(super) const SERVICE: &str = "mitogen-testbed-otp";
const MARK: &str = "# mitogen-testbed";
/// The key of all codes (RFC 4226's own): counters, not times, so that each code is good for one login.
const KEY: &str = "3132333435363738393031323334353637383930";
/// Who has codes. The last wants no password.
const ACCOUNTS: &[&str] =
    &["tb_otp", "tb_otpvia", "tb_otpcli", "tb_sudootp", "tb_target", "tb_doasotp", "tb_otpkey"];

/// The PAM service and its codes.
pub(super) struct Otp;

impl Part for Otp {
    fn up(&self, _bed: &Testbed) -> Result<Vec<(String, String)>> {
        let service = service();
        if service.exists() && !is_ours(&service) {
            fail!("{} exists and is not a testbed's: it stays as it is", service.display());
        }
        let codes = shared::path("oath");
        let rules = format!(
            "{MARK}
auth [success=1 default=ignore] pam_succeed_if.so quiet user = tb_otpkey
auth required pam_unix.so
auth required pam_oath.so usersfile={} window=50 digits=6
account required pam_unix.so
session required pam_permit.so
",
            codes.display()
        );
        sh::write(&service, rules, 0o644)?;
        let lines: String = ACCOUNTS.iter().map(|name| format!("HOTP {name} - {KEY}\n")).collect();
        // The counters in it go on: a code is good once.
        let known = fs::read_to_string(&codes).unwrap_or_default();
        let names: Vec<&str> = known.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        if !ACCOUNTS.iter().all(|name| names.contains(name)) {
            sh::write(&codes, lines, 0o600)?;
        }
        Ok(vec![
            ("MITOGEN_TESTBED_OATH".into(), codes.display().to_string()),
            ("MITOGEN_TESTBED_PAM_OTP".into(), service.display().to_string()),
        ])
    }

    fn down(&self, _bed: &Testbed) -> Result<()> {
        if shared::claimed() {
            return Ok(());
        }
        if is_ours(&service()) {
            let _ = fs::remove_file(service());
        }
        for name in ["oath", "oath.lock"] {
            let _ = fs::remove_file(shared::path(name));
        }
        Ok(())
    }
}

fn service() -> PathBuf {
    Path::new("/etc/pam.d").join(SERVICE)
}

fn is_ours(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}
