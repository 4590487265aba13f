//! Frames: encoding, and decoding that does not care how its input was split.
//!
//! ```text
//! [ MAC:20, if signed ] [ header:26 or 16 ] [ payload:length ]
//! ```

use crate::header::{self, Header, MAX_HEAD};
use crate::integrity::{Chain, MAC_LEN};
use crate::{ContextId, Direction, Handle, Integrity, Layout, Message};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The default limit for a payload, in bytes (protocol.md section 1.1).
pub const DEFAULT_MAX_PAYLOAD: usize = 128 << 20;

/// How both directions of a link frame their messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameFormat {
    /// Which header frames have.
    pub layout: Layout,
    /// Whether they are signed.
    pub integrity: Integrity,
}

impl FrameFormat {
    /// Wide frames without signatures: today's Mitogen.
    pub const UNSIGNED: FrameFormat = FrameFormat { layout: Layout::Wide, integrity: Integrity::None };

    /// Wide, signed frames: the default between our own peers.
    pub fn signed(key: crate::SessionKey) -> FrameFormat {
        FrameFormat { layout: Layout::Wide, integrity: Integrity::Signed(key) }
    }

    /// Bytes in front of each payload.
    pub fn head_len(&self) -> usize {
        let mac = match self.integrity {
            Integrity::None => 0,
            Integrity::Signed(_) => MAC_LEN,
        };
        mac + self.layout.header_len()
    }

    fn chain(&self, direction: Direction) -> Option<Chain> {
        match &self.integrity {
            Integrity::None => None,
            Integrity::Signed(key) => Some(Chain::new(self.layout, key, direction)),
        }
    }
}

/// Why a frame cannot be sent, or why a link can no longer be trusted.
///
/// Every decoding error is final for its link: what follows a bad frame cannot be located.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first two bytes are no frame's.
    #[error("corrupt stream: a frame starts with {found:#06x}, which is no known magic number")]
    BadMagic {
        /// What stood there.
        found: u16,
    },
    /// A compact frame names a negative context.
    #[error("corrupt stream: a frame names context {found}")]
    NegativeId {
        /// The id.
        found: i16,
    },
    /// The signature is not that of the frame at this place in the stream.
    #[error(
        "bad frame signature: the frame was altered, lost, repeated, reordered or reflected, \
         or the two ends hold different keys"
    )]
    BadMac,
    /// The frame's payload is longer than the limit.
    #[error("frame of {length} bytes exceeds the limit of {limit} bytes")]
    TooLong {
        /// The announced or offered length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The link ended inside a frame.
    #[error("stream ended inside a frame, after {have} bytes of it")]
    Truncated {
        /// How much of the frame had come.
        have: usize,
    },
    /// The compact layout has no room for this id.
    #[error("context id {id} does not fit a compact frame")]
    IdTooWide {
        /// The id.
        id: ContextId,
    },
    /// An answer is wanted at a handle whose number means something else in that field.
    #[error("handle {handle} cannot receive an answer: 0 means nobody and 999 means dead")]
    ReservedHandle {
        /// The handle.
        handle: Handle,
    },
    /// An earlier frame was bad; nothing after it is read.
    #[error("the stream was already found corrupt")]
    Poisoned,
}

/// The fixed part of a frame, ready to be written in front of its payload.
#[derive(Clone, Copy)]
pub struct FrameHead {
    raw: [u8; MAX_HEAD],
    len: usize,
}

impl AsRef<[u8]> for FrameHead {
    fn as_ref(&self) -> &[u8] {
        &self.raw[..self.len]
    }
}

/// Turns messages into one direction's frames.
pub struct Encoder {
    layout: Layout,
    chain: Option<Chain>,
    max_payload: usize,
}

impl Encoder {
    /// An encoder at the start of a stream that flows in `direction`.
    pub fn new(format: &FrameFormat, direction: Direction, max_payload: usize) -> Encoder {
        Encoder {
            layout: format.layout,
            chain: format.chain(direction),
            max_payload: max_payload.min(u32::MAX as usize),
        }
    }

    /// The bytes that stand in front of the message's payload, for a vectored write. The frame
    /// counts as sent: signatures are chained, so heads must reach the peer in the order made.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], [`FrameError::IdTooWide`], [`FrameError::ReservedHandle`]; the
    /// stream stays usable, as if the message had never been offered.
    #[inline]
    pub fn head(&mut self, message: &Message) -> Result<FrameHead, FrameError> {
        let length = message.payload.len();
        if length > self.max_payload {
            return Err(FrameError::TooLong { length, limit: self.max_payload });
        }
        let mac_len = if self.chain.is_some() { MAC_LEN } else { 0 };
        let mut head = FrameHead { raw: [0; MAX_HEAD], len: mac_len + self.layout.header_len() };
        header::write(self.layout, message, &mut head.raw[mac_len..head.len])?;
        if let Some(chain) = &mut self.chain {
            chain.update(&head.raw[mac_len..head.len]);
            chain.update(&message.payload);
            head.raw[..MAC_LEN].copy_from_slice(&chain.sign());
        }
        Ok(head)
    }

