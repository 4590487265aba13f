//! How many bytes may be on their way at once.
//!
//! The adaptive window aims at twice the link's bandwidth-delay product: enough to fill the pipe,
//! and a queue that is no longer than the pipe. What it knows are the acknowledgements: the shortest
//! time between sending and hearing of it, and the highest rate at which bytes arrived.
//!
//! ```text
//!   rate = delivered while a chunk was on its way / that time        (highest of the last rounds)
//!   size → 2 · rate · shortest time,  at most doubled and at most an eighth less per round trip
//! ```
//!
//! As long as the window is what limits the rate, rate · time is the window itself: it doubles.
//! Every [`PROBE_EVERY`] all that is on its way is waited for, so that the queue drains and the
//! shortest time is measured anew.

use crate::CHUNK;
use std::collections::VecDeque;
use std::time::Duration;

/// How many rounds a measured rate counts for.
const ROUNDS: usize = 10;
/// How often the shortest time is measured anew.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// The limits of an adaptive window, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// It starts with this.
    pub initial: usize,
    /// It never shrinks below this.
    pub min: usize,
    /// It never grows beyond this.
    pub max: usize,
}

impl Default for Bounds {
    /// 1 MiB at first, between two chunks and 8 MiB.
    fn default() -> Bounds {
        Bounds { initial: crate::WINDOW, min: 2 * (CHUNK + 26), max: 8 << 20 }
    }
}

/// How a stream's window is sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// It keeps this size, in bytes.
    Fixed(usize),
    /// It follows the link, within bounds.
    Adaptive(Bounds),
}

impl Default for Sizing {
    fn default() -> Sizing {
        Sizing::Adaptive(Bounds::default())
    }
}

/// The permission to send up to this many bytes. It is used up by [`Window::handle_sent`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "without it nothing may be sent"]
pub struct Credit(usize);

impl Credit {
    /// How many bytes may be sent; at least 1.
    pub fn bytes(&self) -> usize {
        self.0
    }
}

/// The bytes on their way over one stream.
#[derive(Debug)]
pub struct Window {
    size: usize,
    /// Invariant: `in_flight < size_when_granted + CHUNK`.
    in_flight: usize,
    /// Whether a credit is out.
    granted: bool,
    /// `None`: the size is fixed.
    tuner: Option<Tuner>,
}

impl Window {
    /// A window of this kind.
    pub fn new(sizing: Sizing) -> Window {
        match sizing {
            Sizing::Fixed(bytes) => Window::fixed(bytes),
            Sizing::Adaptive(bounds) => Window::adaptive(bounds),
        }
    }

    /// A window that keeps its size.
    pub fn fixed(bytes: usize) -> Window {
        Window { size: bytes.max(1), in_flight: 0, granted: false, tuner: None }
    }

    /// A window that follows the link.
    pub fn adaptive(bounds: Bounds) -> Window {
        let min = bounds.min.max(1);
        let bounds = Bounds { min, max: bounds.max.max(min), ..bounds };
        let size = bounds.initial.clamp(bounds.min, bounds.max);
        Window { size, in_flight: 0, granted: false, tuner: Some(Tuner::new(bounds)) }
    }

    /// How many bytes may be on their way, one chunk less a byte over it excepted.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many bytes are on their way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The permission to send one chunk, while less than the window is on its way; one at a time.
    pub fn grant(&mut self) -> Option<Credit> {
        let limit = match &self.tuner {
            Some(tuner) if tuner.probing => 1,
            _ => self.size,
        };
        if self.granted || self.in_flight >= limit {
            return None;
        }
        self.granted = true;
        Some(Credit(CHUNK))
    }

    /// So many bytes were sent with this credit: 0 gives it back.
    ///
    /// # Panics
    /// When it is more than the credit allows.
    pub fn handle_sent(&mut self, now: Duration, credit: Credit, bytes: usize) {
        assert!(bytes <= credit.0, "{bytes} bytes were sent on a credit of {}", credit.0);
        self.granted = false;
        if bytes == 0 {
            return;
        }
        if let Some(tuner) = &mut self.tuner {
            let idle = self.in_flight == 0;
            let full = self.in_flight + bytes + CHUNK > self.size;
            tuner.handle_sent(now, bytes, idle, full);
        }
        self.in_flight += bytes;
    }

    /// So many bytes have arrived. Gives how many of them were on their way.
    pub fn handle_acked(&mut self, now: Duration, bytes: usize) -> usize {
        let accepted = bytes.min(self.in_flight);
        self.in_flight -= accepted;
        if let Some(tuner) = &mut self.tuner {
            self.size = tuner.handle_acked(now, accepted, self.size);
        }
        accepted
    }

    /// So many bytes will never be acknowledged: nothing is learnt from them.
    pub fn forgive(&mut self, bytes: usize) {
        self.in_flight -= bytes.min(self.in_flight);
        if let Some(tuner) = &mut self.tuner {
            // Which of the flights they were is not known: no more measurements of these.
            tuner.flights.clear();
            tuner.delivered = tuner.sent - self.in_flight as u64;
        }
    }
}

