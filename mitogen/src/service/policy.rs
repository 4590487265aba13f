//! Who may use a service.

use crate::context::Context;
use crate::shared::Shared;
use mitogen_wire::{ContextId, Message};
use std::fmt;
use std::sync::Arc;

/// Who asks. Both ids were checked against the link that the request came by.
#[derive(Clone, Debug)]
pub struct Caller {
    id: ContextId,
    authority: ContextId,
    context: Option<Context>,
}

impl Caller {
    pub(crate) fn of(shared: &Arc<Shared>, message: &Message) -> Caller {
        Caller { id: message.src, authority: message.auth, context: shared.context(message.src) }
    }

    /// The context that asks; [`ContextId::CONTROLLER`] for this program.
    pub fn id(&self) -> ContextId {
        self.id
    }

    /// On whose authority it asks: its own, or that of a context that passes its request on.
    pub fn authority(&self) -> ContextId {
        self.authority
    }

    /// The context that asks, if it is (still) connected and not this program.
    pub fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }
}

/// Who may use a service or write to a handler.
///
/// ```
/// use mitogen::Policy;
///
/// let only_web = Policy::when(|caller| caller.context().is_some_and(|c| c.name().starts_with("web")));
/// # let _ = only_web;
/// ```
#[derive(Clone)]
pub struct Policy(Arc<dyn Fn(&Caller) -> bool + Send + Sync>);

impl Policy {
    /// Every context of the tree.
    pub fn anyone() -> Policy {
        Policy::when(|_| true)
    }

    /// Only this program itself, and whoever acts on its authority.
    pub fn this_program() -> Policy {
        Policy::when(|caller| caller.authority == ContextId::CONTROLLER)
    }

    /// The contexts that this program has started itself, not those behind them.
    pub fn children() -> Policy {
        Policy::when(|caller| caller.context().is_some_and(|context| context.parent().is_none()))
    }

    /// This context and all that are behind it.
    pub fn subtree(root: &Context) -> Policy {
        let root = root.id();
        Policy::when(move |caller| {
            caller.context().is_some_and(|context| {
                context.id() == root || context.info.ancestors().any(|above| above.id == root)
            })
        })
    }

    /// Whom this function says yes to. It must not wait.
    pub fn when(allows: impl Fn(&Caller) -> bool + Send + Sync + 'static) -> Policy {
        Policy(Arc::new(allows))
    }

    pub(super) fn allows(&self, caller: &Caller) -> bool {
        (self.0)(caller)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}
