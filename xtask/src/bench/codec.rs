//! Rows of `mitogen-wire/benches/codec.rs`, which prints `{"name":"unsigned/64B","frames_per_s":N,"bytes_per_s":N}`.

use std::path::Path;

use serde_json::Value;

use super::report::{Kind, Row};
use crate::sh::{self, Context, Result, fail};

/// Name of the row in the bench, its peer there, unit, and target: a ratio to the peer, or GB/s without one.
const ROWS: &[(&str, Option<&str>, Option<f64>)] = &[
    ("unsigned/64B", Some("length-delimited/64B"), Some(0.8)),
    ("signed/64B", Some("length-delimited/64B"), None),
    ("unsigned/128KiB", Some("copy/128KiB"), None),
    ("unsigned/128KiB", Some("length-delimited/128KiB"), None),
    // There and back: two signatures, so half of what one way has.
    ("signed/128KiB", None, None),
    ("signed/128KiB/encode", None, Some(1.0)),
    ("signed/128KiB/decode", None, Some(1.0)),
];

/// One measured row, owned.
pub(super) struct CodecRow {
    scenario: String,
    unit: &'static str,
    target: Option<f64>,
    ours: [f64; 1],
    peer: Option<(String, [f64; 1])>,
}

impl CodecRow {
    fn as_row(&self) -> Row<'_> {
        Row {
            scenario: &self.scenario,
            unit: self.unit,
            kind: Kind::Rate,
            target: self.target,
            ours: &self.ours,
            peer: self.peer.as_ref().map(|(name, value)| (name.as_str(), &value[..])),
        }
    }
}

pub(super) fn rows(root: &Path, quick: bool, mut each: impl FnMut(&Row<'_>)) -> Result<()> {
    let mut cmd = sh::cargo(root);
    cmd.args(["bench", "--quiet", "-p", "mitogen-wire", "--all-features", "--bench", "codec"]);
    if quick {
        cmd.args(["--", "--quick"]);
    }
    let text = sh::output(&mut cmd)?;
    let mut measured = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        measured.push(serde_json::from_str::<Value>(line).context("a line of the codec bench")?);
    }
    for (name, peer, target) in ROWS {
        // Small frames cost per frame, large ones per byte; GB are of 10^9 bytes.
        let (field, unit, scale) = match name.contains("64B") {
            true => ("frames_per_s", "frames/s", 1.0),
            false => ("bytes_per_s", "GB/s", 1e9),
        };
        let figure = |name: &str| -> Result<[f64; 1]> {
            match measured.iter().find(|row| row["name"] == name).and_then(|row| row[field].as_f64()) {
                Some(figure) => Ok([figure / scale]),
                None => fail!("the codec bench prints no {name}"),
            }
        };
        let row = CodecRow {
            scenario: format!("codec/{name}"),
            unit,
            target: *target,
            ours: figure(name)?,
            peer: match peer {
                Some(peer) => Some((peer.split('/').next().unwrap_or_default().to_string(), figure(peer)?)),
                None => None,
            },
        };
        each(&row.as_row());
    }
    Ok(())
}
