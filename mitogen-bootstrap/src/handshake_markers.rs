//! Finds markers in a byte stream that may be cut anywhere and hold anything else.

use memchr::memchr2;

/// `EC0`, `EC1`, `EC2` or `EC9`, ended by a line feed, with or without a carriage return. Of upstream's
/// core the last two that a birth needs are `MITO001` and `MITO002`.
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

/// Each with how it is spelt, without its line end.
const SPELLINGS: [(&[u8], Marker); 6] = [
    (b"EC0", Marker::Ec0),
    (b"EC1", Marker::Ec1),
    (b"EC2", Marker::Ec2),
    (b"EC9", Marker::Ec9),
    (b"MITO001", Marker::Ec1),
    (b"MITO002", Marker::Ec2),
];
/// The longest marker, `MITO002\r\n`.
const LONGEST: usize = 9;

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
                let start = memchr2(b'E', b'M', input).unwrap_or(input.len());
                self.pass(&input[..start]);
                *input = &input[start..];
                if let Some((&first, rest)) = input.split_first() {
                    self.held.push(first);
                    *input = rest;
                }
                continue;
            }
            let body = self.held.strip_suffix(b"\r").unwrap_or(&self.held);
            let whole = SPELLINGS.iter().find(|(text, _)| *text == body);
            if let (b'\n', Some((_, marker))) = (byte, whole) {
                self.held.clear();
                *input = rest;
                return Found::Marker(*marker);
            }
            let fits = match whole {
                Some(_) => byte == b'\r' && body.len() == self.held.len(),
                None => {
                    let may =
                        |text: &[u8]| text.strip_prefix(&*self.held).is_some_and(|left| left[0] == byte);
                    SPELLINGS.iter().any(|(text, _)| may(text))
                }
            };
            if fits {
                debug_assert!(self.held.len() < LONGEST);
                self.held.push(byte);
                *input = rest;
            } else {
                // Only its first byte can be an `E` or an `M`: nothing of what is held begins a marker anew.
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
