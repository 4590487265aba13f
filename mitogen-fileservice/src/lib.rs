//! Windowed file transfers: how much may be on its way, whose turn it is, who may have what, and
//! whether all of it came. No file is opened here and no clock is read.
//!
//! ```text
//!  queue ─────────────┐                 ┌─> Announce   answer with the metadata, before all else
//!  handle_opened ─────┤                 ├─> Begin      open the source
//!  handle_read ───────┼──> FileServer ──┼─> Read       read and send so much
//!  handle_acked ──────┤                 └─> End        tell the receiver, let the source go
//!  handle_time, ..._gone ┘
//! ```
//!
//! A [`FileServer`] serves each physical stream (the link that leads to the receivers) for itself:
//! one transfer at a time, the others in the order in which they came, and never more bytes on their
//! way than the stream's [`Window`] allows. A [`Registry`] says who may fetch what. At the other end
//! a [`Download`] checks what comes.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod download;
mod registry;
mod server;
mod terms;
mod window;

pub use download::{Download, DownloadError};
pub use registry::{Permit, Registry, RegistryError};
pub use server::{FileServer, PATIENCE};
pub use terms::{BadAck, Busy, Ended, JobId, Limits, Output, Read};
pub use window::{Bounds, Credit, Sizing, Window};

/// The most bytes of a file in one message: 128 KiB less the 26 bytes of a head, as upstream has it.
pub const CHUNK: usize = 131_072 - 26;
/// The first window, in bytes.
pub const WINDOW: usize = 1 << 20;
/// What a hole in a file costs of the window, whatever its length.
pub const HOLE_COST: usize = 4096;
