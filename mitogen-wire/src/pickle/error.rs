//! What can be wrong with a pickle.

/// A pickle that cannot be read, or a value that cannot be pickled. Concerns one message alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The data ends before the pickle does.
    #[error("pickle is cut off at byte {at}")]
    Truncated {
        /// Where more was needed.
        at: usize,
    },
    /// An opcode that no value between contexts needs.
    #[error(
        "pickle opcode {name} (0x{opcode:02x}) at byte {at} is not allowed between contexts; send plain values"
    )]
    Opcode {
        /// The byte.
        opcode: u8,
        /// Its name in Python's `pickletools`, or `unknown`.
        name: &'static str,
        /// Where it stands.
        at: usize,
    },
    /// A protocol that we do not read.
    #[error("pickle protocol {protocol} at byte {at}: only 2 and 3 are read")]
    Protocol {
        /// The protocol.
        protocol: u8,
        /// Where it is announced.
        at: usize,
    },
    /// A class or function that is not on the list.
    #[error(
        "cannot unpickle {module:?}/{name:?}: only plain values and mitogen.core's own types cross between contexts"
    )]
    Global {
        /// The module it names, at most 100 characters of it.
        module: String,
        /// The name in it, at most 100 characters of it.
        name: String,
    },
    /// One of the known constructors with arguments that do not suit it.
    #[error("cannot unpickle {name}: {problem}")]
    Constructor {
        /// Which one.
        name: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Bytes that are not what their opcode says.
    #[error("malformed pickle at byte {at}: {problem}")]
    Malformed {
        /// What is wrong.
        problem: &'static str,
        /// Where the opcode stands.
        at: usize,
    },
    /// Text with half of a surrogate pair, which Rust text cannot hold.
    #[error(
        "text at byte {at} of the pickle holds a lone surrogate (a file name that is not UTF-8?); encode it in the remote function, for example with os.fsencode"
    )]
    Surrogate {
        /// Where the text's opcode stands.
        at: usize,
    },
    /// A list or dict that contains itself.
    #[error("a {kind} that contains itself cannot cross between contexts")]
    Cycle {
        /// `list` or `dict`.
        kind: &'static str,
    },
    /// A dict key that Python cannot hash.
    #[error("{kind} cannot be the key of a dict")]
    UnhashableKey {
        /// What stands there.
        kind: &'static str,
    },
    /// A limit of [`Limits`](super::Limits), or of the format when writing, is passed.
    #[error("pickle passes the limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}
