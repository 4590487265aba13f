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

/// Says to whom ids were given: only from there may contexts of these ids be announced. It goes down
/// the way to the owner, as far as the owner's parent, before the owner is told. Ours alone. On the
/// wire: `FIRST:END:OWNER`, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The first id.
    pub first: ContextId,
    /// The id behind the last one.
    pub end: ContextId,
    /// Who starts contexts with these ids; the controller's own id when nobody does any more.
    pub owner: ContextId,
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

impl Grant {
    /// Where it goes, a link at a time. A private handle: only our own routers listen there.
    pub const HANDLE: Handle = Handle(205);

    /// Writes the three numbers.
    pub fn encode(&self) -> (Encoding, Bytes) {
        (Encoding::Implied, Bytes::from(format!("{}:{}:{}", self.first, self.end, self.owner)))
    }

    /// Reads three context ids.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] when they are none, or end before they begin; [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<Grant, BodyError> {
        let payload = alive(message)?;
        let mut ids = payload.split(|&byte| byte == b':').map(decimal_id);
        match (ids.next(), ids.next(), ids.next(), ids.next()) {
            (Some(Some(first)), Some(Some(end)), Some(Some(owner)), None) if first <= end => {
                Ok(Grant { first, end, owner })
            }
            _ => Err(BodyError::Malformed { body: "grant of ids", problem: "it is no block and its owner" }),
        }
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