/// What is learnt from acknowledgements.
#[derive(Debug)]
struct Tuner {
    bounds: Bounds,
    flights: VecDeque<Flight>,
    /// Bytes ever sent, and ever acknowledged.
    sent: u64,
    delivered: u64,
    shortest: Option<Duration>,
    /// Bytes per second, of the last rounds.
    rates: [f64; ROUNDS],
    /// The round ends when this much was delivered.
    round_end: u64,
    /// Nothing more is sent until everything has arrived.
    probing: bool,
    /// When nothing was on its way.
    probed: Duration,
}

#[derive(Debug)]
struct Flight {
    /// What was ever sent, with it.
    end: u64,
    at: Duration,
    /// What was delivered when it was sent.
    delivered: u64,
    /// Whether the window was what kept more from being sent.
    full: bool,
}

impl Tuner {
    fn new(bounds: Bounds) -> Tuner {
        Tuner {
            bounds,
            flights: VecDeque::new(),
            sent: 0,
            delivered: 0,
            shortest: None,
            rates: [0.0; ROUNDS],
            round_end: 0,
            probing: false,
            probed: Duration::ZERO,
        }
    }

    fn handle_sent(&mut self, now: Duration, bytes: usize, idle: bool, full: bool) {
        if idle {
            // Nothing stands in a queue: the next time is an honest one.
            self.probed = now;
            if std::mem::take(&mut self.probing) {
                self.shortest = None;
            }
        }
        self.sent += bytes as u64;
        self.flights.push_back(Flight { end: self.sent, at: now, delivered: self.delivered, full });
    }

    /// Gives the new size.
    fn handle_acked(&mut self, now: Duration, bytes: usize, size: usize) -> usize {
        self.delivered += bytes as u64;
        while let Some(flight) = self.flights.front()
            && flight.end <= self.delivered
        {
            let time = now.saturating_sub(flight.at).max(Duration::from_micros(1));
            let rate = (self.delivered - flight.delivered) as f64 / time.as_secs_f64();
            // A sender that had nothing to send says nothing about how slow the link is.
            if flight.full || rate > self.rate() {
                self.rates[0] = self.rates[0].max(rate);
            }
            self.shortest = Some(self.shortest.map_or(time, |shortest| shortest.min(time)));
            self.flights.pop_front();
        }
        if self.delivered < self.round_end {
            return size;
        }
        self.round_end = self.sent;
        let Some(shortest) = self.shortest else { return size };
        if now.saturating_sub(self.probed) > PROBE_EVERY {
            self.probing = true;
        }
        let aim = 2.0 * self.rate() * shortest.as_secs_f64();
        self.rates.rotate_right(1);
        self.rates[0] = 0.0;
        // Saturates where it must.
        let aim = (aim as usize).clamp(size - size / 8, size.saturating_mul(2));
        aim.clamp(self.bounds.min, self.bounds.max)
    }

    fn rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends through a link of this rate (bytes per second) and delay for so long; gives the window's
    /// size at the end, and how many bytes per second got through.
    fn run(window: &mut Window, rate: f64, delay: Duration, seconds: u64) -> (usize, f64) {
        let (mut now, end) = (Duration::ZERO, Duration::from_secs(seconds));
        let mut link_free = Duration::ZERO;
        let mut acks: VecDeque<(Duration, usize)> = VecDeque::new();
        let mut total = 0;
        while now < end {
            while let Some(credit) = window.grant() {
                let bytes = credit.bytes();
                window.handle_sent(now, credit, bytes);
                link_free = link_free.max(now) + Duration::from_secs_f64(bytes as f64 / rate);
                acks.push_back((link_free + delay, bytes));
            }
            let (at, bytes) = acks.pop_front().expect("something is on its way");
            now = at;
            total += window.handle_acked(now, bytes);
        }
        (window.size(), total as f64 / end.as_secs_f64())
    }

    #[test]
    fn a_long_fat_pipe_is_filled() {
        let delay = Duration::from_millis(100);
        let fixed = run(&mut Window::fixed(crate::WINDOW), 60e6, delay, 20).1;
        let (size, adaptive) = run(&mut Window::adaptive(Bounds::default()), 60e6, delay, 20);
        assert_eq!(size, Bounds::default().max);
        assert!(adaptive > 5.0 * fixed, "{adaptive} against {fixed}");
    }

    #[test]
    fn no_queue_builds_before_a_slow_link() {
        let (size, rate) = run(&mut Window::adaptive(Bounds::default()), 1e6, Duration::from_millis(10), 20);
        assert!(size <= 3 * CHUNK, "{size}");
        assert!(rate > 0.95e6, "{rate}");
    }

    #[test]
    fn a_window_of_the_right_size_stays() {
        let bounds = Bounds { max: 64 << 20, ..Bounds::default() };
        let (size, rate) = run(&mut Window::adaptive(bounds), 50e6, Duration::from_millis(40), 60);
        assert!((3 << 20..6 << 20).contains(&size), "{size}");
        assert!(rate > 47e6, "{rate}");
    }

    #[test]
    fn a_fixed_window_keeps_its_size() {
        assert_eq!(run(&mut Window::fixed(4096), 1e9, Duration::from_millis(1), 1).0, 4096);
    }
}
