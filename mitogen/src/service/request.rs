//! What a service is asked.

use super::{Answer, Caller, ERROR, encode};
use crate::context::Context;
use crate::error::RemoteError;
use crate::shared::Shared;
use mitogen_wire::body::CallService;
use mitogen_wire::{ContextId, Message, ReplyTo, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;

/// A request to a [`Service`](crate::Service).
pub struct Request {
    caller: Caller,
    call: CallService,
    waits: bool,
    answer: Answer,
}

impl Request {
    pub(super) fn new(shared: &Arc<Shared>, message: &Message, call: CallService, answer: Answer) -> Request {
        let waits = matches!(message.reply_to, ReplyTo::Handle(_));
        Request { caller: Caller::of(shared, message), call, waits, answer }
    }

    /// The service, by the name that was asked for.
    pub fn service(&self) -> &str {
        &self.call.service
    }

    /// What is asked for.
    pub fn method(&self) -> &str {
        &self.call.method
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The id of who asks.
    pub fn from(&self) -> ContextId {
        self.caller.id()
    }

    /// Who asks, if it is still connected and not this program.
    pub fn context(&self) -> Option<&Context> {
        self.caller.context()
    }

    /// Whether an answer was asked for.
    pub fn wants_reply(&self) -> bool {
        self.waits
    }

    /// An argument. What its sender left out is the type's `None`, if it has one.
    ///
    /// # Errors
    /// What to answer when it is missing or of another type.
    pub fn arg<T: DeserializeOwned>(&self, name: &str) -> Result<T, RemoteError> {
        let given = self.call.args.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let value = given.cloned().unwrap_or(Value::None);
        let kind = value.kind();
        mitogen_wire::from_value(value).map_err(|error| {
            let text = match given {
                None => format!("Required argument {name:?} missing."),
                Some(_) => format!("Argument {name:?} type incorrect, got {kind}: {error}"),
            };
            RemoteError::new(ERROR, text)
        })
    }

    /// All arguments, as the fields of a struct or the entries of a map.
    ///
    /// # Errors
    /// What to answer when they do not fit.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        mitogen_wire::from_value(Value::Kwargs(self.call.args.clone()))
            .map_err(|error| RemoteError::new(ERROR, format!("the arguments do not fit: {error}")))
    }

    /// What to answer when there is no such method.
    pub fn unknown_method(&self, method: &str) -> RemoteError {
        RemoteError::new(ERROR, format!("No such method: {method:?}"))
    }

    /// Answers now; what the handler returns later is dropped. For those that have more to send after
    /// their answer.
    ///
    /// # Errors
    /// The value cannot be sent. Nothing was answered yet.
    pub fn answer(&self, value: impl Serialize) -> Result<(), RemoteError> {
        self.answer.give(Ok(encode(&value)?));
        Ok(())
    }

    /// Sends no answer; what the handler returns later is dropped. For methods whose callers are known not to wait:
    /// some of them would be disturbed.
    pub fn leave_unanswered(&self) {
        self.answer.waive();
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("from", &self.from())
            .field("service", &self.service())
            .field("method", &self.method())
            .finish_non_exhaustive()
    }
}
