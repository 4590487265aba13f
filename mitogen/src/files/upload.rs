//! Files to contexts.
//!
//! ```text
//!  here                          the receiver
//!  put: metadata (and content) -> a place beside the target          small files end here
//!                              <- where the bytes shall go, what is there already
//!  wait                        ->
//!  chunks, end                 ->  <- acknowledgements               by the scheduler
//!                              <- what became of it
//! ```

use super::batch::ask_together;
use super::error::FileError;
use super::open::{self, Opened};
use super::options::{TransferOptions, Transferred};
use super::request::{Asked, Begun, ask, check_route, path_value, prepare, transferred};
use super::server::{Input, Job};
use super::source::{How, digest_of};
use super::{INLINE, server};
use crate::context::Context;
use crate::error::Error;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_fileservice::JobId;
use mitogen_wire::{ContextId, Handle, Value};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

pub(super) async fn one(
    context: &Context,
    local: &Path,
    remote: &Path,
    options: &TransferOptions,
) -> Result<Transferred, Error> {
    check_route(context)?;
    prepare(context).await?;
    let _open = context.shared.files().room(context.id()).await?;
    let local = local.to_owned();
    let read = tokio::task::spawn_blocking({
        let local = local.clone();
        move || open_source(&local)
    });
    let (opened, content) = read.await.map_err(|error| local_error(&local, error))??;
    let mut put = describe(&local, remote, &opened, options);
    if let Some(content) = content {
        let size = content.len() as u64;
        put.push(("data", Value::Bytes(content)));
        let answer = ask_together(context, remote, "put", put, size as usize).await?;
        options.tell(size, Some(size));
        return Ok(transferred(&answer));
    }
    put.extend(form(options));
    let receiver = Receiver::begin(context, remote, put).await?;
    let (opened, offset) = match (options.resume, receiver.have) {
        (true, 1..) => agree(local.clone(), opened, receiver.have, receiver.digest.clone()).await?,
        _ => (opened, 0),
    };
    let output = (receiver.context.id(), receiver.begun.id);
    if offset > 0 {
        // It goes where the bytes will go, before them.
        let words = [Value::Text("from".to_owned()), Value::Int(offset as i64)];
        context.shared.send_from(None, output.0, output.1, server::words_of(words));
    }
    let how = How { offset, compress: options.compress, digest: options.verify, holes: true };
    let sending =
        Sending::begin(&context.shared, check_route(context)?, output, local, opened, how, options)?;
    receiver.finish(sending).await
}

/// Opens a file; the content of a small one is read at once.
fn open_source(path: &Path) -> Result<(Opened, Option<Bytes>), FileError> {
    let mut opened = open::any(path)?;
    let content = opened.read_short(path, INLINE)?;
    Ok((opened, content.map(Bytes::from)))
}

pub(super) fn describe(
    local: &Path,
    remote: &Path,
    opened: &Opened,
    options: &TransferOptions,
) -> Vec<(&'static str, Value)> {
    let metadata = &opened.metadata;
    let number = |number: Option<i64>| number.map_or(Value::None, Value::Int);
    let kept = options.preserve && metadata.is_file();
    let mode = options.mode.or(kept.then_some(metadata.mode()));
    let name =
        local.file_name().map_or(Value::None, |name| Value::Bytes(Bytes::copy_from_slice(name.as_bytes())));
    vec![
        ("path", path_value(remote)),
        ("name", name),
        ("size", number(opened.size().and_then(|size| i64::try_from(size).ok()))),
        ("mode", number(mode.map(i64::from))),
        ("mtime", number(kept.then(|| nanoseconds(metadata.mtime(), metadata.mtime_nsec())))),
        ("atime", number(kept.then(|| nanoseconds(metadata.atime(), metadata.atime_nsec())))),
        ("sync", Value::Bool(options.sync)),
    ]
}

