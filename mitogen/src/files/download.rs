//! Files from contexts.
//!
//! ```text
//!  here                            the sender
//!  get                          -> open, examine
//!                               <- metadata (and the content of a small file)
//!  send: where to, what is here -> its turn on its link
//!  acknowledgements             -> <- chunks, end
//!                               <- what it was
//! ```

use super::INLINE;
use super::batch::ask_together;
use super::error::{FileError, FileErrorKind};
use super::landing::{Landing, Plan};
use super::options::{TransferOptions, Transferred};
use super::request::{Begun, ask, check_route, path_value, prepare};
use super::server::{Server, Side};
use super::upload::local_error;
use crate::context::Context;
use crate::error::Error;
use crate::receiver::Receiver;
use crate::shared::Shared;
use flate2::{Decompress, FlushDecompress, Status};
use mitogen_fileservice::{CHUNK, Download, HOLE_COST};
use mitogen_wire::body::CallResult;
use mitogen_wire::{ContextId, Encoding, Message, ReplyTo, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

pub(super) async fn one(
    context: &Context,
    remote: &Path,
    local: &Path,
    options: &TransferOptions,
) -> Result<Transferred, Error> {
    check_route(context)?;
    prepare(context).await?;
    let _open = context.shared.files().room(context.id()).await?;
    let get = vec![("path", path_value(remote)), ("inline", Value::Int(INLINE as i64))];
    // How much it will carry is not known yet.
    let answer = ask_together(context, remote, "get", get, INLINE as usize).await?;
    let plan = plan(remote, local, &answer, options);
    if let Some(content) = answer.get("data").and_then(Value::as_bytes) {
        let content = content.to_vec();
        let size = content.len() as u64;
        let landed = tokio::task::spawn_blocking(move || {
            let mut landing = Landing::new(plan)?;
            landing.keep(0)?;
            landing.write(&content)?;
            landing.finish()
        });
        let (path, _) = landed.await.map_err(|error| local_error(local, error))??;
        options.tell(size, Some(size));
        return Ok(Transferred { bytes: size, path, resumed: 0 });
    }
    let begun = Begun::new(context, &answer)?;
    let shown = local.to_owned();
    let size = plan.size;
    let landing = tokio::task::spawn_blocking(move || Landing::new(plan));
    let landing = landing.await.map_err(|error| local_error(&shown, error))??;
    // What it is sent to is closed when this future is dropped, and with it the writer ends.
    let receiver = Receiver::open_for(&context.shared, context.id())?;
    let patience = context.shared.settings.file_patience;
    let mut send = vec![
        ("id", Value::Int(i64::from(begun.id.0))),
        ("handle", Value::Int(i64::from(receiver.handle().0))),
        ("compress", Value::Bool(options.compress)),
        ("verify", Value::Bool(options.verify)),
        ("patience", Value::Float(patience.as_secs_f64())),
    ];
    if let (1.., Some(digest)) = (landing.have, &landing.digest) {
        send.push(("there", Value::Int(landing.have as i64)));
        send.push(("digest", Value::Text(digest.clone())));
    }
    if let Some(bytes) = context.shared.fixed_window() {
        send.push(("window", Value::Int(bytes as i64)));
    }
    let mut sent = ask(context, remote, "send", send)?;
    let (done, mut written) = oneshot::channel();
    let writer = Writer {
        shared: Arc::clone(&context.shared),
        download: Download::new(context.id(), size, 0),
        landing,
        path: shown,
        from: context.id(),
        inflate: options.compress.then(|| Decompress::new(true)),
        options: options.clone(),
        unacknowledged: 0,
        last: None,
    };
    let writer =
        if options.verify { Writer { download: writer.download.hashed(), ..writer } } else { writer };
    let (forward, incoming) = tokio::sync::mpsc::channel(CHANNEL);
    let files = context.shared.files();
    let side = files.side(context.id());
    let (more, no_more) = oneshot::channel::<()>();
    let feed = feed(receiver, forward, no_more, files, &side);
    tokio::pin!(feed);
    tokio::task::spawn_blocking(move || drop(done.send(writer.run(incoming))));
    let answer = tokio::select! {
            biased;
            result = &mut written => {
                let (path, bytes, resumed) = match result {
                    Ok(Ok(result)) => result,
                    Ok(Err(error)) => {
                        // Who says that no more will come says in his answer, which is behind that, what the matter is.
                        if error.kind == FileErrorKind::Cut
                            && let Ok(Err(told)) = tokio::time::timeout(WORD, sent.answer()).await
                        {
                            begun.finish();
                            return Err(told);
                        }
                        return Err(error.into());
                    }
                    Err(_) => return Err(Error::Closed),
                };
                begun.finish();
                return Ok(Transferred { bytes, path, resumed });
            }
            answer = sent.answer() => answer,
            stalled = &mut feed => match stalled {
                Ok(()) => return result_of(&mut written, begun).await,
                Err(()) => {
                    let message = format!("nothing came within {} s", patience.as_secs_f64());
                    let error = FileError::new(remote, FileErrorKind::Stalled, message);
                    return Err(error.at(context.info.label()).into());
                }
            },
    };
    // It came after all that it speaks of.
    if let Err(error) = answer {
        begun.finish();
        return Err(error);
    }
    // What did not come by now will not come; what did may take its time on its way to the disk.
    drop(more);
    let _ = feed.await;
    result_of(&mut written, begun).await
}

/// How long the answer may take that follows a dead message.
const WORD: std::time::Duration = std::time::Duration::from_secs(2);
/// How many messages wait for the writer; the window bounds their bytes.
const CHANNEL: usize = 256;

type Written = Result<(PathBuf, u64, u64), FileError>;

async fn result_of(written: &mut oneshot::Receiver<Written>, begun: Begun) -> Result<Transferred, Error> {
    let (path, bytes, resumed) = written.await.map_err(|_| Error::Closed)??;
    begun.finish();
    Ok(Transferred { bytes, path, resumed })
}

/// Hands messages to the writer. `Ok` when that wants no more, or no more will come; an error when nothing came for too long, not even of
/// other files, behind which this one may have to wait.
async fn feed(
    mut receiver: Receiver,
    forward: tokio::sync::mpsc::Sender<Message>,
    mut no_more: oneshot::Receiver<()>,
    files: &Server,
    side: &Side,
) -> Result<(), ()> {
    let hand_over = async {
        loop {
            let next = tokio::select! {
                biased;
                next = receiver.next() => next,
                _ = &mut no_more => return,
            };
            let Ok(incoming) = next else { return };
            side.came.fetch_add(1, Ordering::Relaxed);
            if forward.send(incoming.into_parts().1).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = hand_over => Ok(()),
        () = files.clock.silence(files.clock.patience, || side.came.load(Ordering::Relaxed)) => Err(()),
    }
}

fn plan(remote: &Path, local: &Path, answer: &Value, options: &TransferOptions) -> Plan {
    let number = |key| answer.get(key).and_then(Value::as_i64);
    let size = answer.get("size").and_then(Value::as_u64);
    let mode = number("mode").map(|mode| mode as u32);
    // A device has neither; a file may have them without a size.
    let kept = options.preserve && mode.is_some_and(|mode| mode & 0o170_000 == 0o100_000);
    let mode = options.mode.or_else(|| mode.filter(|_| kept).map(|mode| mode & 0o7777));
    let mtime = number("mtime");
    Plan {
        path: local.to_owned(),
        name: remote.file_name().map(ToOwned::to_owned),
        size,
        mode,
        times: mtime.filter(|_| kept).map(|mtime| (number("atime").unwrap_or(mtime), mtime)),
        resume: mtime.filter(|_| options.resume),
        sync: options.sync,
    }
}

/// For how long an acknowledgement waits for the next chunk.
const PROMPT: std::time::Duration = std::time::Duration::from_millis(2);

/// Checks, unpacks and writes what comes, on a thread of its own.
struct Writer {
    shared: Arc<Shared>,
    download: Download,
    landing: Landing,
    path: PathBuf,
    from: ContextId,
    inflate: Option<Decompress>,
    options: TransferOptions,
    /// How much of the window is done with, and not yet acknowledged.
    unacknowledged: usize,
    /// Where acknowledgements go.
    last: Option<mitogen_wire::Handle>,
}

impl Writer {
    fn run(mut self, mut incoming: tokio::sync::mpsc::Receiver<Message>) -> Written {
        let runtime = tokio::runtime::Handle::current();
        loop {
            let message = if self.unacknowledged == 0 {
                incoming.blocking_recv()
            } else {
                match runtime.block_on(async { tokio::time::timeout(PROMPT, incoming.recv()).await }) {
                    Ok(message) => message,
                    Err(_) => {
                        self.acknowledge();
                        continue;
                    }
                }
            };
            let Some(message) = message else { break };
            if message.src != self.from {
                tracing::debug!(target: "mitogen::files", "context {} is no sender of this file", message.src);
                continue;
            }
            if message.is_dead() {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                return Err(FileError::new(&self.path, FileErrorKind::Cut, text));
            }
            if let ReplyTo::Handle(handle) = message.reply_to {
                self.last = Some(handle);
            }
            if self.take(&message)? {
                let size = self.download.received();
                let (path, have) = self.landing.finish()?;
                return Ok((path, size, have));
            }
            if self.unacknowledged > CHUNK {
                self.acknowledge();
            }
        }
        Err(FileError::new(&self.path, FileErrorKind::Cut, "the transfer was given up"))
    }

    /// Says whether that was the end.
    fn take(&mut self, message: &Message) -> Result<bool, FileError> {
        let bad = |path: &Path, what: &str| FileError::new(path, FileErrorKind::Protocol, what);
        if message.encoding == Encoding::Raw {
            self.unacknowledged += message.payload.len();
            match &mut self.inflate {
                None => self.write(&message.payload)?,
                Some(inflate) => {
                    let data = inflated(inflate, &message.payload).ok_or_else(|| {
                        bad(&self.path, "a compressed chunk cannot be read, or holds too much")
                    })?;
                    self.write(&data)?;
                }
            }
            self.options.tell(self.download.received(), self.download.size());
            return Ok(false);
        }
        let value = match CallResult::decode(message) {
            Ok(CallResult::Returned(value)) => value,
            _ => return Err(bad(&self.path, "a message cannot be read")),
        };
        let words = value.as_slice().unwrap_or_default();
        let number = |at: usize| words.get(at).and_then(Value::as_u64);
        match (words.first().and_then(Value::as_str), number(1)) {
            (Some("from"), Some(offset)) => {
                self.landing.keep(offset)?;
                self.download = Download::new(self.from, self.download.size(), offset);
                Ok(false)
            }
            (Some("hole"), Some(length)) => {
                self.unacknowledged += HOLE_COST;
                let counted = self.download.handle_hole(self.from, length);
                counted.map_err(|error| FileError::download(&self.path, &error))?;
                self.landing.hole(length)?;
                self.options.tell(self.download.received(), self.download.size());
                Ok(false)
            }
            (Some("end"), Some(total)) => {
                self.acknowledge();
                let digest = words.get(2).and_then(Value::as_str).and_then(unhex);
                let ended = self.download.handle_end(self.from, Some(total), digest.as_deref());
                ended.map_err(|error| FileError::download(&self.path, &error))?;
                Ok(true)
            }
            _ => Err(bad(&self.path, "a message makes no sense")),
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<(), FileError> {
        let counted = self.download.handle_chunk(self.from, data);
        counted.map_err(|error| FileError::download(&self.path, &error))?;
        self.landing.write(data)
    }

    fn acknowledge(&mut self) {
        let bytes = std::mem::take(&mut self.unacknowledged);
        if let Some(handle) = self.last.filter(|_| bytes > 0) {
            let body = (Encoding::Implied, bytes::Bytes::from(bytes.to_string()));
            // When it is gone, what it was asked will say so.
            let _ = self.shared.send(self.from, handle, body);
        }
    }
}

/// One chunk's content; `None` when it is broken or longer than a chunk.
fn inflated(inflate: &mut Decompress, data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(CHUNK + 1);
    let before = inflate.total_in();
    loop {
        let taken = (inflate.total_in() - before) as usize;
        let status = inflate.decompress_vec(&data[taken..], &mut out, FlushDecompress::Sync).ok()?;
        let taken = (inflate.total_in() - before) as usize;
        if out.len() > CHUNK {
            return None;
        }
        if taken == data.len() || status == Status::StreamEnd {
            return Some(out);
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
