//! What contexts log and print, as `tracing` events.

use crate::router::LogLevel;
use mitogen_router::Rejection;
use mitogen_wire::body::ForwardLog;
use mitogen_wire::{ContextId, Handle, Message};

/// The target of all events made here; part of the public API.
macro_rules! remote_event {
    ($level:ident, $context:expr, $name:expr, $logger:expr, $text:expr) => {
        tracing::event!(
            target: "mitogen::remote",
            tracing::Level::$level,
            mitogen_context = $context,
            mitogen_name = $name,
            mitogen_logger = $logger,
            "{}",
            $text
        )
    };
}

/// Emits one forwarded record.
pub(crate) fn emit(name: &str, message: &Message) {
    let context = message.src.0;
    let ForwardLog { logger, level, message: text } = match ForwardLog::decode(message) {
        Ok(record) => record,
        Err(error) => {
            tracing::debug!(mitogen_context = context, mitogen_name = name, "unreadable log record: {error}");
            return;
        }
    };
    let logger = logger.as_str();
    match level {
        ..10 => remote_event!(TRACE, context, name, logger, text),
        10..20 => remote_event!(DEBUG, context, name, logger, text),
        20..30 => remote_event!(INFO, context, name, logger, text),
        30..40 => remote_event!(WARN, context, name, logger, text),
        40.. => remote_event!(ERROR, context, name, logger, text),
    }
}

/// Says that a neighbour sent what it may not send.
pub(crate) fn emit_rejection(name: &str, first: bool, src: ContextId, handle: Handle, why: &Rejection) {
    if first {
        tracing::warn!(
            mitogen_name = name,
            "dropped a message from context {src} to {handle:?}: {why} (later ones are logged at level debug)"
        );
    } else {
        tracing::debug!(mitogen_name = name, "dropped a message from context {src} to {handle:?}: {why}");
    }
}

/// A line that the tool of a connection wrote to its standard error.
pub(crate) fn emit_tool_line(context: ContextId, name: &str, line: &str) {
    tracing::debug!(target: "mitogen::tool", mitogen_context = context.0, mitogen_name = name, "{line}");
}

/// The lowest level that the present subscriber wants from contexts.
pub(crate) fn wanted_level() -> LogLevel {
    use tracing::{Level, enabled};
    if enabled!(target: "mitogen::remote", Level::DEBUG) {
        LogLevel::Debug
    } else if enabled!(target: "mitogen::remote", Level::INFO) {
        LogLevel::Info
    } else if enabled!(target: "mitogen::remote", Level::WARN) {
        LogLevel::Warning
    } else if enabled!(target: "mitogen::remote", Level::ERROR) {
        LogLevel::Error
    } else {
        // Nobody listens now, but somebody may later.
        LogLevel::Info
    }
}
