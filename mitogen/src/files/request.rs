//! What is asked of a context's agent, and what it answers: `mitogen.files`.

use super::error::{FileError, FileErrorKind};
use super::options::Transferred;
use super::{Entry, server};
use crate::call::closed_error;
use crate::context::Context;
use crate::error::{Error, RemoteError};
use crate::hub::Reply;
use crate::info::ContextInfo;
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_router::Closed;
use mitogen_wire::body::CallResult;
use mitogen_wire::{ContextId, Encoding, Handle, Value, pickle};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where agents take requests, once they are ready for them. A private handle.
const HANDLE: Handle = Handle(204);

/// Makes a context's agent ready for files, once.
pub(super) async fn prepare(context: &Context) -> Result<(), Error> {
    if context.shared.upstream.is_some() {
        return Err(Error::NotUpstream {
            context: context.info.label(),
            what: "put, get or list files by itself",
            instead: "have a function there call mitogen.service.FileService.get for what `Router::files` has \
                      registered, ask its own FileService, or use our agent",
        });
    }
    let side = context.shared.files().side(context.id());
    side.ready
        .get_or_try_init(|| async {
            crate::equip::equip_for_files(&context.shared, &context.info)?;
            context.call::<bool>("mitogen.files.start", ()).await.map(drop)
        })
        .await?;
    Ok(())
}

/// A request under way; dropped, its answer is forgotten.
pub(super) struct Asked {
    context: Context,
    path: PathBuf,
    reply: Option<Handle>,
    receiver: oneshot::Receiver<Reply>,
}

/// Sends a request at once. `path` is for errors.
pub(super) fn ask(
    context: &Context,
    path: &Path,
    operation: &str,
    options: Vec<(&str, Value)>,
) -> Result<Asked, Error> {
    let body = encode(operation, options)?;
    let (reply, receiver) = context.shared.request(context.id(), HANDLE, body);
    Ok(Asked { context: context.clone(), path: path.to_owned(), reply: Some(reply), receiver })
}

fn encode(operation: &str, options: Vec<(&str, Value)>) -> Result<(Encoding, Bytes), Error> {
    let options = options.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let request = Value::Tuple(vec![Value::Text(operation.to_owned()), Value::Kwargs(options)]);
    let payload = pickle::write(&request)
        .map_err(|error| Error::Encode { what: operation.to_owned(), message: error.to_string() })?;
    Ok((Encoding::Pickle, payload))
}

impl Asked {
    /// Its answer: a dict. Cancel-safe.
    pub(super) async fn answer(&mut self) -> Result<Value, Error> {
        let outcome = self.outcome().await;
        judge(&self.context, &self.path, outcome.map_err(|fault| fault.error(&self.context.info))?)
    }

    /// Its answer, whatever it says of the file.
    pub(super) async fn outcome(&mut self) -> Result<Value, Fault> {
        let reply = (&mut self.receiver).await;
        self.reply = None;
        let message = match reply {
            Ok(Reply::Message(message)) => message,
            Ok(Reply::Closed(closed)) => return Err(Fault::Closed(closed)),
            Err(_) => return Err(Fault::Closed(Closed::RouterClosed)),
        };
        match CallResult::decode(&message).map_err(|error| Fault::Unreadable(error.to_string()))? {
            CallResult::Returned(value) => Ok(value),
            CallResult::Raised(error) => Err(Fault::Raised(error.into())),
        }
    }
}

/// Why there is no answer: it can concern several requests.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Closed(Closed),
    Raised(RemoteError),
    Unreadable(String),
    /// There was none for so long.
    Silent(Duration),
}

impl Fault {
    pub(super) fn error(self, info: &ContextInfo) -> Error {
        match self {
            Fault::Closed(closed) => closed_error(info, closed),
            Fault::Raised(error) => Error::Call(error),
            Fault::Silent(after) => {
                Error::Timeout { what: "mitogen.files".to_owned(), after, context: info.label() }
            }
            Fault::Unreadable(message) => Error::Decode { what: "mitogen.files".to_owned(), message },
        }
    }
}

/// What an answer says of a file. `path` is for errors.
pub(super) fn judge(context: &Context, path: &Path, answer: Value) -> Result<Value, Error> {
    let Some(word) = answer.get("error").and_then(Value::as_str) else { return Ok(answer) };
    let text = answer.get("text").and_then(Value::as_str).unwrap_or_default();
    let number = answer.get("errno").and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
    let kind = number.map_or_else(|| FileErrorKind::of_word(word), FileErrorKind::of_errno);
    Err(FileError::new(path, kind, text).at(context.info.label()).into())
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(reply) = self.reply {
            self.context.shared.forget(reply);
        }
    }
}

/// Something that an agent has begun and must be told to give up, unless it comes to its end.
pub(super) struct Begun {
    shared: Arc<Shared>,
    context: ContextId,
    pub(super) id: Handle,
    finished: bool,
}

impl Begun {
    pub(super) fn new(context: &Context, answer: &Value) -> Result<Begun, Error> {
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        let Some(id) = id else { return Err(unexpected("no transfer was begun")) };
        Ok(Begun {
            shared: Arc::clone(&context.shared),
            context: context.id(),
            id: Handle(id),
            finished: false,
        })
    }

    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.finished
            && let Ok(body) = encode("abort", vec![("id", Value::Int(i64::from(self.id.0)))])
        {
            // Nobody is there when that fails.
            let _ = self.shared.send(self.context, HANDLE, body);
        }
    }
}

pub(super) fn unexpected(message: &str) -> Error {
    Error::Decode { what: "mitogen.files".to_owned(), message: message.to_owned() }
}

pub(super) fn path_value(path: &Path) -> Value {
    Value::Bytes(Bytes::copy_from_slice(path.as_os_str().as_bytes()))
}

/// The last answer of a transfer.
pub(super) fn transferred(answer: &Value) -> Transferred {
    let number = |key| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
    let path = answer.get("path").and_then(Value::as_bytes).unwrap_or_default();
    Transferred { bytes: number("bytes"), path: path_of(path), resumed: number("resumed") }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}

pub(super) async fn list(context: &Context, directory: &Path) -> Result<Option<Vec<Entry>>, Error> {
    prepare(context).await?;
    let answer = ask(context, directory, "list", vec![("path", path_value(directory))])?.answer().await?;
    let Some(entries) = answer.get("entries").and_then(Value::as_slice) else { return Ok(None) };
    let entry = |entry: &Value| {
        let [path, mode, size] = entry.as_slice()? else { return None };
        let mode = u32::try_from(mode.as_u64()?).ok()?;
        Some(Entry { path: path_of(path.as_bytes()?), mode, size: size.as_u64()? })
    };
    let entries: Option<Vec<Entry>> = entries.iter().map(entry).collect();
    entries.map(Some).ok_or_else(|| unexpected("an entry of the directory cannot be read"))
}

pub(super) async fn make_directory(context: &Context, path: &Path, mode: Option<u32>) -> Result<(), Error> {
    prepare(context).await?;
    let mode = mode.map_or(Value::None, |mode| Value::Int(i64::from(mode)));
    ask(context, path, "mkdir", vec![("path", path_value(path)), ("mode", mode)])?.answer().await?;
    Ok(())
}

/// Whether our part of the tree knows the way there: for errors before anything was sent.
pub(super) fn check_route(context: &Context) -> Result<ContextId, Error> {
    server::stream_to(&context.shared, context)
}
