//! `mitogen run SCRIPT [FUNC] [ARG]... [--kw NAME=VALUE]...`: a call of a function of a program in one file.

use crate::cli::{CallArgs, RunArgs};
use std::path::PathBuf;

/// The script, and the call that the arguments ask for.
///
/// # Errors
/// The script cannot be read: why.
pub(crate) fn call(args: RunArgs) -> Result<(PathBuf, CallArgs), String> {
    let RunArgs { script, func, args, kw, str, common } = args;
    match std::fs::metadata(&script) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(format!("{} is no file", script.display())),
        Err(error) => return Err(format!("{}: {error}", script.display())),
    }
    let func = format!("__main__:{}", func.as_deref().unwrap_or("main"));
    Ok((script, CallArgs { func, args, kw, str, common }))
}
