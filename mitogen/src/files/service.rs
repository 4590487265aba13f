//! What contexts ask of `mitogen.service.FileService` (protocol.md section 7), ours or upstream's.

use super::error::FileError;
use super::open;
use super::options::TransferOptions;
use super::server::{Input, Job, Server};
use crate::shared::Shared;
use bytes::Bytes;
use mitogen_wire::body::{CallError, CallResult};
use mitogen_wire::{ContextId, Encoding, Handle, Message, Value, pickle};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The service's name.
const NAME: &str = "mitogen.service.FileService";

impl Server {
    /// A call of a service's method: `(service, method, Kwargs)`.
    pub(crate) fn handle_call(self: &Arc<Self>, message: Message) {
        let Some(shared) = self.shared().filter(|_| !message.is_dead()) else { return };
        let shared = &shared;
        let fail = |kind: &str, text: &str| {
            if let Ok(body) = CallError::new(kind, text, None).encode() {
                shared.reply(&message, body);
            }
        };
        let Some((service, method, options)) = read(&message) else {
            return fail("mitogen.service.Error", "Invalid message format.");
        };
        if service != NAME {
            let text = format!(
                "Service '{service}' is not yet activated in this context, and the caller is not privileged, \
                 therefore autoactivation is disabled."
            );
            return fail("mitogen.service.Error", &text);
        }
        let path = options.get("path").and_then(path_of);
        match method.as_str() {
            "acknowledge" => {
                // It wants no answer, whatever its head says.
                if let Some(size) = options.get("size").and_then(Value::as_u64) {
                    self.acknowledged(message.src, usize::try_from(size).unwrap_or(usize::MAX));
                }
            }
            "fetch" => {
                let Some(path) = path else {
                    return fail("mitogen.service.Error", "Required argument 'path' missing.");
                };
                match options.get("sender") {
                    Some(&Value::Sender { context, handle }) if context == message.src => {
                        self.fetch(shared, message, path, handle);
                    }
                    Some(Value::Sender { .. }) => {
                        fail("mitogen.service.Error", "sender= kwarg context must match requestee context");
                    }
                    _ => fail("mitogen.service.Error", "Required argument 'sender' missing."),
                }
            }
            "register" | "register_prefix" => {
                let Some(path) = path else {
                    return fail("mitogen.service.Error", "Required argument 'path' missing.");
                };
                match self.register(message.auth, &path, method == "register_prefix") {
                    Ok(()) => shared.reply(&message, none()),
                    Err(_) if message.auth != ContextId::CONTROLLER => {
                        let text =
                            format!("Caller is not authorized to invoke '{method}' of service '{NAME}'");
                        fail("mitogen.service.Error", &text);
                    }
                    Err(error) => fail("mitogen.service.Error", &error.message),
                }
            }
            _ => fail("mitogen.service.Error", &format!("No such method: '{method}'")),
        }
    }

    fn fetch(self: &Arc<Self>, shared: &Arc<Shared>, request: Message, path: PathBuf, handle: Handle) {
        let (server, shared) = (Arc::clone(self), Arc::clone(shared));
        // Files are not opened where links are read.
        tokio::task::spawn_blocking(move || {
            let result = server.prepare_fetch(&shared, &request, path, handle);
            if let Err(error) = result.and_then(|job| server.queue(job).map(drop))
                && let Ok(body) = CallError::new("mitogen.service.Error", &error.message, None).encode()
            {
                shared.reply(&request, body);
            }
        });
    }

    fn prepare_fetch(
        &self,
        shared: &Shared,
        request: &Message,
        path: PathBuf,
        handle: Handle,
    ) -> Result<Job, FileError> {
        let permit = self.permit(request.auth, &path)?;
        let opened = open::permitted(&path, &permit)?;
        let metadata = describe(&opened.metadata);
        let body = pickle::write(&metadata).unwrap_or_default();
        let gone = || FileError::ended(&path, mitogen_fileservice::Ended::Gone);
        Ok(Job {
            stream: shared.route(request.src).ok_or_else(gone)?,
            receiver: request.src,
            handle,
            total: Some(opened.metadata.len()),
            input: Input::Permitted(permit, opened.metadata),
            plain: true,
            announce: Some((request.clone(), (Encoding::Pickle, body))),
            done: None,
            options: TransferOptions::new(),
            sent: 0,
            failure: None,
            path,
        })
    }
}

fn none() -> (Encoding, Bytes) {
    (Encoding::Pickle, pickle::write(&Value::None).unwrap_or_default())
}

fn read(message: &Message) -> Option<(String, String, Value)> {
    let Ok(CallResult::Returned(Value::Tuple(words))) = CallResult::decode(message) else { return None };
    let [service, method, options] = <[Value; 3]>::try_from(words).ok()?;
    let text = |value: &Value| {
        value.as_bytes().map_or_else(
            || value.as_str().map(str::to_owned),
            |bytes| std::str::from_utf8(bytes).ok().map(str::to_owned),
        )
    };
    matches!(options, Value::Kwargs(_) | Value::Dict(_)).then_some(())?;
    Some((text(&service)?, text(&method)?, options))
}

fn path_of(value: &Value) -> Option<PathBuf> {
    let bytes = value.as_bytes().or_else(|| value.as_str().map(str::as_bytes))?;
    Some(Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned())
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
