//! Accounts that become others: sudo, su and doas in the ways that real machines have them.
//!
//! Every password is `pw-` and the account's name, as for all accounts of the testbed.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Part, Testbed, shared};
use crate::sh::{self, Result, fail};

const SUDOERS: &str = "/etc/sudoers.d/mitogen-testbed";
const DOAS: &str = "/etc/doas.conf";
/// What we made of these, to be undone: `locale NAME`, `doas`.
const RECORD: &str = "accounts";
const MARK: &str = "# mitogen-testbed";
/// Languages in which sudo and su ask and refuse; their texts come with the packages.
const LOCALES: &[(&str, &str)] = &[("de_DE", "de_DE.utf8"), ("fr_FR", "fr_FR.utf8"), ("zh_CN", "zh_CN.utf8")];

const RULES: &str = "# mitogen-testbed
Defaults:tb_sudopw,tb_sudotty,tb_sudoprompt,tb_sudolect,tb_sudofb,tb_sudoonce timestamp_timeout=0
Defaults:tb_sudootp,tb_gone,tb_expired,tb_locked timestamp_timeout=0
Defaults:tb_sudootp pam_service=mitogen-testbed-otp
Defaults:tb_sudotty requiretty
Defaults:tb_sudoprompt passprompt=\"Custom prompt for %p on %h> \"
Defaults:tb_sudopty use_pty
Defaults:tb_sudolect lecture=always
Defaults:tb_sudofb pwfeedback
Defaults:tb_sudoonce passwd_tries=1
Defaults:tb_sudolog use_pty,log_output,iolog_dir=/var/tmp/mitogen-testbed-iolog
tb_sudo,tb_sudotty,tb_sudopty,tb_sudolog ALL=(ALL:ALL) NOPASSWD:SETENV: ALL
tb_sudopw,tb_sudoprompt,tb_sudolect,tb_sudofb,tb_sudoonce ALL=(ALL:ALL) ALL
tb_sudootp,tb_gone,tb_expired,tb_locked ALL=(ALL:ALL) ALL
";

const DOAS_RULES: &str = "# mitogen-testbed
permit nopass tb_doas
permit tb_doaspw
permit tb_doasotp
permit tb_gone
permit tb_expired
permit tb_locked
permit nopass root
";

/// The rules for the accounts that [`super::users::Users`] has made.
pub(super) struct Accounts;

impl Part for Accounts {
    fn up(&self, bed: &Testbed) -> Result<Vec<(String, String)>> {
        // Checked before it is there: a mistake would lock everybody out of sudo.
        let draft = bed.dir().join("sudoers");
        sh::write(&draft, RULES, 0o440)?;
        sh::output(Command::new("visudo").args(["-cqf"]).arg(&draft))?;
        // A name with a dot is not read, so that nobody sees half a file.
        let fresh = format!("{SUDOERS}.new");
        sh::write(Path::new(&fresh), RULES, 0o440)?;
        if let Err(why) = fs::rename(&fresh, SUDOERS) {
            fail!("{SUDOERS}: {why}");
        }
        doas()?;
        locales()?;
        sh::output(Command::new("chage").args(["-E", "0", "tb_gone"]))?;
        sh::output(Command::new("passwd").args(["-lq", "tb_locked"]))?;
        Ok(vec![("MITOGEN_TESTBED_ACCOUNTS".into(), "sudo su doas".into())])
    }

    fn down(&self, _bed: &Testbed) -> Result<()> {
        if shared::claimed() {
            return Ok(());
        }
        if fs::read_to_string(SUDOERS).is_ok_and(|text| text.starts_with(MARK)) {
            let _ = fs::remove_file(SUDOERS);
        }
        for line in shared::record(RECORD) {
            match line.split_once(' ') {
                Some(("locale", name)) => {
                    // It may have gone with the package.
                    let _ = sh::output(Command::new("localedef").args(["--delete-from-archive", name]));
                }
                _ if line == "doas" && is_ours(DOAS) => drop(fs::remove_file(DOAS)),
                _ => {}
            }
        }
        // What a test that was killed has left.
        let _ = fs::remove_file(format!("{SUDOERS}-pin"));
        let _ = fs::remove_dir_all("/var/tmp/mitogen-testbed-iolog");
        shared::set_record(RECORD, &[])
    }
}

fn is_ours(path: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(MARK))
}

/// Somebody else's doas.conf stays as it is, and the tests of doas would fail: so this is an error.
fn doas() -> Result<()> {
    if Path::new(DOAS).exists() && !is_ours(DOAS) {
        fail!("{DOAS} exists and is not a testbed's: it stays as it is");
    }
    note("doas")?;
    sh::write(Path::new(DOAS), DOAS_RULES, 0o644)
}

fn locales() -> Result<()> {
    let have = sh::output(Command::new("locale").arg("-a"))?;
    for (name, archived) in LOCALES {
        if have.lines().any(|line| line == *archived) {
            continue;
        }
        note(&format!("locale {archived}"))?;
        let target = format!("{name}.UTF-8");
        sh::output(Command::new("localedef").args(["-i", name, "-f", "UTF-8", &target]))?;
    }
    Ok(())
}

/// Written before the change: an interrupted `up` can be undone.
fn note(line: &str) -> Result<()> {
    let mut record = shared::record(RECORD);
    if !record.iter().any(|known| known == line) {
        record.push(line.to_owned());
        shared::set_record(RECORD, &record)?;
    }
    Ok(())
}