    /// Whether [`Encoder::head`] would take the message; nothing counts as sent.
    ///
    /// # Errors
    /// As [`Encoder::head`].
    pub fn check(&self, message: &Message) -> Result<(), FrameError> {
        let length = message.payload.len();
        if length > self.max_payload {
            return Err(FrameError::TooLong { length, limit: self.max_payload });
        }
        let mut head = [0; MAX_HEAD];
        header::write(self.layout, message, &mut head[..self.layout.header_len()])
    }

    /// Appends the whole frame to `out`; the payload is copied once.
    ///
    /// # Errors
    /// As [`Encoder::head`]; `out` is then unchanged.
    #[inline]
    pub fn encode(&mut self, message: &Message, out: &mut BytesMut) -> Result<(), FrameError> {
        let head = self.head(message)?;
        out.reserve(head.len + message.payload.len());
        out.put_slice(head.as_ref());
        out.put_slice(&message.payload);
        Ok(())
    }
}

/// Turns one direction's bytes into messages.
pub struct Decoder {
    layout: Layout,
    chain: Option<Chain>,
    max_payload: usize,
    state: State,
}

enum State {
    /// Between frames, or inside a head that has not come whole.
    Head,
    /// The head was read (and removed from the input); its payload has not come whole.
    Payload {
        mac: [u8; MAC_LEN],
        header: Header,
    },
    Poisoned,
}

impl Decoder {
    /// A decoder at the start of a stream that flows in `direction`.
    pub fn new(format: &FrameFormat, direction: Direction, max_payload: usize) -> Decoder {
        Decoder { layout: format.layout, chain: format.chain(direction), max_payload, state: State::Head }
    }

    /// Takes the next message off the front of `input`, or `None` when it has not come whole.
    /// The payload shares `input`'s memory. The answer does not depend on how the stream was cut
    /// into inputs.
    ///
    /// # Errors
    /// Any [`FrameError`] here is final: later calls answer [`FrameError::Poisoned`].
    #[inline]
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        match self.advance(input) {
            Ok(message) => Ok(message),
            Err(error) => {
                self.state = State::Poisoned;
                Err(error)
            }
        }
    }

    /// Says that the stream has ended; `input` is what was left over.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when it ended inside a frame.
    pub fn finish(&self, input: &[u8]) -> Result<(), FrameError> {
        let have = match self.state {
            State::Head => input.len(),
            State::Payload { .. } => self.head_len() + input.len(),
            State::Poisoned => return Err(FrameError::Poisoned),
        };
        if have == 0 { Ok(()) } else { Err(FrameError::Truncated { have }) }
    }

    fn head_len(&self) -> usize {
        let mac = if self.chain.is_some() { MAC_LEN } else { 0 };
        mac + self.layout.header_len()
    }

    #[inline]
    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        let (mac, header) = match self.state {
            State::Poisoned => return Err(FrameError::Poisoned),
            State::Payload { mac, header } => (mac, header),
            State::Head => match self.head(input)? {
                Some(head) => head,
                None => return Ok(None),
            },
        };
        let length = header.length as usize;
        if input.len() < length {
            self.state = State::Payload { mac, header };
            return Ok(None);
        }
        // An empty payload must not keep the input's memory alive.
        let payload = if length == 0 { Bytes::new() } else { input.split_to(length).freeze() };
        if let Some(chain) = &mut self.chain {
            chain.update(&payload);
            if !chain.verify(&mac) {
                return Err(FrameError::BadMac);
            }
        }
        self.state = State::Head;
        Ok(Some(header.into_message(payload)))
    }

    /// Takes a frame's head off the front of `input`, once all of it has come.
    #[inline]
    fn head(&mut self, input: &mut BytesMut) -> Result<Option<([u8; MAC_LEN], Header)>, FrameError> {
        let head_len = self.head_len();
        if input.len() < head_len {
            if self.chain.is_none() {
                // What a shell or a tool prints in place of frames may be shorter than a head.
                header::check_magic(self.layout, input)?;
            }
            return Ok(None);
        }
        let mut mac = [0; MAC_LEN];
        let mut raw = &input[..head_len];
        if let Some(chain) = &mut self.chain {
            let (front, rest) = raw.split_at(MAC_LEN);
            mac.copy_from_slice(front);
            chain.update(rest);
            raw = rest;
        }
        let header = Header::parse(self.layout, raw)?;
        let length = header.length as usize;
        if length > self.max_payload {
            return Err(FrameError::TooLong { length, limit: self.max_payload });
        }
        input.advance(head_len); // moves a cursor; `split_to` would count a reference
        Ok(Some((mac, header)))
    }

    /// How many more bytes the frame that is being received needs, as far as is known: what a
    /// reader may reserve. Never more than the payload limit and a head.
    pub fn wants(&self, buffered: usize) -> usize {
        let total = match &self.state {
            State::Head => self.head_len(),
            State::Payload { header, .. } => header.length as usize,
            State::Poisoned => 0,
        };
        total.saturating_sub(buffered)
    }
}
