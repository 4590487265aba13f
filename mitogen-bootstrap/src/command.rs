//! The one command that runs on the target.
//!
//! Its script is constant, so that a sudoers file can name it; whatever differs from child to child
//! follows over standard input. It is also made of characters that mean the same between single
//! quotes in every shell that people log in with: no single quote, backslash, `!`, `#` or newline.

/// What a Python program must do to read its first stage: one byte at a time up to a NUL, so that
/// not a byte of what follows is swallowed.
///
/// Waiting in `select` lets it live with a non-blocking standard input; at end of file it
/// ends at once and without a word (with [`NO_INPUT`]), for standard error may be a full pipe that nobody reads.
/// There is no quote in it.
///
/// The first entry of `sys.path` is the working directory, where anybody may have put a `select.py`:
/// it goes first. From 3.11 on `PYTHONSAFEPATH` keeps it out, which must happen earlier: 3.13 imports
/// `linecache` before it runs what `-c` gives it. (Nothing but `-I` and `-P`, which older ones do not
/// know, would do the same, and `-E` would hide the variable.)
macro_rules! read_stage {
    () => {
        "import sys;sys.path[0]or sys.path.pop(0);import os,select;exec(str().join(iter(lambda:select.select([0],[],[])and chr(ord(os.read(0,1)or os._exit(61))),chr(0))))"
    };
}

/// The status by which the reader of the first stage says that its input had ended: ENODATA.
pub(crate) const NO_INPUT: i32 = 61;

/// Tries the usual names; the path of the one that it found precedes `EC0` as a line of its own.
const DISCOVER: &str = concat!(
    "export PYTHONSAFEPATH=1;for p in python3 python python2 /usr/libexec/platform-python;",
    "do command -v $p&&echo EC0&&exec $p -Sc \"",
    read_stage!(),
    "\";done;echo EC9"
);

/// Runs the interpreter that the script's own arguments name.
const NAMED: &str =
    concat!("export PYTHONSAFEPATH=1;echo EC0&&exec \"$0\" \"$@\" -Sc \"", read_stage!(), "\"");

/// Which Python a child is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interpreter {
    /// The first of `python3`, `python`, `python2` and `/usr/libexec/platform-python` that the
    /// target has. If it has none the boot command prints `EC9` and ends.
    #[default]
    Discover,
    /// This command and its leading arguments, for example `["python2.7"]` or
    /// `["/usr/bin/env", "-u", "PYTHONPATH", "python3"]`. An empty list means `Discover`.
    Named(Vec<String>),
}

/// The command that starts a context, as an argument list: `sh -c SCRIPT`, and behind it the words
/// of a named interpreter, if one is named.
///
/// The script depends on nothing but whether an interpreter is named, and can stand between single
/// quotes in any shell. The words of a named interpreter are the user's: a transport that hands the
/// command to a remote shell must quote them.
///
/// The interpreter that it starts writes to standard output, which carries, after any noise of a
/// login, the line `EC0` (an interpreter was found; it now reads a [`Preamble`](crate::Preamble)) or
/// `EC9` (none was found).
pub fn boot_command(interpreter: &Interpreter) -> Vec<String> {
    let (script, words) = match interpreter {
        Interpreter::Named(words) if !words.is_empty() => (NAMED, words.as_slice()),
        _ => (DISCOVER, &[] as &[String]),
    };
    ["sh", "-c", script].into_iter().map(str::to_owned).chain(words.iter().cloned()).collect()
}
