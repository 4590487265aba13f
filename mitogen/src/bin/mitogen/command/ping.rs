//! `mitogen ping [-c N]`

use super::Gave;
use crate::outcome::{Answer, Failure, Kind};
use mitogen::{Context, Error};
use std::time::Duration;

/// How fast a target answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundTrips {
    count: usize,
    min: Duration,
    median: Duration,
    p99: Duration,
}

impl RoundTrips {
    /// Of these round trips; `None` of none.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let min = *times.first()?;
        // The nearest rank: the smallest time that is not exceeded by so many of a hundred.
        let rank = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self { count: times.len(), min, median: rank(50), p99: rank(99) })
    }

    fn rows(&self) -> [(&'static str, f64); 3] {
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        [("min", micros(self.min)), ("median", micros(self.median)), ("p99", micros(self.p99))]
    }

    pub(crate) fn write_json(&self, out: &mut String) {
        out.push_str(&format!("{{\"count\": {}", self.count));
        for (name, micros) in self.rows() {
            out.push_str(&format!(", \"{name}_us\": {micros:.1}"));
        }
        out.push('}');
    }

    pub(crate) fn text(&self) -> String {
        let rows: Vec<String> =
            self.rows().iter().map(|(name, micros)| format!("{name} {micros:.1} us")).collect();
        format!("{} round trips: {}", self.count, rows.join(", "))
    }
}

/// Measures one round trip after the other.
pub(super) async fn run(context: &Context, count: u32, timeout: Option<Duration>) -> Result<Gave, Error> {
    let mut times = Vec::with_capacity(count.min(1 << 16) as usize);
    for _ in 0..count {
        let ping = context.ping();
        let time = match timeout {
            None => ping.await?,
            Some(after) => match tokio::time::timeout(after, ping).await {
                Ok(time) => time?,
                Err(_) => {
                    let message = format!("no answer within {after:?}, after {} round trips", times.len());
                    return Ok((None, Some(Failure::new(Kind::Timeout, message))));
                }
            },
        };
        times.push(time);
    }
    Ok((RoundTrips::of(times).map(Answer::RoundTrips), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tail_are_found() {
        let micros =
            |range: std::ops::RangeInclusive<u64>| range.rev().map(Duration::from_micros).collect::<Vec<_>>();
        let of = |times| RoundTrips::of(times).unwrap();
        let hundred = of(micros(1..=100));
        assert_eq!(hundred.rows(), [("min", 1.0), ("median", 50.0), ("p99", 99.0)]);
        assert_eq!(of(micros(7..=7)).rows(), [("min", 7.0), ("median", 7.0), ("p99", 7.0)]);
        assert_eq!(of(micros(1..=3)).rows(), [("min", 1.0), ("median", 2.0), ("p99", 3.0)]);
        assert_eq!(RoundTrips::of(vec![]), None);
        let mut json = String::new();
        hundred.write_json(&mut json);
        assert_eq!(json, r#"{"count": 100, "min_us": 1.0, "median_us": 50.0, "p99_us": 99.0}"#);
    }
}
