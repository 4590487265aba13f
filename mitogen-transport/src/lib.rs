//! Starts Mitogen contexts: processes, ptys, ssh, and the links to them.
//!
//! 1. A [`Method`] such as [`Local`] or [`Ssh`] says, as data, what to run: its
//!    [`plan`](Method::plan).
//! 2. [`connect`] carries the plan out, up to the first frame, within a deadline.
//! 3. A [`Connected`] context is a [`Stream`] for frames, a [`Process`] to wait for or to end, and
//!    the lines that its tool (ssh, say) still prints.
//!
//! Nothing here knows what frames mean, and nothing stays behind: a dropped `connect` future or a
//! dropped [`Process`] kills and reaps what it started.
//!
//! Everything needs a tokio runtime with IO and time enabled.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod connect;
mod credentials;
mod descriptors;
mod error;
mod fd;
mod haste;
mod link;
mod listen;
pub mod memory;
mod method;
mod process;
mod pty;
pub mod quote;
mod spawn;
mod standard;
mod tool;

pub use connect::{Connected, connect, connect_observed};
pub use credentials::{Credential, Credentials, Question};
pub use descriptors::raise_descriptor_limit;
pub use error::ConnectError;
pub use link::{DEFAULT_QUEUE_LIMIT, FrameReader, FrameWriter, LinkError, QueueWatch, Stream, Waiting};
pub use listen::{ListenError, UnixListener, Visitor};
pub use method::{
    Buildah, Custom, Doas, Docker, HostKeys, Incus, Jail, Kubectl, Local, Lxc, Lxd, Method, OptionError,
    OptionValue, Podman, Setns, Ssh, Su, Sudo,
};
pub use mitogen_bootstrap::handshake::{Exit, Phase, SeenLine};
pub use mitogen_bootstrap::plan::{BootPlan, FailureKind, Secret, SecretName, Source};
pub use process::Process;
pub use standard::was_closed;
pub use tool::{ToolLine, ToolLines};
