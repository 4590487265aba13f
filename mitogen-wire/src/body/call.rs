//! Function calls and their results (protocol.md sections 4.1 and 4.2).

use super::{BodyError, front, pickled, text};
use crate::pickle::{self, MAX_CALL_ERROR_CHARS, PickleError};
use crate::{Encoding, Handle, Message, Value};
use bytes::Bytes;

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

impl CallFunction {
    /// Where it goes.
    pub const HANDLE: Handle = Handle::CALL_FUNCTION;

    /// A call without arguments, outside any chain.
    pub fn new(module: impl Into<String>, function: impl Into<String>) -> CallFunction {
        CallFunction {
            chain: Value::None,
            module: module.into(),
            class: None,
            function: function.into(),
            args: Vec::new(),
            kwargs: Vec::new(),
        }
    }

    /// The call by which a peer forgets that `chain` has failed; sent without asking for a reply.
    pub fn forget_chain(chain: Value) -> CallFunction {
        CallFunction {
            class: Some("Dispatcher".into()),
            args: vec![chain],
            ..CallFunction::new("mitogen.core", "forget_chain")
        }
    }

    /// Pickles the call. It is consumed, so that no argument is copied twice.
    ///
    /// # Errors
    /// An argument cannot be pickled: see [`pickle::write`].
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        let call = Value::Tuple(vec![
            self.chain,
            Value::Text(self.module),
            self.class.map_or(Value::None, Value::Text),
            Value::Text(self.function),
            Value::Tuple(self.args),
            // An empty dict needs no constructor there: most calls have no keyword arguments.
            if self.kwargs.is_empty() { Value::Dict(Vec::new()) } else { Value::Kwargs(self.kwargs) },
        ]);
        Ok((Encoding::Pickle, pickle::write(&call)?))
    }

    /// Reads a call: `args` may be a list too, `kwargs` a plain dict whose keys are text.
    ///
    /// # Errors
    /// [`BodyError::Pickle`], [`BodyError::NotPickled`], [`BodyError::Malformed`],
    /// [`BodyError::Dead`].
    pub fn decode(message: &Message) -> Result<CallFunction, BodyError> {
        let malformed = |problem| BodyError::Malformed { body: "CALL_FUNCTION", problem };
        let fields = match pickled(message, "CALL_FUNCTION")? {
            Value::Tuple(fields) => <[Value; 6]>::try_from(fields).ok(),
            _ => None,
        };
        let Some([chain, module, class, function, args, kwargs]) = fields else {
            return Err(malformed("it is no tuple of six"));
        };
        Ok(CallFunction {
            chain,
            module: text(module).ok_or(malformed("the module's name is not text"))?,
            class: match class {
                Value::None => None,
                class => Some(text(class).ok_or(malformed("the class's name is neither text nor None"))?),
            },
            function: text(function).ok_or(malformed("the function's name is not text"))?,
            args: match args {
                Value::Tuple(args) | Value::List(args) => args,
                _ => return Err(malformed("the positional arguments are no tuple")),
            },
            kwargs: match kwargs {
                Value::Kwargs(kwargs) => kwargs,
                Value::Dict(pairs) => pairs
                    .into_iter()
                    .map(|(key, value)| text(key).map(|key| (key, value)))
                    .collect::<Option<_>>()
                    .ok_or(malformed("a keyword argument's name is not text"))?,
                _ => return Err(malformed("the keyword arguments are no dict")),
            },
        })
    }
}

/// What comes back from a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// The function returned this.
    Returned(Value),
    /// The function, or the search for it, raised this.
    Raised(CallError),
}

impl CallResult {
    /// Pickles the result. An error's text is cut to [`pickle::MAX_CALL_ERROR_CHARS`].
    ///
    /// # Errors
    /// The value cannot be pickled: see [`pickle::write`]. Answer with a [`CallError`] then.
    pub fn encode(self) -> Result<(Encoding, Bytes), PickleError> {
        match self {
            CallResult::Returned(value) => Ok((Encoding::Pickle, pickle::write(&value)?)),
            CallResult::Raised(error) => error.encode(),
        }
    }

