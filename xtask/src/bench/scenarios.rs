//! The table of scenarios.

use super::report::Kind;

/// What is measured, in which unit, how often, and what is aimed at.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// What the subjects are told.
    pub(super) subject: &'static str,
    count: u32,
    /// 0: only measured when it is asked for by its whole name.
    quick_count: u32,
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
    /// On one core, before all of them.
    pub(super) pinned: bool,
    /// Against upstream Mitogen.
    pub(super) target: Option<f64>,
    /// Against the others too.
    pub(super) among_all: bool,
    /// For our own figure.
    pub(super) absolute: Option<f64>,
}

impl Scenario {
    /// How often, in a quick run and in others.
    pub(super) fn count_of(&self, quick: bool) -> u32 {
        if quick && self.quick_count > 0 { self.quick_count } else { self.count }
    }

    /// Whether it goes over ssh.
    pub(super) fn needs_ssh(&self) -> bool {
        self.subject.starts_with("files-ssh")
    }

    /// The name in a row: one that ends with the count says what was really counted.
    pub(super) fn title(&self, count: u32) -> String {
        match self.name.strip_suffix(&self.count.to_string()) {
            Some(stem) => format!("{stem}{count}"),
            None => self.name.to_owned(),
        }
    }

    /// Whether the user's words mean it: beginnings of names, or nothing for all.
    pub(super) fn is_among(&self, names: &[String]) -> bool {
        match self.quick_count {
            0 => names.iter().any(|name| name == self.name),
            _ => names.is_empty() || names.iter().any(|name| self.name.starts_with(name.as_str())),
        }
    }

    const fn count(mut self, count: u32, quick: u32) -> Scenario {
        self.count = count;
        self.quick_count = quick;
        self
    }

    const fn pinned(mut self) -> Scenario {
        self.pinned = true;
        self
    }

    const fn against_upstream(mut self, ratio: f64) -> Scenario {
        self.target = Some(ratio);
        self
    }

    const fn against_all(mut self, ratio: f64) -> Scenario {
        self.among_all = true;
        self.against_upstream(ratio)
    }

    const fn at(mut self, figure: f64) -> Scenario {
        self.absolute = Some(figure);
        self
    }
}

/// Less is better.
const fn cost(name: &'static str, subject: &'static str, unit: &'static str) -> Scenario {
    Scenario {
        name,
        subject,
        count: 1,
        quick_count: 1,
        unit,
        kind: Kind::Cost,
        pinned: false,
        target: None,
        among_all: false,
        absolute: None,
    }
}

/// More is better.
const fn rate(name: &'static str, subject: &'static str, unit: &'static str) -> Scenario {
    Scenario { kind: Kind::Rate, ..cost(name, subject, unit) }
}

/// All of them, in the order in which they are measured.
pub(super) const SCENARIOS: &[Scenario] = &[
    cost("latency/1hop", "latency", "us").count(3000, 100).pinned().against_upstream(1.0 / 3.0),
    cost("latency/1hop-unsigned", "latency-unsigned", "us").count(3000, 100).pinned(),
    rate("pipelined/1hop", "pipelined", "calls/s").count(10_000, 500).pinned().against_upstream(3.0),
    cost("connect/1", "connect", "ms").count(20, 2).pinned().against_upstream(0.5),
    cost("connect/50", "connect-many", "ms").count(50, 4),
    cost("connect/200", "connect-many", "ms").count(200, 8),
    cost("hops/2", "hops-2", "us").count(2000, 50).pinned().against_upstream(0.5),
    cost("hops/4", "hops-4", "us").count(2000, 50).pinned().against_upstream(0.5),
    rate("scatter/50", "scatter", "calls/s").count(50, 4).against_upstream(4.0),
    rate("relay/128KiB", "relay-128KiB", "MB/cpu-s").count(8000, 400).at(700.0),
    rate("relay/128KiB-unsigned", "relay-128KiB-unsigned", "MB/cpu-s").count(8000, 400).at(1500.0),
    cost("many/200", "many", "ms").count(200, 8).against_upstream(0.5),
    // The memory of 2,000 Pythons: only where it is asked for by its name.
    cost("many/2000", "many-idle", "KiB each").count(2000, 0).at(64.0),
    cost("memory/rss", "rss", "KiB").count(3, 1).against_upstream(0.65),
    cost("memory/pss", "pss", "KiB").count(3, 1),
    cost("shutdown/1", "shutdown", "ms").count(1, 1),
    cost("shutdown/50", "shutdown", "ms").count(50, 4),
    cost("shutdown/200", "shutdown", "ms").count(200, 8),
    rate("files/1hop", "files-1", "MB/s").count(512, 16).against_upstream(1.3),
    rate("files/1hop-unsigned", "files-1-unsigned", "MB/s").count(512, 16).against_upstream(1.8),
    rate("files/2hops", "files-2", "MB/s").count(256, 8).against_upstream(1.5),
    rate("files/2hops-unsigned", "files-2-unsigned", "MB/s").count(256, 8).against_upstream(1.5),
    rate("files/4hops", "files-4", "MB/s").count(256, 8).against_upstream(1.5),
    rate("files/4hops-unsigned", "files-4-unsigned", "MB/s").count(256, 8).against_upstream(1.5),
    rate("files/get", "files-get", "MB/s").count(512, 16),
    rate("files/4KiB", "files-small", "files/s").count(10_000, 200).against_upstream(5.0),
    rate("files/ssh", "files-ssh", "MB/s").count(256, 8).against_all(0.9),
    rate("files/ssh-4KiB", "files-ssh-small", "files/s").count(1000, 50).against_all(20.0),
    rate("files/delay-100ms", "files-delay", "MB/s").count(64, 4),
    rate("files/delay-100ms-fixed-window", "files-delay-fixed", "MB/s").count(16, 2),
    cost("files/call-meanwhile", "files-call", "x idle").count(512, 64).at(3.0),
    cost("files/second-behind-first", "files-two", "x alone").count(128, 16).at(1.1),
    cost("files/memory", "files-memory", "KiB").count(256, 32).at(16_384.0),
    rate("stream/128KiB", "stream", "MB/s").count(1024, 16).against_all(1.3),
    rate("stream/128KiB-unsigned", "stream-unsigned", "MB/s").count(1024, 16).against_all(1.3),
    cost("stream/memory", "stream-memory", "KiB").count(256, 16).at(16_384.0),
];
