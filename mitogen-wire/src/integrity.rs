//! Frame signatures: chained HMAC-SHA1 (protocol.md section 1.2; seed 001).
//!
//! Each direction of a link keeps one running MAC. Every frame's bytes (without the MAC field)
//! are fed into it, and the digest of *everything so far* signs the frame. A frame that is lost,
//! repeated, reordered or altered therefore breaks the stream at once.

use crate::Layout;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes that a signature puts in front of a header.
pub const MAC_LEN: usize = 20;

type HmacSha1 = Hmac<Sha1>;

/// The secret of one link, shared by its two ends.
///
/// It is drawn by the parent, travels inside the preamble (over stdin, never in a command line)
/// and is forgotten with the link. As in 2017 it is a 128-bit number in lower-case hexadecimal,
/// and that *text* is the HMAC key.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<String>);

impl SessionKey {
    /// Makes a key of 16 random bytes, which the caller draws: this crate has no source of
    /// randomness.
    pub fn from_random(random: [u8; 16]) -> SessionKey {
        let mut text = String::with_capacity(32);
        for byte in random {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16"));
            }
        }
        SessionKey(Zeroizing::new(text))
    }

    /// Takes a key's text as it is: what a historic peer was given, or a test vector.
    pub fn from_text(text: impl Into<String>) -> SessionKey {
        SessionKey(Zeroizing::new(text.into()))
    }

    /// The key's text, for the preamble that carries it to the child.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Which way a frame travels over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the side that started the connection.
    ParentToChild,
    /// From the side that was started.
    ChildToParent,
}

impl Direction {
    /// The other way.
    pub fn reversed(self) -> Direction {
        match self {
            Direction::ParentToChild => Direction::ChildToParent,
            Direction::ChildToParent => Direction::ParentToChild,
        }
    }

    /// What the session key signs to become this direction's key.
    fn label(self) -> &'static [u8] {
        match self {
            Direction::ParentToChild => b"mitogen parent to child",
            Direction::ChildToParent => b"mitogen child to parent",
        }
    }
}

/// Whether a link's frames are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// No signature: today's Mitogen.
    None,
    /// Every frame is signed under this key.
    Signed(SessionKey),
}

/// The running MAC of one direction.
#[derive(Clone)]
pub(crate) struct Chain {
    running: HmacSha1,
}

impl Chain {
    /// The chain of a direction at its start.
    ///
    /// Wide frames have a key per direction, so that a frame cannot be sent back to its author;
    /// compact frames use the session key both ways, as in 2017.
    pub(crate) fn new(layout: Layout, key: &SessionKey, direction: Direction) -> Chain {
        let session =
            HmacSha1::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of any length");
        let running = match layout {
            Layout::Compact => session,
            Layout::Wide => {
                let derived = session.chain_update(direction.label()).finalize().into_bytes();
                HmacSha1::new_from_slice(&derived).expect("HMAC takes keys of any length")
            }
        };
        Chain { running }
    }

    /// Feeds a frame's next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.running.update(bytes);
    }

    /// The signature of everything fed so far.
    pub(crate) fn sign(&self) -> [u8; MAC_LEN] {
        self.running.clone().finalize().into_bytes().into()
    }

    /// Whether `mac` signs everything fed so far; takes the same time wherever they differ.
    pub(crate) fn verify(&self, mac: &[u8; MAC_LEN]) -> bool {
        self.running.clone().verify_slice(mac).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// Historic formats shared one key between both directions, as compact frames do.
    #[test]
    fn a_chain_signs_the_frames_of_2016_and_2017() {
        let mut chain = None;
        let mut macs = 0;
        for line in include_str!("../tests/vectors/chain.txt").lines() {
            match line.split_once(": ") {
                Some(("key", key)) => {
                    let key = SessionKey::from_text(key);
                    chain = Some(Chain::new(Layout::Compact, &key, Direction::ParentToChild));
                }
                Some(("signed", bytes)) => chain.as_mut().expect("a key comes first").update(&unhex(bytes)),
                Some(("mac", mac)) => {
                    let mac: [u8; MAC_LEN] = unhex(mac).try_into().expect("20 bytes");
                    let chain = chain.as_ref().expect("a key comes first");
                    assert_eq!(chain.sign(), mac);
                    assert!(chain.verify(&mac));
                    macs += 1;
                }
                _ => {}
            }
        }
        assert_eq!(macs, 4);
    }

    #[test]
    fn a_key_shows_itself_to_nobody_who_does_not_ask() {
        let key = SessionKey::from_random([0xa5; 16]);
        assert_eq!(key.expose(), "a5".repeat(16));
        assert_eq!(format!("{key:?}"), "SessionKey(..)");
        assert!(!format!("{:?}", crate::FrameFormat::signed(key)).contains("a5"));
    }
}
