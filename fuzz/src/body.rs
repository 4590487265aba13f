//! Typed bodies: any payload read, and what was read written and read again.

use crate::pickle::as_written;
use bytes::Bytes;
use mitogen_wire::body::{
    AddRoute, BodyError, CallError, CallFunction, CallResult, Dead, DelRoute, ForwardLog, GetModule, IdBlock,
    LoadModule,
};
use mitogen_wire::pickle::{MAX_CALL_ERROR_CHARS, MAX_CONTEXT_NAME_CHARS};
use mitogen_wire::{ContextId, Encoding, Handle, Message};
use std::fmt::Debug;

/// A body that is read is written so that it is read again as the same.
///
/// First byte: which body. The rest is the payload.
pub fn body_decode(data: &[u8]) {
    let Some((&which, payload)) = data.split_first() else { return };
    let message = plain((
        if which & 0x80 == 0 { Encoding::Pickle } else { Encoding::Implied },
        Bytes::copy_from_slice(payload),
    ));
    match which % 9 {
        0 => again(&message, ForwardLog::decode, |body| {
            // A NUL ends a logger's name, so none can be read; it is written as it was read.
            Some(body.encode())
        }),
        1 => again(&message, AddRoute::decode, |body| {
            let fits = body.name.as_ref().is_none_or(|name| name.chars().count() <= MAX_CONTEXT_NAME_CHARS);
            fits.then(|| body.encode())
        }),
        2 => again(&message, DelRoute::decode, |body| Some(body.encode())),
        3 => again(&message, GetModule::decode, |body| Some(body.encode())),
        4 => again(&message, IdBlock::decode, |body| body.encode().ok()),
        5 => again(&message, LoadModule::decode, |body| body.encode().ok()),
        6 => again(
            &message,
            |message| {
                CallFunction::decode(message).map(|call| CallFunction {
                    chain: as_written(call.chain),
                    args: call.args.into_iter().map(as_written).collect(),
                    kwargs: call.kwargs.into_iter().map(|(name, value)| (name, as_written(value))).collect(),
                    ..call
                })
            },
            |body| body.encode().ok(),
        ),
        7 => {
            if let Ok(CallResult::Raised(error)) = CallResult::decode(&message) {
                call_error(&error);
            }
            again(
                &message,
                |message| {
                    CallResult::decode(message).map(|result| match result {
                        CallResult::Returned(value) => CallResult::Returned(as_written(value)),
                        raised => raised,
                    })
                },
                |body| match &body {
                    CallResult::Raised(error) if error.text.chars().count() > MAX_CALL_ERROR_CHARS => None,
                    _ => body.encode().ok(),
                },
            );
        }
        _ => {
            let text = String::from_utf8_lossy(payload);
            assert_eq!(Dead::parse(&text).to_string(), text);
            call_error(&CallError { text: text.into_owned() });
        }
    }
}

/// The parts of an error are parts of its text, and what is written of it fits.
fn call_error(error: &CallError) {
    let parts = [error.type_name(), Some(error.message()), error.traceback()];
    assert!(parts.into_iter().flatten().all(|part| error.text.contains(part)));
    if let Ok(Ok(CallResult::Raised(sent))) = error.encode().map(|body| CallResult::decode(&plain(body))) {
        assert!(sent.text.chars().count() <= MAX_CALL_ERROR_CHARS);
        assert_eq!(sent.text == error.text, error.text.chars().count() <= MAX_CALL_ERROR_CHARS);
    }
}

fn again<B: Clone + Debug>(
    message: &Message,
    decode: fn(&Message) -> Result<B, BodyError>,
    encode: impl Fn(B) -> Option<(Encoding, Bytes)>,
) {
    let Ok(body) = decode(message) else { return };
    let Some(written) = encode(body.clone()) else { return };
    let read = decode(&plain(written)).expect("our own body is read");
    // By text: a NaN is not equal to itself.
    assert_eq!(format!("{body:?}"), format!("{read:?}"));
}

fn plain((encoding, payload): (Encoding, Bytes)) -> Message {
    Message::new(ContextId(1), ContextId(0), Handle(1000)).with_payload(encoding, payload)
}
