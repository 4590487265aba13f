//! What is said on a UNIX socket before frames flow (protocol.md section 9.1).
//!
//! ```text
//!  client   PID                      ->        4 bytes
//!                                    <-  ID, SERVER, PID    12 bytes   listener
//!           frames                  <->  frames
//! ```

use crate::ContextId;

/// The client's only words: which process it is. Nothing proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixHello {
    /// The client's process id.
    pub pid: u32,
}

impl UnixHello {
    /// How many bytes it takes.
    pub const LEN: usize = 4;

    /// Its bytes.
    pub fn encode(self) -> [u8; UnixHello::LEN] {
        self.pid.to_be_bytes()
    }

    /// Reads its bytes; every four are one.
    pub fn decode(bytes: [u8; UnixHello::LEN]) -> UnixHello {
        UnixHello { pid: u32::from_be_bytes(bytes) }
    }
}

/// The listener's answer: who the client is from now on, and whose neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixWelcome {
    /// The id that the client is given.
    pub id: ContextId,
    /// The context that listens: the client's parent.
    pub server: ContextId,
    /// The listener's process id.
    pub pid: u32,
}

impl UnixWelcome {
    /// How many bytes it takes.
    pub const LEN: usize = 12;

    /// Its bytes.
    pub fn encode(self) -> [u8; UnixWelcome::LEN] {
        let mut bytes = [0; UnixWelcome::LEN];
        for (place, number) in bytes.chunks_exact_mut(4).zip([self.id.0, self.server.0, self.pid]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// Reads its bytes; every twelve are one.
    pub fn decode(bytes: [u8; UnixWelcome::LEN]) -> UnixWelcome {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        UnixWelcome {
            id: ContextId(u32::from_be_bytes([a, b, c, d])),
            server: ContextId(u32::from_be_bytes([e, f, g, h])),
            pid: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_big_endian_numbers_in_this_order() {
        let hello = UnixHello { pid: 0x0102_0304 };
        assert_eq!(hello.encode(), [1, 2, 3, 4]);
        assert_eq!(UnixHello::decode(hello.encode()), hello);
        let welcome = UnixWelcome { id: ContextId(7), server: ContextId::CONTROLLER, pid: 0x0a0b_0c0d };
        assert_eq!(welcome.encode(), [0, 0, 0, 7, 0, 0, 0, 0, 10, 11, 12, 13]);
        assert_eq!(UnixWelcome::decode(welcome.encode()), welcome);
    }
}
