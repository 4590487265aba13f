//! The scheduler under random streams, windows, delays and losses. `MITOGEN_SIM_SEEDS` says how many
//! seeds are tried (default 500), `MITOGEN_SIM_SEED` tries one.

use mitogen_fileservice::{Bounds, CHUNK, Credit, Ended, FileServer, JobId, Limits, Output, Read, Sizing};
use mitogen_wire::ContextId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A small generator of numbers: the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) * below) >> 31
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

struct Job {
    stream: ContextId,
    receiver: ContextId,
    left: usize,
    sent: usize,
    size: usize,
    /// It cannot be opened, or fails when so much is left.
    fails_at: Option<usize>,
    announced: bool,
    begun: bool,
    ended: Option<Ended>,
    unacknowledged: bool,
}

struct World {
    dice: Dice,
    server: FileServer,
    now: Duration,
    jobs: BTreeMap<JobId, Job>,
    /// Per stream, in order: when an acknowledgement comes, from whom, how much.
    acks: BTreeMap<ContextId, VecDeque<(Duration, ContextId, usize)>>,
    reads: Vec<(JobId, ContextId, Credit)>,
    opening: Vec<JobId>,
    /// Of each stream the transfer that was begun last.
    turns: BTreeMap<ContextId, JobId>,
    /// Receivers that acknowledge nothing any more.
    silent: Vec<ContextId>,
    loss: u64,
}

