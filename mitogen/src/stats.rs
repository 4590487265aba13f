//! What went by a link.

use std::time::Duration;

/// Counters of one link, from its birth on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Messages that were sent by it.
    pub messages_sent: u64,
    /// Their frames' bytes, heads and signatures included.
    pub bytes_sent: u64,
    /// Messages that came by it.
    pub messages_received: u64,
    /// Their frames' bytes.
    pub bytes_received: u64,
    /// Requests for modules that came by it, those for parts of the agent left out.
    pub module_requests: u64,
    /// Modules that were sent by it.
    pub modules_sent: u64,
    /// The messages that carried them.
    pub module_messages: u64,
    /// The bytes of these messages' bodies.
    pub module_bytes: u64,
    /// How long this side was at work on them: finding, scanning, compressing.
    pub module_time: Duration,
}
