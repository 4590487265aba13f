//! The frame codec as `tokio_util` codecs (feature `codec`).
//!
//! [`Encoder`] and [`Decoder`] carry one direction each, over `FramedWrite` and `FramedRead`;
//! [`FrameCodec`] carries both over `Framed`.

use crate::{Decoder, Direction, Encoder, FrameError, FrameFormat, Message};
use bytes::BytesMut;
use std::io;
use tokio_util::codec;

/// The most that is reserved for a payload on its mere announcement, in bytes. Beyond it, memory
/// grows with what has really come.
const RESERVE_AHEAD: usize = 256 << 10;

/// Why a framed stream failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A frame was bad, or a message fits no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream below could not be read or written.
    #[error("the link failed: {0}")]
    Io(#[from] io::Error),
}

/// Both directions of one link, seen from one of its ends.
pub struct FrameCodec {
    encoder: Encoder,
    decoder: Decoder,
}

impl FrameCodec {
    /// A codec for an end that *sends* in direction `outward`. Either direction's payloads are
    /// held to `max_payload` bytes.
    pub fn new(format: &FrameFormat, outward: Direction, max_payload: usize) -> FrameCodec {
        FrameCodec {
            encoder: Encoder::new(format, outward, max_payload),
            decoder: Decoder::new(format, outward.reversed(), max_payload),
        }
    }
}

impl codec::Decoder for Decoder {
    type Item = Message;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Message>, CodecError> {
        let message = Decoder::decode(self, src)?;
        if message.is_none() {
            src.reserve(self.wants(src.len()).min(RESERVE_AHEAD.max(src.len())));
        }
        Ok(message)
    }

    /// # Errors
    /// [`FrameError::Truncated`] when the stream ended inside a frame.
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Message>, CodecError> {
        match Decoder::decode(self, src)? {
            Some(message) => Ok(Some(message)),
            None => {
                self.finish(src)?;
                Ok(None)
            }
        }
    }
}

impl codec::Encoder<&Message> for Encoder {
    type Error = CodecError;

    fn encode(&mut self, message: &Message, dst: &mut BytesMut) -> Result<(), CodecError> {
        Ok(Encoder::encode(self, message, dst)?)
    }
}

impl codec::Encoder<Message> for Encoder {
    type Error = CodecError;

    fn encode(&mut self, message: Message, dst: &mut BytesMut) -> Result<(), CodecError> {
        Ok(Encoder::encode(self, &message, dst)?)
    }
}

impl codec::Decoder for FrameCodec {
    type Item = Message;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Message>, CodecError> {
        codec::Decoder::decode(&mut self.decoder, src)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Message>, CodecError> {
        codec::Decoder::decode_eof(&mut self.decoder, src)
    }
}

impl<M> codec::Encoder<M> for FrameCodec
where
    Encoder: codec::Encoder<M, Error = CodecError>,
{
    type Error = CodecError;

    fn encode(&mut self, message: M, dst: &mut BytesMut) -> Result<(), CodecError> {
        codec::Encoder::encode(&mut self.encoder, message, dst)
    }
}
