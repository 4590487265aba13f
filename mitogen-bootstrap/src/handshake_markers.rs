//! Finds markers in a byte stream that may be cut anywhere and hold anything else.

use memchr::memchr;

/// `EC0`, `EC1`, `EC2` or `EC9`, ended by a line feed, with or without a carriage return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// The interpreter is about to be executed.
    Ec0,
    /// The first stage has read the agent.
    Ec1,
    /// The agent speaks frames from the next byte on.
    Ec2,
    /// No interpreter was found.
    Ec9,
}

impl Marker {
    pub(crate) fn text(self) -> &'static [u8] {
        match self {
            Marker::Ec0 => b"EC0\n",
            Marker::Ec1 => b"EC1\n",
            Marker::Ec2 => b"EC2\n",
            Marker::Ec9 => b"EC9\n",
        }
    }
}

/// What a scan came upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The input is used up.
    Nothing,
    /// More than the limit is no marker. Said before a marker that follows is looked for, so that
    /// it does not depend on how the input was split.
    TooMuch,
    /// A marker; what is left of the input stands behind it.
    Marker(Marker),
}

/// The longest marker, `EC0\r\n`.
const LONGEST: usize = 5;

/// The search, which goes on where the last piece of input ended.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// How many bytes may be no part of a marker.
    limit: usize,
    /// The beginning of what may become a marker; shorter than [`LONGEST`].
    held: Vec<u8>,
    /// Bytes that are no part of a marker and were not taken yet.
    passed: Vec<u8>,
    /// How many such bytes there were in all.
    noise: usize,
}

impl Scanner {
    pub(crate) fn new(limit: usize) -> Scanner {
        Scanner { limit, held: Vec::new(), passed: Vec::new(), noise: 0 }
    }

    /// Uses `input` up to and with the next marker.
    pub(crate) fn scan(&mut self, input: &mut &[u8]) -> Found {
        while let Some((&byte, rest)) = input.split_first() {
            if self.noise > self.limit {
                return Found::TooMuch;
            }
            if self.held.is_empty() {
                let start = memchr(b'E', input).unwrap_or(input.len());
                self.pass(&input[..start]);
                *input = &input[start..];
                if let Some((&first, rest)) = input.split_first() {
                    self.held.push(first);
                    *input = rest;
                }
                continue;
            }
            let fits = match (self.held.len(), byte) {
                (1, b'C') | (2, b'0' | b'1' | b'2' | b'9') => true,
                (3, b'\r') => true,
                (3 | 4, b'\n') => {
                    let marker = match self.held[2] {
                        b'0' => Marker::Ec0,
                        b'1' => Marker::Ec1,
                        b'2' => Marker::Ec2,
                        _ => Marker::Ec9,
                    };
                    self.held.clear();
                    *input = rest;
                    return Found::Marker(marker);
                }
                _ => false,
            };
            if fits {
                debug_assert!(self.held.len() < LONGEST);
                self.held.push(byte);
                *input = rest;
            } else {
                // Only its first byte can be an `E`: nothing of what is held begins a marker anew.
                let held = std::mem::take(&mut self.held);
                self.pass(&held);
            }
        }
        if self.noise > self.limit { Found::TooMuch } else { Found::Nothing }
    }

    /// What was passed over since this was asked last.
    pub(crate) fn take_noise(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.passed)
    }

    /// The beginning of a marker that did not come whole.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.noise = self.noise.saturating_add(bytes.len());
        self.passed.extend_from_slice(bytes);
    }
}
