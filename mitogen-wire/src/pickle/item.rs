//! What the reader holds between opcodes: small copyable items that point into the message, and the
//! nodes of its graph of containers.

use super::PickleError;

/// A piece of the message. Messages of 4 GiB and more are refused before any span is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    pub(super) const EMPTY: Span = Span { start: 0, len: 0 };

    pub(super) fn of<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.start as usize..self.start as usize + self.len as usize]
    }
}

/// Which characters a text is made of. Found out once, when the text is read, so that no opcode
/// later looks at a long text again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Ascii,
    /// Nothing above U+00FF: what `_codecs.encode` turns into bytes.
    Latin1,
    Any,
    /// With halves of surrogate pairs, which Python writes and Rust text cannot hold.
    Surrogates,
}

impl Script {
    /// Sorts UTF-8 as Python writes it, or `None` if it is not that.
    pub(super) fn of(bytes: &[u8]) -> Option<Script> {
        if bytes.is_ascii() {
            return Some(Script::Ascii);
        }
        let mut rest = bytes;
        let mut surrogates = false;
        while let Err(error) = std::str::from_utf8(rest) {
            match &rest[error.valid_up_to()..] {
                [0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..] => rest = after,
                _ => return None,
            }
            surrogates = true;
        }
        Some(if surrogates {
            Script::Surrogates
        } else if bytes.iter().all(|&b| b < 0xc4) {
            Script::Latin1
        } else {
            Script::Any
        })
    }
}

/// The callables on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    CallError,
    Context,
    Sender,
    Blob,
    Secret,
    Kwargs,
    Encode,
    Bytes,
}

impl Global {
    pub(super) fn lookup(module: &[u8], name: &[u8]) -> Result<Global, PickleError> {
        Ok(match (module, name) {
            (b"mitogen.core", b"_unpickle_call_error" | b"CallError") => Global::CallError,
            (b"mitogen.core", b"_unpickle_context") => Global::Context,
            (b"mitogen.core", b"_unpickle_sender") => Global::Sender,
            (b"mitogen.core", b"Blob") => Global::Blob,
            (b"mitogen.core", b"Secret") => Global::Secret,
            (b"mitogen.core", b"Kwargs") => Global::Kwargs,
            (b"_codecs", b"encode") => Global::Encode,
            (b"__builtin__", b"bytes") => Global::Bytes,
            _ => {
                let shown = |bytes: &[u8]| {
                    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).chars().take(100).collect()
                };
                return Err(PickleError::Global { module: shown(module), name: shown(name) });
            }
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Global::CallError => "mitogen.core.CallError",
            Global::Context => "mitogen.core.Context",
            Global::Sender => "mitogen.core.Sender",
            Global::Blob => "mitogen.core.Blob",
            Global::Secret => "mitogen.core.Secret",
            Global::Kwargs => "mitogen.core.Kwargs",
            Global::Encode => "_codecs.encode",
            Global::Bytes => "__builtin__.bytes",
        }
    }
}

/// One thing on the reader's stack, in its memo, or in a container.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    None,
    Bool(bool),
    Int(i64),
    Long(Span),
    Float(f64),
    Str(Span),
    Bytes(Span),
    /// Bytes written as text, one character above U+007F at least.
    Latin1(Span),
    Text(Span, Script),
    EmptyTuple,
    /// Not named by the memo and not filled: no node, so a message full of them costs no more than it says.
    EmptyList,
    EmptyDict,
    EmptyKwargs,
    /// May hold surrogates: they are replaced, as an error must not be lost for the file name in it.
    CallError(Span, Script),
    Context(u32),
    NamedContext(u32, Span),
    Sender(u32, u32),
    /// The flag tells bytes written as text.
    Blob(Span, bool),
    Secret(Span),
    Global(Global),
    /// A container, by its place among the nodes.
    Node(u32),
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    List,
    Tuple,
    /// Keys and values in turn.
    Dict,
    /// One item: the dict.
    Kwargs,
}

/// A container. Lists and dicts grow after they were put into the memo.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Levels of containers, itself included, when it was last added to. What is in it may have grown since;
    /// that is found out at STOP, while an honest bomb is refused before it takes memory.
    pub(super) height: u32,
    pub(super) items: Vec<Item>,
}
