//! The numbers that name things on the wire: contexts and handles.
//!
//! Both are plain 32-bit integers there; here each has its own type, so that one cannot be
//! passed for the other. Unknown values survive a round trip.

use std::fmt;

/// Names one context (process) in the tree (protocol.md section 5.1).
///
/// Ids are never reused while a tree lives. The controller is always [`ContextId::CONTROLLER`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub u32);

impl ContextId {
    /// The controller, root of the tree.
    pub const CONTROLLER: ContextId = ContextId(0);
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextId({})", self.0)
    }
}

/// Names a receiver inside a context: one of the well-known ones below, or a dynamic one
/// (protocol.md section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

impl Handle {
    /// A child asks its parent for a module.
    pub const GET_MODULE: Handle = Handle(100);
    /// A parent asks a child to call a function.
    pub const CALL_FUNCTION: Handle = Handle(101);
    /// A log record on its way to the controller.
    pub const FORWARD_LOG: Handle = Handle(102);
    /// A child announces a new descendant.
    pub const ADD_ROUTE: Handle = Handle(103);
    /// A context is gone.
    pub const DEL_ROUTE: Handle = Handle(104);
    /// A child asks the controller for a block of context ids.
    pub const ALLOCATE_ID: Handle = Handle(105);
    /// A parent asks a child to end.
    pub const SHUTDOWN: Handle = Handle(106);
    /// A parent delivers a module.
    pub const LOAD_MODULE: Handle = Handle(107);
    /// A parent asks a child to pass a module on.
    pub const FORWARD_MODULE: Handle = Handle(108);
    /// A child will outlive its parent.
    pub const DETACHING: Handle = Handle(109);
    /// A service method is called.
    pub const CALL_SERVICE: Handle = Handle(110);
    /// Never on the wire; reserved by upstream for a local wake-up.
    pub const STUB_CALL_SERVICE: Handle = Handle(111);
    /// A child asks its parent for a package's data file.
    pub const GET_RESOURCE: Handle = Handle(112);
    /// A parent delivers a data file.
    pub const LOAD_RESOURCE: Handle = Handle(113);
    /// The first handle that a router gives out by itself; all above are dynamic too.
    pub const FIRST_DYNAMIC: Handle = Handle(1000);
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Handle::GET_MODULE => "GET_MODULE",
            Handle::CALL_FUNCTION => "CALL_FUNCTION",
            Handle::FORWARD_LOG => "FORWARD_LOG",
            Handle::ADD_ROUTE => "ADD_ROUTE",
            Handle::DEL_ROUTE => "DEL_ROUTE",
            Handle::ALLOCATE_ID => "ALLOCATE_ID",
            Handle::SHUTDOWN => "SHUTDOWN",
            Handle::LOAD_MODULE => "LOAD_MODULE",
            Handle::FORWARD_MODULE => "FORWARD_MODULE",
            Handle::DETACHING => "DETACHING",
            Handle::CALL_SERVICE => "CALL_SERVICE",
            Handle::STUB_CALL_SERVICE => "STUB_CALL_SERVICE",
            Handle::GET_RESOURCE => "GET_RESOURCE",
            Handle::LOAD_RESOURCE => "LOAD_RESOURCE",
            Handle(n) => return write!(f, "Handle({n})"),
        };
        write!(f, "Handle({}, {name})", self.0)
    }
}
