//! All that a child context needs to be born, without doing any of it.
//!
//! A context is a Python process that had nothing of ours installed. It is born in four steps, of
//! which this crate supplies the words and the transport the deeds:
//!
//! 1. [`boot_command`] starts on the target. It finds an interpreter and says `EC0`.
//! 2. A [`Preamble`] is written to its standard input: the first stage, then the packed agent, then
//!    this child's [`BootConfig`]. The first stage forks; one half becomes a fresh interpreter whose
//!    script is the agent, the other feeds it and says `EC1`.
//! 3. The agent takes over and says `EC2`. What follows are frames, both ways.
//! 4. Modules of the agent that a first call does not need are asked for later: [`deferred_module`].
//!
//! Nothing touches the target's disk, and nothing secret stands in a command line.
//!
//! ```
//! use mitogen_bootstrap::{BootConfig, Interpreter, Preamble, boot_command};
//! use mitogen_wire::{ContextId, SessionKey};
//!
//! let command = boot_command(&Interpreter::Discover);
//! assert_eq!(command[..2], ["sh", "-c"]);
//!
//! let mut config = BootConfig::new(ContextId(1), vec![ContextId::CONTROLLER]);
//! config.name = "web1".to_owned();
//! config.key = Some(SessionKey::from_random([7; 16]));
//! let preamble = Preamble::new(&config, "alice@laptop:4711");
//! assert!(preamble.as_bytes().len() < 8192);
//! ```
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod agent;
mod command;
mod config;
pub mod handshake;
mod handshake_lines;
mod handshake_markers;
mod literal;
mod minify;
pub mod plan;
pub mod plan_message;
mod preamble;
#[cfg(test)]
mod shorten;
mod upstream;

pub use agent::{DeferredModule, core_modules, deferred_module, deferred_modules};
pub use command::{Interpreter, boot_command};
pub use config::BootConfig;
pub use minify::{Header, minify};
pub use preamble::{Preamble, clean_remote_name};
/// A module that runs commands in contexts of upstream's: [`UpstreamCore`].
pub const UPSTREAM_PROCESS: &[u8] = include_bytes!("../python/upstream_process.py");
pub use upstream::{UpstreamCore, UpstreamVersion};
