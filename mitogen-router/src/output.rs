//! What the router asks of the world.

use mitogen_wire::body::{BodyError, Dead};
use mitogen_wire::{ContextId, Handle, Message};

/// One thing to do or to know, from [`Router::poll_output`](crate::Router::poll_output).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// Send this message over this link. Messages of one link stay in this order.
    Transmit {
        /// The neighbour at the link's far end.
        link: ContextId,
        /// The message.
        message: Message,
    },
    /// A message came to a mailbox. If the mailbox was opened for one message it is closed with
    /// this, nothing more is said about it, and the message is a living one. A mailbox for many gets
    /// dead messages this way too: anybody with access can send one, so they close nothing.
    Deliver {
        /// The mailbox.
        handle: Handle,
        /// The message.
        message: Message,
    },
    /// No (further) message will come to this mailbox; it is closed.
    Closed {
        /// The mailbox.
        handle: Handle,
        /// Why.
        reason: Closed,
    },
    /// A context can be reached now.
    RouteAdded {
        /// The context.
        context: ContextId,
        /// The neighbour that leads to it: itself, for a neighbour.
        via: ContextId,
        /// What its parent calls it.
        name: Option<String>,
    },
    /// A context is gone.
    RouteLost {
        /// The context.
        context: ContextId,
        /// The neighbour that led to it.
        via: ContextId,
    },
    /// A context announces that it will close the link to its parent and live on. If it is a neighbour
    /// its process is not to be ended when that happens, and it was answered.
    Detaching {
        /// The context.
        context: ContextId,
    },
    /// A neighbour sent something that it may not send, or that cannot be read. It was dropped.
    Rejected {
        /// The neighbour.
        link: ContextId,
        /// Who the message said it was from.
        src: ContextId,
        /// Where it was to go.
        handle: Handle,
        /// What is wrong with it.
        why: Rejection,
    },
}

/// Why a mailbox was closed from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// A dead message came: from the other end, or from a router on the way to it.
    Dead {
        /// Who said so.
        from: ContextId,
        /// The reason given.
        reason: Dead,
    },
    /// The context that was to answer is gone.
    RespondentGone {
        /// The context.
        context: ContextId,
        /// The neighbour that led to it.
        via: ContextId,
    },
    /// [`Router::close_all`](crate::Router::close_all) was asked for.
    RouterClosed,
}

/// What is wrong with a dropped message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It came over a link that is not up.
    #[error("no such link")]
    UnknownLink,
    /// It claims the authority of a context that is not behind its link.
    #[error("it claims the authority of context {auth}, which is not behind that link")]
    BadAuth {
        /// The authority claimed.
        auth: ContextId,
    },
    /// It claims to be from a context that is not behind its link.
    #[error("it claims to be from a context that is not behind that link")]
    BadSource,
    /// A dead message for a mailbox that waits for a context behind another link.
    #[error("it declares dead what another link's context is to answer")]
    ForeignDead,
    /// A route to itself, to an ancestor, to a context that another link leads to, or with an id that
    /// nobody behind this link was given.
    #[error("it announces context {context}, which is not its to announce")]
    ForeignRoute {
        /// The context announced.
        context: ContextId,
    },
    /// The withdrawal of a route that does not lead through its link.
    #[error("it withdraws context {context}, which is not behind that link")]
    UnknownRoute {
        /// The context withdrawn.
        context: ContextId,
    },
    /// More routes than one link may lead to.
    #[error("it announces context {context}, and its link leads to {limit} others already")]
    TooManyRoutes {
        /// The context announced.
        context: ContextId,
        /// How many are allowed.
        limit: usize,
    },
    /// More blocks of ids than one link may have, or than there are.
    #[error("it asks for context ids, and none are left for it")]
    TooManyIds,
    /// An answer to a mailbox that waits for another context's.
    #[error("it answers what another context was asked")]
    NotAwaited,
    /// A second announcement that it will leave.
    #[error("it has announced before that it will leave")]
    DetachedTwice,
    /// The sender may not use that handle.
    #[error("its sender may not use that handle")]
    Forbidden,
    /// It is longer than this router passes on.
    #[error("it is longer than this router passes on")]
    TooLarge,
    /// The body is not what the handle calls for.
    #[error(transparent)]
    Body(#[from] BodyError),
}
