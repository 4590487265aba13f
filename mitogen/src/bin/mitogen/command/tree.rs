//! `mitogen tree`: the contexts on the ways to all targets.

use super::Gave;
use crate::{console::harmless, json, outcome::Answer};
use mitogen::{Call, Context, ContextId, Error};
use std::{collections::BTreeSet, time::Duration};

/// One context.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    id: ContextId,
    parent: ContextId,
    target: String,
    hop: String,
    pid: u32,
    user: String,
    host: String,
    interpreter: String,
    version: String,
}

/// What each context says of itself. An expression, since a function of ours would have to be sent there.
const LOOK: &str = "(lambda i: (i('os').getpid(), i('getpass').getuser(), i('platform').node(), \
                    i('sys').executable, i('platform').python_version()))(__import__)";

/// Looks at every context.
pub(super) async fn run(contexts: &[Context], timeout: Option<Duration>) -> Result<Gave, Error> {
    let mut rows = Vec::with_capacity(contexts.len());
    for context in contexts {
        let (pid, user, host, interpreter, version) = look(context, timeout).await?;
        rows.push(Row {
            id: context.id(),
            parent: context.parent().map_or(ContextId::CONTROLLER, |parent| parent.id()),
            target: context.target(),
            hop: context.hop().to_owned(),
            pid,
            user,
            host,
            interpreter,
            version,
        });
    }
    Ok((Some(Answer::Tree(rows)), None))
}

type Seen = (u32, String, String, String, String);

async fn look(context: &Context, timeout: Option<Duration>) -> Result<Seen, Error> {
    let eval = |module: &str| {
        let call = Call::new(format!("{module}:eval")).arg(LOOK);
        context.start::<Seen>(match timeout {
            Some(after) => call.timeout(after),
            None => call,
        })
    };
    match eval("builtins").await {
        // Python 2 has another name for it.
        Err(Error::Call(_)) => eval("__builtin__").await,
        seen => seen,
    }
}

/// A line for each context, those behind others below them and further in. The rows may be those of several
/// targets: what these share is there once.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    add_children(ContextId::CONTROLLER, rows, 0, &mut seen, &mut lines);
    lines.join("\n")
}

fn add_children(
    parent: ContextId,
    rows: &[Row],
    depth: usize,
    seen: &mut BTreeSet<ContextId>,
    lines: &mut Vec<String>,
) {
    for row in rows.iter().filter(|row| row.parent == parent) {
        if !seen.insert(row.id) {
            continue;
        }
        let indent = "  ".repeat(depth);
        let Row { id, hop, pid, user, host, interpreter, version, .. } = row;
        let line = format!("{indent}{hop}  id {id}  pid {pid}  {user}@{host}  {interpreter} ({version})");
        lines.push(harmless(&line));
        add_children(row.id, rows, depth + 1, seen, lines);
    }
}

/// The rows as a JSON list.
pub(crate) fn write_json(rows: &[Row], out: &mut String) {
    out.push('[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        let Row { id, parent, pid, .. } = row;
        out.push_str(&format!("{{\"id\": {id}, \"parent\": {parent}, \"pid\": {pid}"));
        let texts = [
            ("target", &row.target),
            ("hop", &row.hop),
            ("user", &row.user),
            ("host", &row.host),
            ("interpreter", &row.interpreter),
            ("version", &row.version),
        ];
        for (name, text) in texts {
            out.push_str(&format!(", \"{name}\": "));
            json::write_string(text, out);
        }
        out.push('}');
    }
    out.push(']');
}
