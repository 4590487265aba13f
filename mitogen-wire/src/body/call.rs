//! Function calls and their results (protocol.md sections 4.1 and 4.2).

use crate::{Handle, Value};

/// `CALL_FUNCTION`: run a function and, if the message asks for it, answer with its result.
/// On the wire: the pickled tuple `(chain, module, class, function, args, kwargs)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFunction {
    /// Calls of one chain stop at its first failure: [`Value::None`], or any hashable value.
    pub chain: Value,
    /// The module to import.
    pub module: String,
    /// The class inside the module, for a static or class method.
    pub class: Option<String>,
    /// The function's name.
    pub function: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Vec<(String, Value)>,
}

/// What comes back from a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// The function returned this.
    Returned(Value),
    /// The function, or the search for it, raised this.
    Raised(CallError),
}

/// An exception that a call raised, as text: `module.Class: message`, then, if there was a
/// traceback, a line end and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The whole text.
    pub text: String,
}

impl CallFunction {
    /// Where it goes.
    pub const HANDLE: Handle = Handle::CALL_FUNCTION;
}
