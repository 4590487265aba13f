//! What the protocol does, as `tracing` events: of target `mitogen::protocol` at level debug what happens to
//! contexts, routes and modules; of target `mitogen::frame` at level trace the head of each frame.
//!
//! Payloads are never shown: they hold arguments, results and secrets. Nothing is formatted that nobody wants.

use crate::error::LostReason;
use crate::events::Event;
use mitogen_transport::Phase;
use mitogen_wire::body::{GetModule, LoadModule};
use mitogen_wire::{ContextId, Handle, Message, ReplyTo};
use std::fmt;
use std::time::Duration;

/// The targets; part of the public API.
macro_rules! protocol {
    ($($text:tt)*) => { tracing::debug!(target: "mitogen::protocol", $($text)*) };
}
macro_rules! frame {
    ($($text:tt)*) => { tracing::trace!(target: "mitogen::frame", $($text)*) };
}

/// A tool is about to be started; its words hold no secret.
pub(crate) fn connecting(context: ContextId, hop: &str, via: Option<&str>, argv: &[String]) {
    match via {
        None => protocol!("context {context}: {hop}: running {argv:?}"),
        Some(via) => protocol!("context {context}: {hop}: {via} is told to run {argv:?}"),
    }
}

/// A connection has come further.
pub(crate) fn phase(context: ContextId, hop: &str, phase: Phase, at: Duration) {
    protocol!("context {context}: {hop}: phase {phase} after {:.1} ms", at.as_secs_f64() * 1e3);
}

/// A connection has failed; why is its caller's to show.
pub(crate) fn not_connected(context: ContextId, hop: &str) {
    protocol!("context {context}: {hop}: not connected");
}

/// Something has happened to the tree.
pub(crate) fn event(event: &Event) {
    match event {
        Event::Connected { context, parent } => {
            protocol!("context {} ({}) is connected, a child of {parent}", context.id, context.name);
        }
        Event::Lost { context, reason: LostReason::ShutDown | LostReason::RouterClosed } => {
            protocol!("context {} ({}) has ended", context.id, context.name);
        }
        Event::Lost { context, reason } => {
            protocol!("context {} ({}) is lost: {reason}", context.id, context.name);
        }
        Event::RouteAdded { context, via } => protocol!("route to {context} added, via {via}"),
        Event::RouteRemoved { context, via } => protocol!("route to {context} removed, via {via}"),
        Event::Missed(_) => {}
    }
}

/// A context has asked for a plan.
pub(crate) fn plan(asker: ContextId, error: Option<&str>) {
    match error {
        None => protocol!("context {asker} asked how to start another: told"),
        Some(error) => protocol!("context {asker} asked how to start another: refused: {error}"),
    }
}

/// A frame came over a link.
pub(crate) fn received(link: ContextId, message: &Message) {
    frame!("from link {link}: {}", Head::of(message));
    if message.handle == GetModule::HANDLE
        && protocol_enabled()
        && let Ok(GetModule { name }) = GetModule::decode(message)
    {
        protocol!("context {} asks for module {name}", message.src);
    }
}

/// A frame is about to be sent, under the hub's lock: what of it is to be logged when that is released.
pub(crate) fn sent(link: ContextId, message: &Message) -> Option<Sent> {
    let head = tracing::enabled!(target: "mitogen::frame", tracing::Level::TRACE).then(|| Head::of(message));
    let module = if message.handle == LoadModule::HANDLE && !message.is_dead() && protocol_enabled() {
        LoadModule::decode(message).ok().map(|LoadModule { name, module }| (name, module.is_some()))
    } else {
        None
    };
    (head.is_some() || module.is_some()).then_some(Sent {
        link,
        dst: message.dst,
        length: message.payload.len(),
        head,
        module,
    })
}

fn protocol_enabled() -> bool {
    tracing::enabled!(target: "mitogen::protocol", tracing::Level::DEBUG)
}

/// What is to be logged of a frame that was sent.
pub(crate) struct Sent {
    link: ContextId,
    dst: ContextId,
    length: usize,
    head: Option<Head>,
    /// A module's name, and whether there is one.
    module: Option<(String, bool)>,
}

impl Sent {
    pub(crate) fn log(self) {
        let Sent { link, dst, length, head, module } = self;
        match module {
            Some((name, true)) => protocol!("context {dst} is sent module {name}, {length} bytes"),
            Some((name, false)) => protocol!("context {dst} is told that there is no module {name}"),
            None => {}
        }
        if let Some(head) = head {
            frame!("to link {link}: {head}");
        }
    }
}

/// The head of a frame.
struct Head {
    ids: [ContextId; 3],
    handle: Handle,
    reply_to: ReplyTo,
    length: usize,
}

impl Head {
    fn of(message: &Message) -> Head {
        let Message { src, dst, auth, handle, reply_to, ref payload, .. } = *message;
        Head { ids: [src, dst, auth], handle, reply_to, length: payload.len() }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [src, dst, auth] = self.ids;
        write!(f, "{src} -> {dst} {:?}", self.handle)?;
        if auth != src {
            write!(f, " by authority of {auth}")?;
        }
        match self.reply_to {
            ReplyTo::Nobody => {}
            ReplyTo::Handle(handle) => write!(f, ", answer to {handle}")?,
            ReplyTo::Dead => f.write_str(", dead")?,
        }
        write!(f, ", {} bytes", self.length)
    }
}
