//! What the oldest releases understand of our messages.

use super::Package;
use bytes::Bytes;
use mitogen_wire::body::{GetResource, LoadResource};
use mitogen_wire::pickle::{self, PickleError};
use mitogen_wire::{Encoding, Message, Value};
use std::borrow::Cow;

/// The message for a release that knows frames of one encoding only: pickles are implied by their handle, and
/// raw bytes are pickles of a `Blob`.
pub(crate) fn implied(message: &Message) -> Cow<'_, Message> {
    let payload = match message.encoding {
        Encoding::Implied => return Cow::Borrowed(message),
        Encoding::Pickle => message.payload.clone(),
        Encoding::Raw => match pickle::write(&Value::Blob(message.payload.clone())) {
            Ok(pickled) => pickled,
            Err(_) => return Cow::Borrowed(message),
        },
    };
    Cow::Owned(Message { encoding: Encoding::Implied, payload, ..message.clone() })
}

/// A package's data file for whoever runs this package, or our agent.
pub(crate) fn resource(
    package: Option<&Package>,
    answer: LoadResource,
) -> Result<(Encoding, Bytes), PickleError> {
    if package.is_none_or(|package| package.version().splits_resources()) {
        return answer.encode();
    }
    let GetResource { package, resource } = answer.request;
    let content = answer.content.map_or(Value::None, Value::Bytes);
    Ok((
        Encoding::Pickle,
        pickle::write(&Value::Tuple(vec![Value::Text(package), Value::Text(resource), content]))?,
    ))
}
