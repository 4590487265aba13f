//! Run functions on machines that have nothing but ssh and Python.
//!
//! A [`Router`] starts *contexts*: Python processes on this machine, in other accounts or on other
//! hosts. Nothing needs to be installed there; nothing is written to their disks. A [`Context`]
//! calls functions in its process, runs commands, and ends with its router.
//!
//! ```no_run
//! use mitogen::{Call, Command, Local, Router, Value};
//!
//! # async fn example() -> Result<(), mitogen::Error> {
//! let router = Router::new()?;
//! let context = router.connect(Local::new()).await?;
//!
//! let pid: u32 = context.call("os.getpid", ()).await?;
//! let text: String = context.start(Call::new("json.dumps").arg([1, 2]).kwarg("indent", 2)).await?;
//! let uname: Value = context.call("os.uname", ()).await?;
//! let output = context.exec(Command::new("id").arg("-un")).await?;
//! println!("{pid} {text} {uname:?} {:?}", output.stdout);
//!
//! router.shutdown().await?;
//! # Ok(()) }
//! ```
//!
//! # Contents
//!
//! | what | where |
//! |---|---|
//! | start and end contexts | [`Router`], [`RouterBuilder`], [`LogLevel`], [`Agent`] |
//! | connection methods | [`Local`], [`Ssh`], [`Sudo`], [`Su`], [`Doas`], [`Docker`], [`Podman`], [`Buildah`], [`Lxc`], [`Lxd`], [`Incus`], [`Kubectl`], [`Jail`], [`Setns`], [`Custom`], [`Method`] |
//! | secrets | [`Credential`], [`Question`] |
//! | contexts behind contexts | [`Context::connect`], [`Context::parent`], [`Context::target`], [`Event`] |
//! | call functions | [`Context`], [`Call`], [`PendingCall`], [`CallChain`], [`Select`], [`Value`], [`to_value`], [`from_value`] |
//! | send and receive | [`Receiver`], [`Sender`], [`Channel`], [`Address`], [`Access`] |
//! | modules of the user's for contexts | [`RouterBuilder::module_path`], [`RouterBuilder::script`], [`ModuleSource`], [`LinkStats`] |
//! | offer services | [`Router::serve`], [`Router::serve_at`], [`Service`], [`Request`], [`Policy`], [`Context::call_service`] |
//! | Python programs that use this router | [`Router::listen`], [`Listener`], [`ListenerEvent`], [`Client`] |
//! | run commands | [`Command`], [`Output`], [`Running`], [`Printed`] |
//! | failures | [`Error`], [`ConnectError`], [`RemoteError`], [`LostReason`] |
//! | without async | [`blocking`] |
//!
//! # Logs
//!
//! What contexts log, and what their programs print, comes out as [`tracing`] events of target
//! `mitogen::remote`, in the order in which it was written, and before the result of the call that
//! wrote it. Each event has the fields `mitogen_context` (the id, a number), `mitogen_name` (the
//! context's name), `mitogen_logger` (the Python logger; `stdout` and `stderr` for printed lines)
//! and `message`. The level is Python's: up to 9 trace, up to 19 debug, up to 29 info, up to 39
//! warn, above that error. What a connection's tool (ssh) says comes with target `mitogen::tool`
//! at level debug. Events are emitted by the task that reads the link, never under a lock.
//!
//! What the protocol does comes with two more targets: `mitogen::protocol`, at level debug, says what is
//! started and how far it has come, which contexts and routes come and go, and which modules are asked
//! for; `mitogen::frame`, at level trace, has the head of each frame. No event holds a payload.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod attempt;
pub mod blocking;
mod call;
mod chain;
mod channel;
mod context;
mod credit;
mod effect;
mod ending;
mod engine;
mod equip;
mod error;
mod events;
mod exec;
pub mod files;
mod hub;
mod info;
mod link;
mod listen;
mod modules;
mod plans;
mod protocol_log;
mod receiver;
mod remote_log;
mod router;
mod select;
mod sender;
mod service;
mod shared;
mod stats;
mod upstream;
mod via;

pub use call::{Call, PendingCall};
pub use chain::CallChain;
pub use channel::Channel;
pub use context::{Context, ContextRef};
pub use error::{ContextLabel, Error, LostReason, RemoteError};
pub use events::{Event, Events};
pub use exec::{Command, Output, Printed, Running};
pub use files::{FileError, FileErrorKind, TransferOptions, Transferred};
pub use listen::{Client, ListenOptions, Listener, ListenerEvent, ListenerEvents, Refusal};
pub use mitogen_router::Access;
pub use mitogen_transport::{
    Buildah, ConnectError, Credential, Custom, Doas, Docker, FailureKind, HostKeys, Incus, Jail, Kubectl,
    ListenError, Local, Lxc, Lxd, Method, OptionError, OptionValue, Phase, Podman, Question, SecretName,
    Setns, Ssh, Su, Sudo, was_closed,
};
pub use mitogen_wire::body::Dead;
pub use mitogen_wire::{BigInt, ContextId, FrameError, Handle, Secret, Value, from_value, to_value};
pub use modules::ModuleSource;
pub use receiver::{Incoming, Receiver};
pub use router::{LogLevel, Router, RouterBuilder};
pub use select::Select;
pub use sender::{Address, Sender, Sending};
pub use service::{Caller, Policy, Request, Service};
pub use stats::LinkStats;
pub use upstream::Agent;

/// The examples of the README, compiled and run as tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Those of docs/migrating.md.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migrating.md")]
struct Migrating;
