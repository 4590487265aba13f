//! The arguments of `put` and `get`.

use super::Common;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Send files to every target.
///
/// A file lands beside its place and takes it when it is whole: on any failure the old file stays, and nothing else
/// is left. Permissions and times are kept. Into a directory it goes under its own name.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 put app.conf /etc/app.conf
  mitogen -t 'ssh:web[01-20]' put -r site /srv/www
  mitogen -t ssh:web1 put --resume --compress disk.img /var/tmp/
  mitogen -t ssh:web1 put 'logs/*.gz' /srv/logs/"
)]
pub(crate) struct PutArgs {
    /// What to send; /dev/stdin is read to its end; patterns (* ? [) are looked up here
    #[arg(required = true, value_name = "LOCAL", value_hint = ValueHint::AnyPath)]
    pub(crate) local: Vec<PathBuf>,
    /// Where it is to be
    #[arg(required = true, value_name = "REMOTE")]
    pub(crate) remote: PathBuf,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Fetch a file from every target.
///
/// It lands as with put. From several targets each file goes to LOCAL/TARGET (a / in a target is written %2F).
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_long_help = "\
Examples:
  mitogen -t ssh:web1 get /var/log/syslog .
  mitogen -t 'ssh:web[01-20]' get /etc/hostname names
  mitogen -t ssh:web1 get -r /etc/app backup"
)]
pub(crate) struct GetArgs {
    /// What to fetch
    #[arg(value_name = "REMOTE")]
    pub(crate) remote: PathBuf,
    /// Where it is to be
    #[arg(value_name = "LOCAL", value_hint = ValueHint::AnyPath)]
    pub(crate) local: PathBuf,
    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How files are transferred.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct TransferArgs {
    /// Directories with the directories and files in them; links and all else are left out, and named
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Keep the part of a transfer that is cut, and go on behind the part that is there
    #[arg(long)]
    pub(crate) resume: bool,
    /// Compress what is on its way: for slow links
    #[arg(long)]
    pub(crate) compress: bool,
    /// Compare a digest of the content at the end
    #[arg(long)]
    pub(crate) verify: bool,
    /// Do not wait until the data is on the disk
    #[arg(long)]
    pub(crate) no_sync: bool,
}