    /// Reads a result.
    ///
    /// # Errors
    /// [`BodyError::Dead`] when no result will come; [`BodyError::Pickle`],
    /// [`BodyError::NotPickled`].
    pub fn decode(message: &Message) -> Result<CallResult, BodyError> {
        Ok(match pickled(message, "call result")? {
            Value::CallError(text) => CallResult::Raised(CallError { text }),
            value => CallResult::Returned(value),
        })
    }

    /// The value, or what was raised instead.
    ///
    /// # Errors
    /// What was raised.
    pub fn into_result(self) -> Result<Value, CallError> {
        match self {
            CallResult::Returned(value) => Ok(value),
            CallResult::Raised(error) => Err(error),
        }
    }
}

/// An exception that a call raised, as text: `module.Class: message`, then, if there was a
/// traceback, a line end and its lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CallError {
    /// The whole text, of any length.
    pub text: String,
}

/// How the first line of a Python traceback's entry begins, after the line end before it.
const ENTRY: &str = "\n  File \"";

impl CallError {
    /// Puts the text together.
    pub fn new(type_name: &str, message: &str, traceback: Option<&str>) -> CallError {
        let mut text = format!("{type_name}: {message}");
        if let Some(traceback) = traceback {
            text.push('\n');
            text.push_str(traceback);
        }
        CallError { text }
    }

    /// The exception's class with its module (`builtins.ValueError`), or `None` when the text does
    /// not start with a dotted name and a colon.
    pub fn type_name(&self) -> Option<&str> {
        let (name, _) = self.text.split_once(':')?;
        let dotted = name.split('.').all(|part| {
            let mut chars = part.chars();
            chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
                && chars.all(|c| c == '_' || c.is_alphanumeric())
        });
        (dotted && name.contains('.')).then_some(name)
    }

    /// The exception's message, which may have several lines, or none.
    pub fn message(&self) -> &str {
        let head = &self.text[..self.traceback_at().unwrap_or(self.text.len())];
        match self.type_name() {
            None => head,
            Some(name) => {
                let rest = &head[name.len() + 1..];
                rest.strip_prefix(' ').unwrap_or(rest)
            }
        }
    }

    /// The traceback's lines, innermost call last, if there was one.
    pub fn traceback(&self) -> Option<&str> {
        self.traceback_at().map(|at| &self.text[at + 1..])
    }

    /// Pickles the error, its text cut to [`pickle::MAX_CALL_ERROR_CHARS`]: of a long traceback the end
    /// is kept, since it names the place where the exception was raised.
    ///
    /// # Errors
    /// As [`pickle::write`], though no text of this length is known to fail.
    pub fn encode(&self) -> Result<(Encoding, Bytes), PickleError> {
        Ok((Encoding::Pickle, pickle::write(&Value::CallError(self.shortened()))?))
    }

    /// Where the line end in front of the traceback stands.
    fn traceback_at(&self) -> Option<usize> {
        self.text.find(ENTRY)
    }

    fn shortened(&self) -> String {
        const GAP: &str = "\n  ...\n";
        let whole = front(&self.text, MAX_CALL_ERROR_CHARS);
        if whole.len() == self.text.len() {
            return self.text.clone();
        }
        let Some(traceback) = self.traceback() else { return whole.to_owned() };
        let head = front(&self.text[..self.text.len() - traceback.len() - 1], MAX_CALL_ERROR_CHARS / 2);
        let room = MAX_CALL_ERROR_CHARS - head.chars().count() - GAP.len();
        let tail = match traceback.char_indices().rev().nth(room - 1) {
            None => traceback,
            Some((start, _)) => &traceback[start..],
        };
        format!("{head}{GAP}{tail}")
    }
}
