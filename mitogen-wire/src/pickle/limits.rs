//! How much one message may ask of its reader.

/// Hard limits of the pickle reader. None of them can be passed by a memo reference, a count or a
/// length that a pickle claims.
///
/// A message of *n* bytes may become at most `free_memory + growth * n` bytes of values, and never
/// more than `max_memory`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Levels of nesting of lists, tuples, dicts and `Kwargs`.
    pub max_depth: usize,
    /// Values in the message, read or produced (a reference to a shared list counts all of it again).
    pub max_values: u64,
    /// Bytes of memory of the values produced. While it works, the reader takes as much again at most.
    pub max_memory: u64,
    /// Bytes of values that even the smallest message may produce.
    pub free_memory: u64,
    /// Bytes of values that each byte of a message may produce on average, beyond `free_memory`.
    /// Without shared references no value needs more than 64.
    pub growth: u64,
    /// Bytes of one integer.
    pub max_long: usize,
}

impl Default for Limits {
    /// 256 levels, 8,388,608 values, 512 MiB, of which 8 MiB plus 64 bytes per byte of the message,
    /// integers of 64 KiB.
    fn default() -> Limits {
        Limits {
            max_depth: 256,
            max_values: 8 << 20,
            max_memory: 512 << 20,
            free_memory: 8 << 20,
            growth: 64,
            max_long: 64 << 10,
        }
    }
}
