//! `size`: the bytes that a new context costs, as the product itself would send them, against the budgets.
//!
//! The figures come from an example of the transport crate, over its public API; this crate depends on no other.

use std::path::Path;

use serde_json::Value;

use crate::sh::{self, Context, Result};

/// The longest command line, `ssh foo ...` joined by blanks, in bytes.
const COMMAND: u64 = 400;
/// The most that is written to stdin until the context is ready, in bytes.
const PREAMBLE: u64 = 8192;

/// The options of `cargo xtask size`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs `cargo xtask size`.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let sizes = measure(&sh::root()?)?;
    if args.json {
        println!("{sizes}");
    } else {
        print_table(&sizes);
    }
    Ok(within(&sizes))
}

/// Measures, prints a table, and says whether all is within the budget.
pub(crate) fn check(root: &Path) -> Result<bool> {
    let sizes = measure(root)?;
    print_table(&sizes);
    Ok(within(&sizes))
}

/// `{"command_bytes":N,"preamble_bytes":N,"modules":{...}}`
fn measure(root: &Path) -> Result<Value> {
    let mut cmd = sh::cargo(root);
    cmd.args(["run", "--quiet", "-p", "mitogen-transport", "--example", "sizes"]);
    serde_json::from_str(sh::output(&mut cmd)?.trim()).context("the output of the example `sizes`")
}

fn within(sizes: &Value) -> bool {
    let at_most = |name: &str, most: u64| sizes[name].as_u64().is_some_and(|n| n > 0 && n <= most);
    at_most("command_bytes", COMMAND) && at_most("preamble_bytes", PREAMBLE)
}

fn print_table(sizes: &Value) {
    println!("{:28} {:>6}  budget {COMMAND}", "command line", sizes["command_bytes"]);
    println!("{:28} {:>6}  budget {PREAMBLE}", "preamble", sizes["preamble_bytes"]);
    for (name, bytes) in sizes["modules"].as_object().into_iter().flatten() {
        println!("  {name:26} {bytes:>6}  (compressed alone)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_over_the_budget_fails() {
        let sizes = |command: u64, preamble: u64| serde_json::json!({"command_bytes": command, "preamble_bytes": preamble});
        assert!(within(&sizes(COMMAND, PREAMBLE)));
        assert!(!within(&sizes(COMMAND + 1, PREAMBLE)));
        assert!(!within(&sizes(COMMAND, PREAMBLE + 1)));
        assert!(!within(&sizes(0, 0)), "nothing measured is not a pass");
    }
}
