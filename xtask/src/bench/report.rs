//! Medians, spreads and rows, for people and for programs.

use serde_json::json;

/// Which way is better, and so what a ratio means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Time or memory: the ratio ours/peer is to be small.
    Cost,
    /// Work per second: the ratio ours/peer (the speed-up) is to be large.
    Rate,
}

/// One line of the report.
pub(super) struct Row<'a> {
    pub(super) scenario: &'a str,
    pub(super) unit: &'a str,
    pub(super) kind: Kind,
    pub(super) target: Option<f64>,
    pub(super) ours: &'a [f64],
    pub(super) peer: Option<(&'a str, &'a [f64])>,
}

impl Row<'_> {
    fn ratio(&self) -> Option<f64> {
        let (_, theirs) = self.peer?;
        Some(median(self.ours) / median(theirs))
    }

    /// Whether the target is met; without one there is nothing to meet. A target without a peer is absolute.
    fn pass(&self) -> Option<bool> {
        let figure = self.ratio().unwrap_or_else(|| median(self.ours));
        let target = self.target?;
        Some(match self.kind {
            Kind::Cost => figure <= target,
            Kind::Rate => figure >= target,
        })
    }

    fn json(&self) -> String {
        let short = |x: f64| (x * 1000.0).round() / 1000.0;
        let (ours_q1, ours_q3) = quartiles(self.ours);
        let mut row = json!({
            "scenario": self.scenario,
            "ours": short(median(self.ours)),
            "peer": self.peer.map(|(_, theirs)| short(median(theirs))),
            "peer_name": self.peer.map(|(name, _)| name),
            "ratio": self.ratio().map(short),
            "unit": self.unit,
            "target": self.target.map(short),
            "pass": self.pass(),
            "n": self.ours.len(),
            "ours_spread": [short(ours_q1), short(ours_q3)],
        });
        if let Some((_, theirs)) = self.peer {
            let (q1, q3) = quartiles(theirs);
            row["peer_spread"] = json!([short(q1), short(q3)]);
        }
        row.to_string()
    }

    fn text(&self) -> String {
        let side = |samples: &[f64]| {
            let (q1, q3) = quartiles(samples);
            format!("{} [{} .. {}]", figure(median(samples)), figure(q1), figure(q3))
        };
        let peer = self.peer.map_or(String::new(), |(name, theirs)| format!("{name} {}", side(theirs)));
        let ratio = self.ratio().map_or(String::new(), |r| format!("ratio {r:.3}"));
        let verdict = match (self.target, self.pass()) {
            (Some(target), Some(true)) => format!("target {target:.3} met"),
            (Some(target), _) => format!("target {target:.3} MISSED"),
            (None, _) => String::new(),
        };
        let line = format!(
            "{:30} {:>34} {:8} {:44} {ratio:14} {verdict}",
            self.scenario,
            side(self.ours),
            self.unit,
            peer
        );
        line.trim_end().to_string()
    }
}

/// Prints rows as they come and remembers trouble.
pub(super) struct Report {
    json: bool,
    troubles: usize,
    missed: usize,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        if !json {
            println!("median [quartiles]; ours first");
        }
        Report { json, troubles: 0, missed: 0 }
    }

    pub(super) fn row(&mut self, row: &Row<'_>) {
        println!("{}", if self.json { row.json() } else { row.text() });
        self.missed += usize::from(row.pass() == Some(false));
    }

    /// Something that could not be measured.
    pub(super) fn trouble(&mut self, what: &str) {
        eprintln!("error: {what}");
        self.troubles += 1;
    }

    /// True when everything was measured. A missed target is a figure to look at, not a failure: machines differ.
    pub(super) fn finish(self) -> bool {
        eprintln!("{} targets missed, {} measurements failed", self.missed, self.troubles);
        self.troubles == 0
    }
}

/// Three or four significant digits.
fn figure(x: f64) -> String {
    match x {
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

/// The middle sample. The samples must not be empty.
pub(super) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

fn quartiles(samples: &[f64]) -> (f64, f64) {
    (quantile(samples, 0.25), quantile(samples, 0.75))
}

/// Linear between neighbours.
fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_samples() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(quartiles(&[1.0, 2.0, 3.0, 4.0, 5.0]), (2.0, 4.0));
    }

    #[test]
    fn a_row_has_the_agreed_fields() {
        let row = Row {
            scenario: "latency/1hop/pinned",
            unit: "us",
            kind: Kind::Cost,
            target: Some(1.0 / 3.0),
            ours: &[30.0],
            peer: Some(("mitogen", &[100.0])),
        };
        let json: serde_json::Value = serde_json::from_str(&row.json()).expect("a row is JSON");
        for (field, value) in [
            ("scenario", json!("latency/1hop/pinned")),
            ("ours", json!(30.0)),
            ("peer", json!(100.0)),
            ("peer_name", json!("mitogen")),
            ("ratio", json!(0.3)),
            ("unit", json!("us")),
            ("target", json!(0.333)),
            ("pass", json!(true)),
            ("n", json!(1)),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
        let missed = Row { kind: Kind::Rate, ..row };
        assert_eq!(missed.pass(), Some(false));
    }
}
