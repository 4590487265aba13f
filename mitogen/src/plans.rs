//! Plans for contexts that start others on their own account: the options come, the plan goes back.

use crate::info::ContextInfo;
use crate::link::{Birth, draw_birth};
use crate::protocol_log;
use crate::shared::Shared;
use crate::via::child_name;
use mitogen_bootstrap::plan_message::RunPlan;
use mitogen_transport::{HostKeys, Local, Method, Ssh};
use mitogen_wire::body::{CallError, CallResult};
use mitogen_wire::{Encoding, Handle, Message, Value, pickle};
use std::sync::Arc;
use std::time::Duration;

/// Where any context of the tree asks for a plan: a pickled pair of a method's name and its options, as
/// `Kwargs`. The answer is the dict of a [`RunPlan`], complete with a new id. A private handle.
pub(crate) const HANDLE: Handle = Handle(201);

/// How many contexts one other may be about to start. It bounds what a hostile one can make us remember.
const LIMIT: usize = 4096;

pub(crate) fn answer(shared: &Shared, request: &Message) {
    let plan = plan(shared, request);
    protocol_log::plan(request.src, plan.as_ref().err().map(String::as_str));
    let body = match plan {
        Ok(value) => pickle::write(&value).map(|payload| (Encoding::Pickle, payload)),
        Err(why) => CallError::new("mitogen.core.StreamError", &why, None).encode(),
    };
    if let Ok(body) = body {
        shared.reply(request, body);
    }
}

fn plan(shared: &Shared, request: &Message) -> Result<Value, String> {
    let parent = shared.info(request.src).ok_or("the asking context is not known here")?;
    let value = match CallResult::decode(request).map_err(|error| error.to_string())? {
        CallResult::Returned(value) => value,
        CallResult::Raised(error) => return Err(error.text),
    };
    let Some([method, options]) = value.as_slice() else {
        return Err("the request is no pair of a method and its options".to_owned());
    };
    let method = method.as_str().ok_or("the method's name is no text")?;
    let method = read_method(method, options)?;
    let id = shared.allocate_id(Some(parent.id)).map_err(|error| error.to_string())?;
    let plan = method.plan();
    let name = child_name(&parent, &method);
    let lineage = parent.lineage();
    let info = Arc::new(ContextInfo::new(id, name, plan.hop.clone(), Some(parent)));
    let Birth { key, preamble } = draw_birth(shared, &info, lineage).map_err(|error| error.to_string())?;
    let timeout = method.connect_timeout().unwrap_or(shared.settings.connect_timeout);
    shared.apply(|core| core.expect(Arc::clone(&info), LIMIT)).map_err(|_| {
        shared.release_id(id);
        format!("{LIMIT} contexts are being started already, or the controller is closing")
    })?;
    Ok(RunPlan { id, name: &info.name, plan: &plan, preamble: &preamble, key: key.as_ref(), timeout }
        .to_value())
}

/// A method by the names that upstream's Python gives its options.
fn read_method(method: &str, options: &Value) -> Result<Method, String> {
    let pairs: Vec<(&str, &Value)> = match options {
        Value::None => Vec::new(),
        Value::Kwargs(pairs) => pairs.iter().map(|(key, value)| (key.as_str(), value)).collect(),
        Value::Dict(pairs) => pairs
            .iter()
            .map(|(key, value)| Some((key.as_str()?, value)))
            .collect::<Option<_>>()
            .ok_or("an option's name is no text")?,
        _ => return Err("the options are no Kwargs".to_owned()),
    };
    let given = || pairs.iter().filter(|(_, value)| !value.is_none());
    match method {
        "local" => given().try_fold(Local::new(), local_option).map(Method::from),
        "ssh" => {
            let host = given().find(|(key, _)| *key == "hostname").and_then(|(_, value)| value.as_str());
            let ssh = Ssh::new(host.ok_or("`ssh` needs a hostname")?);
            given().try_fold(ssh, ssh_option).map(Method::from)
        }
        _ => Err(format!("there is no connection method {method:?}; available: local, ssh")),
    }
}

/// The options that every method has.
macro_rules! common_option {
    ($method:expr, $key:expr, $value:expr, $otherwise:expr) => {
        match $key {
            "python_path" => match $value {
                Value::List(words) | Value::Tuple(words) => {
                    let words: Option<Vec<&str>> = words.iter().map(Value::as_str).collect();
                    Ok($method.python_argv(words.ok_or_else(|| no_text($key))?))
                }
                value => Ok($method.python(text($key, value)?)),
            },
            "name" => Ok($method.name(text($key, $value)?)),
            "connect_timeout" => {
                let seconds = $value.as_f64().and_then(|s| Duration::try_from_secs_f64(s).ok());
                Ok($method.connect_timeout(seconds.ok_or("`connect_timeout` is no number of seconds")?))
            }
            // Settings of the whole tree here.
            "debug" | "profiling" | "unidirectional" | "max_message_size" | "remote_name" => Ok($method),
            _ => $otherwise,
        }
    };
}

fn local_option(local: Local, (key, value): &(&str, &Value)) -> Result<Local, String> {
    common_option!(local, *key, *value, Err(format!("`local` has no option `{key}`")))
}

fn ssh_option(ssh: Ssh, (key, value): &(&str, &Value)) -> Result<Ssh, String> {
    let bad = |what: &str| format!("`{key}` is no {what}");
    common_option!(
        ssh,
        *key,
        *value,
        match *key {
            "hostname" => Ok(ssh),
            "username" => Ok(ssh.user(text(key, value)?)),
            "port" => {
                let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
                Ok(ssh.port(port.ok_or_else(|| bad("port"))?))
            }
            "password" => match value {
                Value::Secret(secret) => Ok(ssh.password(secret.expose())),
                value => Ok(ssh.password(text(key, value)?)),
            },
            "identity_file" => Ok(ssh.identity(text(key, value)?)),
            "ssh_path" => Ok(ssh.ssh_path(text(key, value)?)),
            "ssh_config" => Ok(ssh.config(text(key, value)?)),
            "check_host_keys" => Ok(ssh.host_keys(match value.as_str() {
                Some("enforce") => HostKeys::Enforce,
                Some("accept") => HostKeys::AcceptNew,
                Some("ignore") => HostKeys::Ignore,
                _ => return Err(bad("one of `enforce`, `accept` and `ignore`")),
            })),
            _ => Err(format!("`ssh` has no option `{key}`")),
        }
    )
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| no_text(key))
}

fn no_text(key: &str) -> String {
    format!("`{key}` is no text")
}
