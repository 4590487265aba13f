//! `mitogen call FUNC [ARG]... [--kw NAME=VALUE]...`

use super::{Gave, Work};
use crate::{
    cli::{CallArgs, is_identifier},
    json,
    outcome::Answer,
};
use mitogen::{Call, Context, Error, Value};
use std::{collections::BTreeSet, time::Duration};

/// The work that the arguments ask for.
///
/// # Errors
/// The function's name is none, or an argument cannot be sent: what to write instead.
pub(crate) fn work(args: CallArgs, timeout: Option<Duration>) -> Result<Work, String> {
    check_name(&args.func)?;
    let read = |text: String| match args.str {
        true => Ok(Value::Text(text)),
        false => json::argument(&text),
    };
    let mut call = Call::new(&args.func);
    for arg in args.args {
        call = call.arg(read(arg)?);
    }
    let mut named = BTreeSet::new();
    for (name, value) in args.kw {
        if !named.insert(name.clone()) {
            return Err(format!("--kw {name} is given twice"));
        }
        let value = read(value).map_err(|why| format!("--kw {name}: {why}"))?;
        call = call.kwarg(name, value);
    }
    if let Some(timeout) = timeout {
        call = call.timeout(timeout);
    }
    Ok(Work::Call(call))
}

/// Calls the function and waits for its result.
pub(super) async fn run(context: &Context, call: Call) -> Result<Gave, Error> {
    let value: Value = context.start(call).await?;
    Ok((Some(Answer::Value(value)), None))
}

/// `module.function`, `module.Class.method` or `module:qualified.name`: names joined by dots, at least two.
fn check_name(name: &str) -> Result<(), String> {
    let dotted = |text: &str| text.split('.').all(is_identifier);
    let fine = match name.split_once(':') {
        Some((module, function)) => dotted(module) && dotted(function),
        None => name.contains('.') && dotted(name),
    };
    match fine {
        true => Ok(()),
        false if is_identifier(name) => Err(format!(
            "`{name}` names no module; write MODULE.FUNCTION, a built-in function as builtins.{name} \
             (on Python 2: __builtin__.{name})"
        )),
        false => Err(format!(
            "`{name}` names no function; write MODULE.FUNCTION, MODULE.Class.method or MODULE:Class.method"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_are_told_from_others() {
        for good in ["os.getpid", "a.b.C.d", "a:B.c", "a.b:c", "_x.__y__", "módulo.función"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in
            ["", ".", "os.", ".x", "os..x", "os.get pid", "os.getpid()", "a:b:c", "a:", "1a.b", "os/getpid"]
        {
            assert!(check_name(bad).is_err(), "{bad} was accepted");
        }
        assert!(check_name("len").unwrap_err().contains("builtins.len"));
    }
}
