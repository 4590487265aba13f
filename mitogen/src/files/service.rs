//! What contexts ask of `mitogen.service.FileService` (protocol.md section 7), ours or upstream's.

use super::error::FileError;
use super::open;
use super::options::TransferOptions;
use super::server::{Input, Job, Server};
use crate::error::{Error, RemoteError};
use crate::router::Router;
use crate::sender::Address;
use crate::service::{Policy, Request};
use mitogen_wire::{ContextId, Value};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The service's name, and the class of its errors.
const NAME: &str = "mitogen.service.FileService";
const ERROR: &str = "mitogen.service.Error";

/// Offers the service, unless it is offered already.
pub(super) fn offer(router: &Router) -> Result<(), Error> {
    let server = Arc::clone(router.shared().files());
    let handle = move |request: Request| {
        let server = Arc::clone(&server);
        async move { handle(server, request).await }
    };
    match router.serve(NAME, Policy::anyone(), handle) {
        Ok(service) => {
            service.keep();
            Ok(())
        }
        Err(Error::NameTaken { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn refused(text: impl Into<String>) -> RemoteError {
    RemoteError::new(ERROR, text)
}

async fn handle(server: Arc<Server>, request: Request) -> Result<Option<()>, RemoteError> {
    match request.method() {
        "acknowledge" => {
            // Upstream's client names a mailbox for the answer and closes it at once: one that came in between would
            // end its transfer.
            request.leave_unanswered();
            let size: u64 = request.arg("size")?;
            server.acknowledged(request.from(), usize::try_from(size).unwrap_or(usize::MAX));
            Ok(None)
        }
        // Ours alone: it fails over there, and its user wants no more of it.
        "cancel" => {
            request.leave_unanswered();
            let to: Address = request.arg("sender")?;
            if to.context == request.from() {
                server.cancel_fetch(to.context, to.handle);
            }
            Ok(None)
        }
        "fetch" => {
            // Files are not opened where links are read.
            let fetched = tokio::task::spawn_blocking(move || fetch(&server, request)).await;
            fetched.map_err(|error| refused(error.to_string()))?.map(|()| None)
        }
        method @ ("register" | "register_prefix") => {
            let path = path(&request)?;
            let who = request.caller().authority();
            match server.register(who, &path, method == "register_prefix") {
                Ok(()) => Ok(None),
                Err(_) if who != ContextId::CONTROLLER => {
                    Err(refused(format!("Caller is not authorized to invoke '{method}' of service '{NAME}'")))
                }
                Err(error) => Err(refused(error.message)),
            }
        }
        method => Err(request.unknown_method(method)),
    }
}

fn fetch(server: &Arc<Server>, request: Request) -> Result<(), RemoteError> {
    let path = path(&request)?;
    let to: Address = request.arg("sender")?;
    if to.context != request.from() {
        return Err(refused("sender= kwarg context must match requestee context"));
    }
    let authority = request.caller().authority();
    let open = || -> Result<Job, FileError> {
        let permit = server.permit(authority, &path)?;
        let opened = open::permitted(&path, &permit)?;
        let gone = || FileError::ended(&path, mitogen_fileservice::Ended::Gone);
        let stream = server.shared().and_then(|shared| shared.route(to.context)).ok_or_else(gone)?;
        let metadata = describe(&opened.metadata);
        Ok(Job {
            stream,
            receiver: to.context,
            handle: to.handle,
            path: path.clone(),
            total: Some(opened.metadata.len()),
            input: Input::Permitted(permit, opened.metadata),
            plain: true,
            announce: Some(Box::new(move || {
                // It is plain values.
                let _ = request.answer(metadata);
            })),
            done: None,
            unacknowledged: None,
            live: None,
            options: TransferOptions::new(),
            sent: 0,
            failure: None,
        })
    };
    open().and_then(|job| server.queue(job)).map(drop).map_err(|error| refused(error.message))
}

fn path(request: &Request) -> Result<PathBuf, RemoteError> {
    let value: Value = request.arg("path")?;
    let bytes = value.as_bytes().or_else(|| value.as_str().map(str::as_bytes));
    let bytes = bytes.ok_or_else(|| refused("Required argument 'path' missing."))?;
    Ok(Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned())
}

/// As upstream has it, but with the owner and group that the file really has.
fn describe(metadata: &std::fs::Metadata) -> Value {
    let name = |name: Option<String>| name.map_or(Value::None, Value::Text);
    let time = |seconds: i64, more: i64| Value::Float(seconds as f64 + more as f64 / 1e9);
    let pairs = [
        ("size", Value::Int(metadata.len() as i64)),
        ("mode", Value::Int(i64::from(metadata.mode()))),
        ("owner", name(name_in("/etc/passwd", metadata.uid()))),
        ("group", name(name_in("/etc/group", metadata.gid()))),
        ("mtime", time(metadata.mtime(), metadata.mtime_nsec())),
        ("atime", time(metadata.atime(), metadata.atime_nsec())),
    ];
    Value::Dict(pairs.into_iter().map(|(key, value)| (Value::Text(key.to_owned()), value)).collect())
}

/// The name of a number in a file like `/etc/passwd`. Names that only a directory service knows are left out.
fn name_in(file: &str, number: u32) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    };
    text.lines().find_map(line)
}
