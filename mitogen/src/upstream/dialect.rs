//! What the oldest releases understand of our messages.

use mitogen_wire::{Encoding, Message, Value, pickle};
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
