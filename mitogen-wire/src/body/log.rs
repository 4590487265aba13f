//! Log records on their way to the controller (protocol.md section 3, handle 102).

use super::{BodyError, alive};
use crate::{Encoding, Handle, Message};
use bytes::Bytes;

/// `FORWARD_LOG`: one log record. On the wire: `logger NUL level NUL message`, UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardLog {
    /// The logger's dotted name; `stdout` and `stderr` are lines that user code printed.
    pub logger: String,
    /// Python's level: 10 debug, 20 info, 30 warning, 40 error, 50 critical, or between.
    pub level: i32,
    /// The text, which may hold NULs and line ends.
    pub message: String,
}

impl ForwardLog {
    /// Where it goes, always to the controller.
    pub const HANDLE: Handle = Handle::FORWARD_LOG;

    /// Writes the record. A NUL in the logger's name, which would end it, becomes U+FFFD.
    pub fn encode(&self) -> (Encoding, Bytes) {
        let logger = self.logger.replace('\0', "\u{fffd}");
        let text = format!("{logger}\0{}\0{}", self.level, self.message);
        (Encoding::Implied, Bytes::from(text))
    }

    /// Reads a record. Bytes that are not UTF-8 are replaced: a log line is worth more than its
    /// spelling.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when a NUL is missing or the level is no 32-bit number;
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<ForwardLog, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "FORWARD_LOG", problem };
        let mut fields = alive(message)?.splitn(3, |&byte| byte == 0);
        let mut field = || fields.next().map(String::from_utf8_lossy);
        let (Some(logger), Some(level), Some(text)) = (field(), field(), field()) else {
            return Err(malformed("it has fewer than two NULs"));
        };
        let level = level.trim().parse().map_err(|_| malformed("its level is not a 32-bit number"))?;
        Ok(ForwardLog { logger: logger.into_owned(), level, message: text.into_owned() })
    }
}
