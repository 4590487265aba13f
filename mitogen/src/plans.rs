//! Plans for contexts that start others on their own account: the options come, the plan goes back.

use crate::info::ContextInfo;
use crate::link::{Birth, draw_birth};
use crate::protocol_log;
use crate::shared::Shared;
use crate::via::child_name;
use mitogen_bootstrap::plan_message::RunPlan;
use mitogen_transport::{Credential, Method, OptionValue};
use mitogen_wire::body::{CallError, CallResult};
use mitogen_wire::{Encoding, Handle, Message, Value, pickle};
use std::sync::Arc;

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
    shared.apply(|hub| hub.expect(Arc::clone(&info), LIMIT)).map_err(|_| {
        shared.release_id(id);
        format!("{LIMIT} contexts are being started already, or the controller is closing")
    })?;
    Ok(RunPlan {
        id,
        name: &info.name,
        plan: &plan,
        preamble: &preamble,
        key: key.as_ref(),
        timeout,
        fetch: None,
    }
    .to_value())
}

/// A method by the names that upstream's Python gives its options.
pub(crate) fn read_method(method: &str, options: &Value) -> Result<Method, String> {
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
    let given = pairs.into_iter().filter(|(_, value)| !value.is_none());
    let read = |(key, value)| read_option(value).map(|value| (key, value)).ok_or_else(|| bad(key));
    let mut options = given.map(read).collect::<Result<Vec<_>, _>>()?;
    // What upstream has as a method of its own.
    let method = match method {
        "machinectl" => {
            options.push(("kind", "machinectl".into()));
            "setns"
        }
        method => method,
    };
    Method::from_options(method, options).map_err(|error| error.to_string())
}

fn read_option(value: &Value) -> Option<OptionValue> {
    Some(match value {
        Value::Bool(flag) => OptionValue::Bool(*flag),
        Value::Secret(secret) => OptionValue::Secret(Credential::from(secret.expose())),
        Value::List(words) | Value::Tuple(words) => {
            let word = |word: &Value| word.as_str().map(str::to_owned);
            OptionValue::List(words.iter().map(word).collect::<Option<_>>()?)
        }
        value => match (value.as_str(), value.as_f64()) {
            (Some(text), _) => OptionValue::Text(text.to_owned()),
            (None, Some(number)) => OptionValue::Number(number),
            (None, None) => OptionValue::Number(value.as_i64()? as f64),
        },
    })
}

fn bad(key: &str) -> String {
    format!("`{key}` is neither text, number, list of words nor secret")
}
