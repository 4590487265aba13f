//! `mitogen get REMOTE LOCAL`

use super::{
    Gave, Work,
    transfer::{FILES, Moved, Transfers, within},
};
use crate::{
    cli::GetArgs,
    console::{Console, check_stdout},
    outcome::Answer,
    target::Target,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use mitogen::{Context, Error, files::Entry};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// What comes from where.
#[derive(Debug)]
pub(crate) struct Get {
    source: PathBuf,
    target: PathBuf,
    transfers: Transfers,
}

/// The work that the arguments ask for.
///
/// # Errors
/// A target is given twice: both would get the same place here. Or that place is closed.
pub(crate) fn work(
    args: GetArgs,
    timeout: Option<Duration>,
    targets: &[Target],
    console: &Console,
) -> Result<Work, String> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = targets.iter().find(|target| !seen.insert(*target)) {
        return Err(format!("{twice} is given twice, and both would get the same place here"));
    }
    if args.local == Path::new("/dev/stdout") {
        check_stdout().map_err(|error| error.to_string())?;
    }
    let transfers = Transfers::new(&args.transfer, timeout, targets.len(), console);
    Ok(Work::Get(Arc::new(Get { source: args.remote, target: args.local, transfers })))
}

/// `name` is the target's.
pub(super) async fn run(context: &Context, get: &Get, name: &str) -> Result<Gave, Error> {
    let what = get.source.display().to_string();
    let moved = within(get.transfers.timeout, &what, get.fetch(context, name)).await;
    get.transfers.done();
    Ok(match moved {
        Ok(moved) => (Some(Answer::Moved(moved)), None),
        Err(failure) => (None, Some(failure)),
    })
}

impl Get {
    async fn fetch(&self, context: &Context, name: &str) -> Result<Moved, Error> {
        let mut target = self.target.clone();
        if self.transfers.targets > 1 {
            // Each target's file in a place of its own, under the target's name.
            make_directory(&target)?;
            target.push(name.replace('/', "%2F"));
        }
        if self.transfers.recursive
            && let Some(entries) = context.list_files(&self.source).await?
        {
            return self.fetch_directory(context, target, entries).await;
        }
        let got = context.download_with(&self.source, &target, &self.transfers.watched(None)).await?;
        Ok(Moved { bytes: got.bytes, files: 1, path: got.path })
    }

    /// As `cp -r` does: into a directory that is there, else as that directory.
    async fn fetch_directory(
        &self,
        context: &Context,
        target: PathBuf,
        entries: Vec<Entry>,
    ) -> Result<Moved, Error> {
        let mut root = target;
        if let (true, Some(name)) = (root.is_dir(), self.source.file_name()) {
            root.push(name);
        }
        make_directory(&root)?;
        let mut files = Vec::new();
        let mut modes = Vec::new();
        for entry in entries {
            // What comes from there does not lead anywhere else here.
            if entry.path.components().any(|part| !matches!(part, Component::Normal(_))) {
                continue;
            }
            if entry.is_dir() {
                make_directory(&root.join(&entry.path))?;
                modes.push((root.join(&entry.path), entry.mode & 0o7777));
            } else if entry.is_file() {
                files.push(entry);
            } else {
                tracing::warn!("{} is no file and is left out", self.source.join(&entry.path).display());
            }
        }
        let here = &root;
        let (bytes, files) = stream::iter(files)
            .map(|entry| {
                let options = self.transfers.watched(Some(entry.size));
                let (from, to) = (self.source.join(&entry.path), here.join(&entry.path));
                async move { context.download_with(from, to, &options).await }
            })
            .buffer_unordered(FILES)
            .try_fold((0, 0), |(bytes, files), got| async move { Ok((bytes + got.bytes, files + 1)) })
            .await?;
        // The deepest first, so that none closes the way to another.
        for (path, mode) in modes.into_iter().rev() {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(local)?;
        }
        Ok(Moved { bytes, files, path: root })
    }
}

fn make_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(local)
}

fn local(source: io::Error) -> Error {
    Error::Local { what: "make a directory", source }
}
