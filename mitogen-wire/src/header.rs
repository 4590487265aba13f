//! The fixed part of a frame, in both layouts.
//!
//! ```text
//! Wide     magic/encoding:2  dst:4  src:4  auth:4  handle:4  reply_to:4  length:4   = 26 bytes
//! Compact  dst:2  src:2  handle:4  reply_to:4  length:4                             = 16 bytes
//! ```
//!
//! All integers are big endian. In a signed frame a 20-byte MAC stands in front.

use crate::{ContextId, Encoding, FrameError, Handle, Message, ReplyTo};
use bytes::Bytes;

const MAGIC_IMPLIED: u16 = 0x4D49;
const MAGIC_PICKLE: u16 = 0x4D4A;
const MAGIC_RAW: u16 = 0x4D4B;

const REPLY_TO_NOBODY: u32 = 0;
const REPLY_TO_DEAD: u32 = 999;

/// The longest fixed part of any frame: MAC and wide header.
pub(crate) const MAX_HEAD: usize = crate::integrity::MAC_LEN + 26;

/// Which header a link's frames have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Today's 26 bytes: 32-bit ids, an authority, a magic number.
    Wide,
    /// The 16 bytes of 2017 (seed 001, without its MAC): ids up to 32767, no authority.
    Compact,
}

impl Layout {
    /// Length of the header in bytes, without a MAC.
    pub const fn header_len(self) -> usize {
        match self {
            Layout::Wide => 26,
            Layout::Compact => 16,
        }
    }
}

/// A decoded header: a message that lacks its payload, and that payload's length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    dst: ContextId,
    src: ContextId,
    auth: ContextId,
    handle: Handle,
    reply_to: ReplyTo,
    encoding: Encoding,
    pub(crate) length: u32,
}

impl Header {
    /// Reads a header; `raw` is exactly [`Layout::header_len`] bytes.
    #[inline]
    pub(crate) fn parse(layout: Layout, raw: &[u8]) -> Result<Header, FrameError> {
        debug_assert_eq!(raw.len(), layout.header_len());
        let u16_at = |i: usize| u16::from_be_bytes([raw[i], raw[i + 1]]);
        let u32_at = |i: usize| u32::from_be_bytes([raw[i], raw[i + 1], raw[i + 2], raw[i + 3]]);
        match layout {
            Layout::Wide => Ok(Header {
                encoding: encoding_from(u16_at(0))?,
                dst: ContextId(u32_at(2)),
                src: ContextId(u32_at(6)),
                auth: ContextId(u32_at(10)),
                handle: Handle(u32_at(14)),
                reply_to: reply_to_from(u32_at(18)),
                length: u32_at(22),
            }),
            Layout::Compact => {
                let src = ContextId(compact_id(u16_at(2))?);
                Ok(Header {
                    encoding: Encoding::Implied,
                    dst: ContextId(compact_id(u16_at(0))?),
                    src,
                    auth: src,
                    handle: Handle(u32_at(4)),
                    reply_to: reply_to_from(u32_at(8)),
                    length: u32_at(12),
                })
            }
        }
    }

    #[inline]
    pub(crate) fn into_message(self, payload: Bytes) -> Message {
        Message {
            dst: self.dst,
            src: self.src,
            auth: self.auth,
            handle: self.handle,
            reply_to: self.reply_to,
            encoding: self.encoding,
            payload,
        }
    }
}

/// Writes the header of `message` to the front of `out`.
///
/// # Errors
/// [`FrameError::IdTooWide`] when the layout cannot express an id, [`FrameError::ReservedHandle`]
/// when the answer is wanted at a number that means something else.
#[inline]
pub(crate) fn write(layout: Layout, message: &Message, out: &mut [u8]) -> Result<(), FrameError> {
    debug_assert_eq!(out.len(), layout.header_len());
    let length = message.payload.len() as u32; // the encoder has checked it against the limit
    let reply_to = match message.reply_to {
        ReplyTo::Nobody => REPLY_TO_NOBODY,
        ReplyTo::Dead => REPLY_TO_DEAD,
        ReplyTo::Handle(handle @ Handle(REPLY_TO_NOBODY | REPLY_TO_DEAD)) => {
            return Err(FrameError::ReservedHandle { handle });
        }
        ReplyTo::Handle(handle) => handle.0,
    };
    match layout {
        Layout::Wide => {
            let magic = match message.encoding {
                Encoding::Implied => MAGIC_IMPLIED,
                Encoding::Pickle => MAGIC_PICKLE,
                Encoding::Raw => MAGIC_RAW,
            };
            out[0..2].copy_from_slice(&magic.to_be_bytes());
            out[2..6].copy_from_slice(&message.dst.0.to_be_bytes());
            out[6..10].copy_from_slice(&message.src.0.to_be_bytes());
            out[10..14].copy_from_slice(&message.auth.0.to_be_bytes());
            out[14..18].copy_from_slice(&message.handle.0.to_be_bytes());
            out[18..22].copy_from_slice(&reply_to.to_be_bytes());
            out[22..26].copy_from_slice(&length.to_be_bytes());
        }
        Layout::Compact => {
            let narrow = |id: ContextId| match i16::try_from(id.0) {
                Ok(narrow) => Ok(narrow.to_be_bytes()),
                Err(_) => Err(FrameError::IdTooWide { id }),
            };
            out[0..2].copy_from_slice(&narrow(message.dst)?);
            out[2..4].copy_from_slice(&narrow(message.src)?);
            out[4..8].copy_from_slice(&message.handle.0.to_be_bytes());
            out[8..12].copy_from_slice(&reply_to.to_be_bytes());
            out[12..16].copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

/// Refuses the front of a wide header as soon as its magic number has come; `raw` may be shorter
/// than a header.
#[cold]
pub(crate) fn check_magic(layout: Layout, raw: &[u8]) -> Result<(), FrameError> {
    match (layout, raw) {
        (Layout::Wide, &[high, low, ..]) => encoding_from(u16::from_be_bytes([high, low])).map(|_| ()),
        _ => Ok(()),
    }
}

#[inline]
fn encoding_from(magic: u16) -> Result<Encoding, FrameError> {
    match magic {
        MAGIC_IMPLIED => Ok(Encoding::Implied),
        MAGIC_PICKLE => Ok(Encoding::Pickle),
        MAGIC_RAW => Ok(Encoding::Raw),
        found => Err(FrameError::BadMagic { found }),
    }
}

#[inline]
fn reply_to_from(raw: u32) -> ReplyTo {
    match raw {
        REPLY_TO_NOBODY => ReplyTo::Nobody,
        REPLY_TO_DEAD => ReplyTo::Dead,
        handle => ReplyTo::Handle(Handle(handle)),
    }
}

/// The compact layout's ids are signed 16-bit integers, and no context has a negative one.
fn compact_id(raw: u16) -> Result<u32, FrameError> {
    if raw > i16::MAX as u16 {
        return Err(FrameError::NegativeId { found: raw as i16 });
    }
    Ok(u32::from(raw))
}