pub(super) fn form(options: &TransferOptions) -> [(&'static str, Value); 3] {
    [
        ("resume", Value::Bool(options.resume)),
        ("compress", Value::Bool(options.compress)),
        ("verify", Value::Bool(options.verify)),
    ]
}

fn nanoseconds(seconds: i64, more: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(more)
}

/// Where to go on: behind what is there, if that is how the file begins.
async fn agree(
    path: PathBuf,
    opened: Opened,
    have: u64,
    digest: Option<String>,
) -> Result<(Opened, u64), Error> {
    let shown = path.clone();
    let compared = tokio::task::spawn_blocking(move || {
        let ours = digest_of(&opened.file, have).map_err(|error| FileError::io(&path, &error))?;
        let agreed = ours.is_some() && ours == digest;
        // From where it is read says the offset; the file itself must be at its beginning otherwise.
        io::Seek::seek(&mut &opened.file, io::SeekFrom::Start(0))
            .map_err(|error| FileError::io(&path, &error))?;
        Ok::<_, FileError>((opened, if agreed { have } else { 0 }))
    });
    Ok(compared.await.map_err(|error| local_error(&shown, error))??)
}

pub(super) fn local_error(path: &Path, error: tokio::task::JoinError) -> Error {
    FileError::io(path, &io::Error::other(error)).into()
}

/// A context that is ready for the bytes.
pub(super) struct Receiver {
    pub(super) context: Context,
    pub(super) begun: Begun,
    pub(super) wait: Asked,
    have: u64,
    digest: Option<String>,
}

impl Receiver {
    pub(super) async fn begin(
        context: &Context,
        remote: &Path,
        put: Vec<(&'static str, Value)>,
    ) -> Result<Receiver, Error> {
        let answer = ask_together(context, remote, "put", put, 0).await?;
        let begun = Begun::new(context, &answer)?;
        let id = Value::Int(i64::from(begun.id.0));
        let wait = ask(context, remote, "wait", vec![("id", id)])?;
        Ok(Receiver {
            context: context.clone(),
            begun,
            wait,
            have: answer.get("there").and_then(Value::as_u64).unwrap_or_default(),
            digest: answer.get("digest").and_then(Value::as_str).map(str::to_owned),
        })
    }

    async fn finish(mut self, mut sending: Sending) -> Result<Transferred, Error> {
        tokio::select! {
            answer = self.wait.answer() => self.judge(answer),
            // What failed here is the cause of whatever is said there.
            error = sending.fault() => Err(error.into()),
        }
    }

    pub(super) fn judge(self, answer: Result<Value, Error>) -> Result<Transferred, Error> {
        self.begun.finish();
        Ok(transferred(&answer?))
    }
}

/// A transfer in the scheduler; dropped, it is cancelled.
pub(super) struct Sending {
    shared: Arc<Shared>,
    job: JobId,
    /// How the sending ends; then whether what was sent is not acknowledged. `None`: that is known.
    done: Option<oneshot::Receiver<Result<(), FileError>>>,
    unacknowledged: Option<oneshot::Receiver<FileError>>,
}

impl Sending {
    pub(super) fn begin(
        shared: &Arc<Shared>,
        stream: ContextId,
        (receiver, handle): (ContextId, Handle),
        path: PathBuf,
        opened: Opened,
        how: How,
        options: &TransferOptions,
    ) -> Result<Sending, Error> {
        let (done, waits) = oneshot::channel();
        let (tell, unacknowledged) = oneshot::channel();
        let total = opened.size();
        let job = shared.files().queue(Job {
            stream,
            receiver,
            handle,
            path,
            input: Input::Opened(opened, how),
            plain: false,
            announce: None,
            done: Some(done),
            unacknowledged: Some(tell),
            live: None,
            options: options.clone(),
            total,
            sent: how.offset,
            failure: None,
        })?;
        let (done, unacknowledged) = (Some(waits), Some(unacknowledged));
        Ok(Sending { shared: Arc::clone(shared), job, done, unacknowledged })
    }

    /// Waits for what goes wrong on this side, or with the acknowledgements; for ever, if nothing does. Cancel-safe.
    pub(super) async fn fault(&mut self) -> FileError {
        if let Some(done) = &mut self.done {
            let ended = done.await;
            self.done = None;
            if let Ok(Err(error)) = ended {
                return error;
            }
        }
        if let Some(unacknowledged) = &mut self.unacknowledged {
            let error = unacknowledged.await;
            self.unacknowledged = None;
            if let Ok(error) = error {
                return error;
            }
        }
        std::future::pending().await
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.shared.files().cancel(self.job);
    }
}
