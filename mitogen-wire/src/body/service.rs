//! Calls of services: what a context offers to others under a name (protocol.md section 7.1).

use super::{BodyError, pickled, text};
use crate::pickle::{self, PickleError};
use crate::{Encoding, Handle, Message, Value};
use bytes::Bytes;

/// `CALL_SERVICE`: ask a service for something; it is answered as a function call is.
/// On the wire: the pickled tuple `(service, method, kwargs)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallService {
    /// The service's name: `package.module.Class`, with upstream's peers.
    pub service: String,
    /// What is asked for.
    pub method: String,
    /// The arguments; all have names.
    pub args: Vec<(String, Value)>,
}

impl CallService {
    /// Where it goes.
    pub const HANDLE: Handle = Handle::CALL_SERVICE;

    /// Pickles the request.
    ///
    /// # Errors
    /// An argument cannot be pickled: see [`pickle::write`].
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        let request =
            Value::Tuple(vec![Value::Text(self.service), Value::Text(self.method), Value::Kwargs(self.args)]);
        Ok((Encoding::Pickle, pickle::write(&request)?))
    }

    /// Reads a request: `kwargs` may be a plain dict whose keys are text.
    ///
    /// # Errors
    /// [`BodyError::Pickle`], [`BodyError::NotPickled`], [`BodyError::Malformed`],
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<CallService, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "CALL_SERVICE", problem };
        let fields = match pickled(message, "CALL_SERVICE")? {
            Value::Tuple(fields) => <[Value; 3]>::try_from(fields).ok(),
            _ => None,
        };
        let Some([service, method, args]) = fields else {
            return Err(malformed("it is no tuple of three"));
        };
        Ok(CallService {
            service: text(service).ok_or(malformed("the service's name is not text"))?,
            method: text(method).ok_or(malformed("the method's name is not text"))?,
            args: match args {
                Value::Kwargs(args) => args,
                Value::Dict(pairs) => pairs
                    .into_iter()
                    .map(|(key, value)| text(key).map(|key| (key, value)))
                    .collect::<Option<_>>()
                    .ok_or(malformed("an argument's name is not text"))?,
                _ => return Err(malformed("the arguments are no dict")),
            },
        })
    }
}
