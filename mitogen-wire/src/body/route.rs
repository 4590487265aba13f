//! Route announcements (protocol.md section 5.4).

use super::{BodyError, alive, decimal_id, front};
use crate::pickle::MAX_CONTEXT_NAME_CHARS;
use crate::{ContextId, Encoding, Handle, Message};
use bytes::Bytes;

/// `ADD_ROUTE`: the sender can be used to reach a new context. On the wire: `ID` or `ID:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddRoute {
    /// The new context.
    pub id: ContextId,
    /// What its parent calls it.
    pub name: Option<String>,
}

/// `DEL_ROUTE`: a context is gone. On the wire: `ID`, and never more, because upstream's routers
/// read the whole payload as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelRoute {
    /// The lost context.
    pub id: ContextId,
}

impl AddRoute {
    /// Where it goes, always to the nearest parent.
    pub const HANDLE: Handle = Handle::ADD_ROUTE;

    /// Writes the announcement, its name cut to [`MAX_CONTEXT_NAME_CHARS`]: upstream refuses a
    /// longer one as soon as it stands in a pickle.
    pub fn encode(&self) -> (Encoding, Bytes) {
        let text = match &self.name {
            None => self.id.to_string(),
            Some(name) => format!("{}:{}", self.id, front(name, MAX_CONTEXT_NAME_CHARS)),
        };
        (Encoding::Implied, Bytes::from(text))
    }

    /// Reads an announcement. A name may be of any length and hold further colons; bytes in it
    /// that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when no decimal context id stands in front; [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<AddRoute, BodyError> {
        let (id, name) = id_and_name(message, "ADD_ROUTE")?;
        Ok(AddRoute { id, name: name.map(|name| String::from_utf8_lossy(name).into_owned()) })
    }
}

impl DelRoute {
    /// Where it goes: to the nearest parent, and to whoever has written to the lost context.
    pub const HANDLE: Handle = Handle::DEL_ROUTE;

    /// Writes the bare number.
    pub fn encode(&self) -> (Encoding, Bytes) {
        (Encoding::Implied, Bytes::from(self.id.to_string()))
    }

    /// Reads `ID`, and tolerates `ID:name`, as upstream's plain children do.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when no decimal context id stands in front; [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<DelRoute, BodyError> {
        Ok(DelRoute { id: id_and_name(message, "DEL_ROUTE")?.0 })
    }
}

fn id_and_name<'a>(
    message: &'a Message,
    body: &'static str,
) -> Result<(ContextId, Option<&'a [u8]>), BodyError> {
    let payload = alive(message)?;
    let (digits, name) = match payload.iter().position(|&byte| byte == b':') {
        None => (payload, None),
        Some(colon) => (&payload[..colon], Some(&payload[colon + 1..])),
    };
    let id =
        decimal_id(digits).ok_or(BodyError::Malformed { body, problem: "it starts with no context id" })?;
    Ok((id, name))
}
