//! `mitogen put LOCAL... REMOTE`

use super::{
    Gave, Work,
    together::{Together, Way},
    transfer::{FILES, Moved, Transfers, within},
};
use crate::{cli::PutArgs, console::Console, outcome::Answer};
use futures_util::{StreamExt, TryStreamExt, stream};
use mitogen::{Context, Error, Router};
use std::{
    os::unix::ffi::OsStrExt,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// What goes where.
#[derive(Debug)]
pub(crate) struct Put {
    sources: Vec<PathBuf>,
    target: PathBuf,
    transfers: Transfers,
    together: Together,
}

/// The work that the arguments ask for.
///
/// # Errors
/// What is not there to be sent.
pub(crate) fn work(
    args: PutArgs,
    timeout: Option<Duration>,
    targets: usize,
    console: &Console,
) -> Result<Work, String> {
    let mut sources = Vec::new();
    for source in &args.local {
        if source == Path::new("/dev/stdin") && mitogen::was_closed(0) {
            return Err("/dev/stdin: standard input is closed".to_owned());
        }
        if source.symlink_metadata().is_ok() {
            sources.push(source.clone());
            continue;
        }
        let pattern = source.to_str().filter(|text| text.contains(['*', '?', '[']));
        let Some(pattern) = pattern else { return Err(format!("{}: no such file", source.display())) };
        let before = sources.len();
        let found = glob::glob(pattern).map_err(|error| format!("{pattern}: {error}"))?;
        for path in found {
            sources.push(path.map_err(|error| error.to_string())?);
        }
        if sources.len() == before {
            return Err(format!("{pattern}: nothing matches"));
        }
    }
    if let Some(directory) = sources.iter().find(|source| !args.transfer.recursive && source.is_dir()) {
        return Err(format!("{} is a directory: -r sends it with all that is in it", directory.display()));
    }
    let transfers = Transfers::new(&args.transfer, timeout, targets, console);
    Ok(Work::Put(Arc::new(Put { sources, target: args.remote, transfers, together: Together::default() })))
}

pub(super) async fn run(router: &Router, contexts: &[Context], put: &Put) -> Result<Gave, Error> {
    let Some((context, before)) = contexts.split_last() else { return Ok((None, None)) };
    let way = Way { router, hop: before.first().filter(|_| put.transfers.targets > 1), context };
    let what = put.target.display().to_string();
    let moved = within(put.transfers.timeout, &what, put.send_all(way)).await;
    put.transfers.done();
    Ok(match moved {
        Ok(moved) => (Some(Answer::Moved(moved)), None),
        Err(failure) => (None, Some(failure)),
    })
}

impl Put {
    async fn send_all(&self, way: Way<'_>) -> Result<Moved, Error> {
        let mut all = Moved { bytes: 0, files: 0, path: self.target.clone() };
        for source in &self.sources {
            if self.transfers.recursive && source.is_dir() {
                self.send_directory(way, source, &mut all).await?;
                continue;
            }
            // Several go into a directory.
            let mut target = self.target.clone();
            if self.sources.len() > 1 {
                target.push("");
            }
            let size = source.metadata().ok().filter(|metadata| metadata.is_file()).map(|m| m.len());
            let options = || self.transfers.watched(size);
            let sent = self.together.upload(way, source, &target, size, options).await?;
            all.bytes += sent.bytes;
            all.files += 1;
            if self.sources.len() == 1 {
                all.path = sent.path;
            }
        }
        Ok(all)
    }

    /// As `cp -r` does: into a directory that is there, else as that directory.
    async fn send_directory(&self, way: Way<'_>, source: &Path, all: &mut Moved) -> Result<(), Error> {
        let context = way.context;
        let mut root = self.target.clone();
        let there: bool = context.call("os.path.isdir", (bytes(&root),)).await?;
        if let (true, Some(name)) = (there || self.sources.len() > 1, source.file_name()) {
            root.push(name);
        }
        let mut files = Vec::new();
        let mut directories = vec![PathBuf::new()];
        let mut modes = Vec::new();
        let mut at = 0;
        // All of it is known before the first is made: what is made may lie within it.
        while at < directories.len() {
            let rest = directories[at].clone();
            at += 1;
            let here = source.join(&rest);
            let error = |error: std::io::Error| Error::Local { what: "read a directory", source: error };
            modes.push(here.metadata().map_err(error)?.mode());
            for entry in std::fs::read_dir(&here).map_err(error)? {
                let entry = entry.map_err(error)?;
                let kind = entry.file_type().map_err(error)?;
                let name = rest.join(entry.file_name());
                if kind.is_dir() {
                    directories.push(name);
                } else if kind.is_file() {
                    files.push((name, entry.metadata().map_err(error)?.len()));
                } else {
                    tracing::warn!("{} is no file and is left out", entry.path().display());
                }
            }
        }
        for (directory, mode) in directories.iter().zip(modes) {
            context.make_directory(root.join(directory), Some(mode)).await?;
        }
        let root = &root;
        let sent = stream::iter(files)
            .map(|(name, size)| {
                let options = move || self.transfers.watched(Some(size));
                let (local, remote) = (source.join(&name), root.join(&name));
                async move { self.together.upload(way, &local, &remote, Some(size), options).await }
            })
            .buffer_unordered(FILES)
            .try_fold((0, 0), |(bytes, files), sent| async move { Ok((bytes + sent.bytes, files + 1)) })
            .await?;
        all.bytes += sent.0;
        all.files += sent.1;
        if self.sources.len() == 1 {
            all.path.clone_from(root);
        }
        Ok(())
    }
}

/// A path as the context's Python takes it whatever its locale.
fn bytes(path: &Path) -> mitogen::Value {
    mitogen::Value::Bytes(path.as_os_str().as_bytes().to_vec().into())
}
