//! The one function that clients can call in this program: upstream's way to have a context start another,
//! which `router.ssh(via=context)` takes when `context` is ours.

use crate::error::{Error, RemoteError};
use crate::plans::read_method;
use crate::receiver::Incoming;
use crate::router::Router;
use crate::service::{Policy, Service};
use crate::shared::Shared;
use mitogen_wire::body::CallFunction;
use mitogen_wire::{Handle, Value};
use std::sync::Weak;

/// Listens to calls, on the authority of this program; `None` when somebody does already.
pub(super) fn offer(router: &Router) -> Result<Option<Service>, Error> {
    let shared = std::sync::Arc::downgrade(router.shared());
    let answer = move |incoming: Incoming| answer(Weak::clone(&shared), incoming);
    match router.serve_at(Some(Handle::CALL_FUNCTION), Policy::this_program(), answer) {
        Ok(service) => Ok(Some(service)),
        Err(Error::HandleTaken { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The method's options, the context's name among them.
fn options(given: Option<&Value>, name: Option<&Value>) -> Value {
    let mut pairs = match given {
        Some(Value::Kwargs(pairs)) => pairs.clone(),
        Some(other) => return other.clone(),
        None => Vec::new(),
    };
    pairs.extend(name.map(|name| ("name".to_owned(), name.clone())));
    Value::Kwargs(pairs)
}

async fn answer(shared: Weak<Shared>, incoming: Incoming) -> Result<Value, RemoteError> {
    let call = CallFunction::decode(incoming.message())
        .map_err(|error| RemoteError::new("mitogen.core.StreamError", error.to_string()))?;
    if (call.module.as_str(), call.function.as_str()) != ("mitogen.parent", "_proxy_connect") {
        let text = format!(
            "{}.{} cannot be called here: this program is no Python; call functions in its contexts",
            call.module, call.function
        );
        return Err(RemoteError::new("mitogen.core.StreamError", text));
    }
    let named = |wanted: &str| call.kwargs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let method = named("method_name").and_then(Value::as_str).unwrap_or_default();
    let options = options(named("kwargs"), named("name"));
    let shared = shared.upgrade().ok_or_else(|| RemoteError::new("mitogen.core.StreamError", "closed"))?;
    let connected = match read_method(method, &options) {
        Err(why) => Err(why),
        Ok(method) => {
            crate::link::connect(&shared, method, &mut |_, _| {}).await.map_err(|error| error.to_string())
        }
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let (id, name, msg) = match &connected {
        Ok(context) => (Value::Int(context.id().0.into()), text(context.name()), Value::None),
        Err(why) => (Value::None, Value::None, text(why)),
    };
    let pairs = [("id", id), ("name", name), ("msg", msg)];
    Ok(Value::Dict(pairs.into_iter().map(|(key, value)| (text(key), value)).collect()))
}
