//! What our user can ask in vain.

use mitogen_wire::{ContextId, Handle};

/// Why the router did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// There is a route to that context already.
    #[error("context {link} is already connected")]
    LinkExists {
        /// The context.
        link: ContextId,
    },
    /// Somebody listens on that handle already.
    #[error("handle {handle} is already in use")]
    HandleTaken {
        /// The handle.
        handle: Handle,
    },
    /// All four thousand million context ids have been given out.
    #[error("no context ids are left")]
    IdsExhausted,
    /// Only the controller gives out ids.
    #[error("only the controller gives out context ids")]
    NotController,
    /// Contexts near that one were told to start too many others that have not come.
    #[error("{limit} contexts were to be started near context {owner}, or it is not connected")]
    TooManyBirths {
        /// The context that was to start one more.
        owner: ContextId,
        /// How many may be on their way.
        limit: usize,
    },
}
