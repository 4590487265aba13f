//! Rows of `mitogen-router/benches/forward.rs`, which prints `{"row":"route, small","messages_per_s":N,"bytes_per_s":N}`:
//! the router alone, on one core, between two links in memory.

use std::path::Path;

use serde_json::Value;

use super::report::{Kind, Row};
use crate::sh::{self, Context, Result, fail};

/// Our name for the row, its name there, and how many messages per second are aimed at.
pub(super) const ROWS: &[(&str, &str, Option<f64>)] = &[
    ("relay/route", "route, small", Some(1.5e6)),
    ("relay/frames-unsigned", "frames, small, unsigned", None),
    ("relay/frames", "frames, small, signed", None),
];

pub(super) fn rows(root: &Path, quick: bool, mut each: impl FnMut(&Row<'_>)) -> Result<()> {
    let mut cmd = sh::cargo(root);
    cmd.args(["bench", "--quiet", "-p", "mitogen-router", "--bench", "forward"]);
    if quick {
        cmd.args(["--", "--quick"]);
    }
    let text = sh::output(&mut cmd)?;
    let mut measured = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        measured.push(serde_json::from_str::<Value>(line).context("a line of the forward bench")?);
    }
    for (scenario, name, target) in ROWS {
        let row = measured.iter().find(|row| row["row"] == *name);
        let Some(rate) = row.and_then(|row| row["messages_per_s"].as_f64()) else {
            fail!("the forward bench prints no row `{name}`");
        };
        let (unit, kind, ours) = ("msg/s", Kind::Rate, &[rate][..]);
        each(&Row { scenario, unit, kind, target: *target, ours, peer: None });
    }
    Ok(())
}