const STALL: Duration = Duration::from_secs(5);

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xDEAD_BEEF);
        let sizings = [
            Sizing::Fixed(1 << 20),
            Sizing::Fixed(1),
            Sizing::Adaptive(Bounds::default()),
            Sizing::Adaptive(Bounds { initial: 1, min: 1, max: 3 * CHUNK }),
        ];
        let sizing = sizings[dice.roll(4) as usize];
        let limits = Limits { per_context: 8, total: 40, stall: STALL };
        let loss = if dice.chance(40) { dice.roll(10) } else { 0 };
        World {
            server: FileServer::new(limits, sizing),
            dice,
            now: Duration::ZERO,
            jobs: BTreeMap::new(),
            acks: BTreeMap::new(),
            reads: Vec::new(),
            opening: Vec::new(),
            turns: BTreeMap::new(),
            silent: Vec::new(),
            loss,
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_micros(self.dice.roll(20_000));
        match self.dice.roll(12) {
            0 | 1 => self.queue(),
            2..=4 => self.read(),
            5 => self.open(),
            6..=9 => self.ack(),
            10 => self.server.handle_time(self.now),
            _ => self.trouble(),
        }
        self.drain();
    }

    fn queue(&mut self) {
        let stream = ContextId(1 + self.dice.roll(3) as u32);
        let receiver = ContextId(stream.0 * 10 + self.dice.roll(4) as u32);
        let size =
            [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, self.dice.roll(1 << 21) as usize][self.dice.roll(6) as usize];
        let fails_at = self.dice.chance(10).then(|| self.dice.roll(size as u64 + 1) as usize);
        let waiting =
            self.jobs.values().filter(|job| job.ended.is_none() && job.receiver == receiver).count();
        let all = self.jobs.values().filter(|job| job.ended.is_none()).count();
        match self.server.queue(stream, receiver) {
            Ok(id) => {
                assert!(waiting < 8 && all < 40, "too much was taken on");
                let job = Job {
                    stream,
                    receiver,
                    left: size,
                    sent: 0,
                    size,
                    fails_at,
                    announced: false,
                    begun: false,
                    ended: None,
                    unacknowledged: false,
                };
                self.jobs.insert(id, job);
            }
            Err(_) => assert!(waiting >= 8 || all >= 40, "room was left"),
        }
    }

    fn open(&mut self) {
        if !self.opening.is_empty() {
            let at = self.dice.roll(self.opening.len() as u64) as usize;
            let id = self.opening.swap_remove(at);
            let fails = self.jobs[&id].fails_at == Some(0);
            self.server.handle_opened(id, !fails);
        }
    }

    fn read(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let at = self.dice.roll(self.reads.len() as u64) as usize;
        let (id, stream, credit) = self.reads.swap_remove(at);
        let job = self.jobs.get_mut(&id).expect("a known transfer");
        let live = job.ended.is_none();
        let read = if job.fails_at.is_some_and(|at| job.left <= at) {
            Read::Failed
        } else if job.left == 0 {
            Read::End
        } else {
            let most = credit.bytes().min(job.left);
            // A short read is a read.
            let bytes = if self.dice.chance(10) { 1 + self.dice.roll(most as u64) as usize } else { most };
            job.left -= bytes;
            Read::Sent(bytes)
        };
        if let (Read::Sent(bytes), true) = (read, live) {
            job.sent += bytes;
            let receiver = job.receiver;
            let lost = self.silent.contains(&receiver) || self.dice.chance(self.loss);
            let at = self.now + Duration::from_micros(self.dice.roll(100_000));
            let queue = self.acks.entry(stream).or_default();
            let at = queue.back().map_or(at, |last| last.0.max(at));
            if !lost {
                queue.push_back((at, receiver, bytes));
            }
        }
        self.server.handle_read(self.now, stream, id, credit, read);
    }

    fn ack(&mut self) {
        for queue in self.acks.values_mut() {
            while queue.front().is_some_and(|ack| ack.0 <= self.now) {
                let (_, who, bytes) = queue.pop_front().expect("just seen");
                // What was given up meanwhile is an acknowledgement too many.
                let _ = self.server.handle_acked(self.now, who, bytes);
            }
        }
    }

    fn trouble(&mut self) {
        let stream = ContextId(1 + self.dice.roll(3) as u32);
        let receiver = ContextId(stream.0 * 10 + self.dice.roll(4) as u32);
        match self.dice.roll(60) {
            0 => self.server.handle_stream_gone(stream),
            1 => self.server.handle_receiver_gone(receiver),
            2 => self.silent.push(receiver),
            3 => {
                assert!(self.server.handle_acked(self.now, ContextId(99), 5).is_err(), "a stranger was heard")
            }
            4 => assert!(
                self.server.handle_acked(self.now, receiver, usize::MAX).is_err(),
                "too much was heard"
            ),
            5 => self.server.handle_blocked(stream),
            6 => {
                let ids: Vec<JobId> = self.jobs.keys().copied().collect();
                if !ids.is_empty() {
                    self.server.cancel(ids[self.dice.roll(ids.len() as u64) as usize]);
                }
            }
            _ => {}
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Announce { job } => {
                    let job = self.jobs.get_mut(&job).expect("a known transfer");
                    assert!(!job.announced && !job.begun, "the metadata comes first, once");
                    job.announced = true;
                }
                Output::Begin { job: id } => {
                    let job = self.jobs.get_mut(&id).expect("a known transfer");
                    assert!(job.announced && !job.begun && job.ended.is_none());
                    job.begun = true;
                    let stream = job.stream;
                    if let Some(before) = self.turns.insert(stream, id) {
                        assert!(before < id, "{id:?} overtook");
                        assert!(self.jobs[&before].ended.is_some(), "two at a time on one stream");
                    }
                    self.opening.push(id);
                }
                Output::Read { job: id, credit } => {
                    let job = &self.jobs[&id];
                    assert!(job.begun && job.ended.is_none());
                    assert!(credit.bytes() > 0 && credit.bytes() <= CHUNK);
                    assert!(self.reads.iter().all(|(_, stream, _)| *stream != job.stream), "two reads");
                    self.reads.push((id, job.stream, credit));
                }
                Output::End { job: id, how } => {
                    let job = self.jobs.get_mut(&id).expect("a known transfer");
                    assert!(job.ended.is_none() && job.announced, "it ends once");
                    if how == Ended::Sent {
                        assert_eq!(job.sent, job.size, "all of it was sent");
                    }
                    job.ended = Some(how);
                }
                Output::Unacknowledged { job: id } => {
                    let job = self.jobs.get_mut(&id).expect("a known transfer");
                    assert_eq!(job.ended, Some(Ended::Sent));
                    assert!(!std::mem::replace(&mut job.unacknowledged, true), "it is said once");
                }
            }
        }
        for stream in 1..4 {
            if let Some((in_flight, size)) = self.server.window(ContextId(stream)) {
                assert!(size <= Bounds::default().max);
                // An adaptive window may have shrunk under what was on its way.
                assert!(in_flight < Bounds::default().max + CHUNK);
            }
        }
        let live = self.jobs.values().filter(|job| job.ended.is_none()).count();
        assert_eq!(live, self.server.jobs());
    }

    /// The world goes on without new transfers: everything must come to an end.
    fn finish(&mut self) {
        for round in 0.. {
            if self.server.jobs() == 0 && self.reads.is_empty() {
                break;
            }
            assert!(round < 20_000, "{} transfers are stuck", self.server.jobs());
            self.now += Duration::from_millis(10);
            self.open();
            self.drain();
            self.read();
            self.drain();
            self.ack();
            self.drain();
            self.server.handle_time(self.now);
            self.drain();
            if self.reads.is_empty()
                && self.opening.is_empty()
                && self.acks.values().all(VecDeque::is_empty)
                && let Some(deadline) = self.server.deadline()
            {
                self.now = self.now.max(deadline);
            }
        }
        assert!(self.jobs.values().all(|job| job.ended.is_some()));
        self.now += 2 * STALL;
        self.server.handle_time(self.now);
        assert_eq!(self.server.deadline(), None, "something is waited for");
    }
}

#[test]
fn in_every_world() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("MITOGEN_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MITOGEN_SIM_SEEDS").unwrap_or(500),
    };
    for seed in seeds {
        let failed = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            let steps = world.dice.roll(600);
            for _ in 0..steps {
                world.step();
            }
            if world.dice.chance(20) {
                world.server.shut_down();
                world.drain();
                assert_eq!(world.server.jobs(), 0, "shutting down ends all");
                assert!(world.server.queue(ContextId(1), ContextId(10)).is_err());
            }
            world.finish();
        });
        assert!(failed.is_ok(), "in world {seed}: set MITOGEN_SIM_SEED={seed}");
    }
}
