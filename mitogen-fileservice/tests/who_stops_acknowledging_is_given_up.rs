//! Receivers that fall silent: what was sent to them is given up, then what is queued for them, and nobody else suffers.

use mitogen_fileservice::{CHUNK, Ended, FileServer, JobId, Limits, Output, PATIENCE, Read, Sizing};
use mitogen_wire::ContextId;
use std::collections::BTreeMap;
use std::time::Duration;

const STALL: Duration = Duration::from_secs(60);
const LINK: ContextId = ContextId(1);
const SILENT: ContextId = ContextId(2);
const OTHER: ContextId = ContextId(3);

/// A server with a window of four chunks, whose files are opened and read at once.
struct Story {
    server: FileServer,
    now: Duration,
    /// How many chunks are left of each.
    files: BTreeMap<JobId, (ContextId, usize)>,
    ended: Vec<(JobId, Ended)>,
    unacknowledged: Vec<JobId>,
    /// Whether [`SILENT`] is.
    silent: bool,
}

impl Story {
    fn new() -> Story {
        let limits = Limits { stall: STALL, ..Limits::default() };
        Story {
            server: FileServer::new(limits, Sizing::Fixed(4 * CHUNK)),
            now: Duration::from_secs(1),
            files: BTreeMap::new(),
            ended: Vec::new(),
            unacknowledged: Vec::new(),
            silent: true,
        }
    }

    fn send(&mut self, receiver: ContextId, chunks: usize) -> JobId {
        let job = self.server.queue(LINK, receiver).unwrap();
        self.files.insert(job, (receiver, chunks));
        self.drain();
        job
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Announce { .. } => {}
                Output::Begin { job } => self.server.handle_opened(job, true),
                Output::Read { job, credit } => {
                    let (receiver, left) = self.files.get_mut(&job).unwrap();
                    let read = if *left > 0 { Read::Sent(CHUNK) } else { Read::End };
                    *left = left.saturating_sub(1);
                    let receiver = *receiver;
                    self.server.handle_read(self.now, LINK, job, credit, read);
                    if read != Read::End && !(receiver == SILENT && self.silent) {
                        self.server.handle_acked(self.now, receiver, CHUNK).unwrap();
                    }
                }
                Output::End { job, how } => self.ended.push((job, how)),
                Output::Unacknowledged { job } => self.unacknowledged.push(job),
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.handle_time(self.now);
        self.drain();
    }
}

#[test]
fn all_of_it_was_sent_and_nobody_says_that_it_came() {
    let mut story = Story::new();
    let job = story.send(SILENT, 2);
    assert_eq!(story.ended, [(job, Ended::Sent)]);
    assert!(story.server.is_owed(job) && !story.server.is_idle());
    story.pass(STALL - Duration::from_secs(1));
    assert!(story.unacknowledged.is_empty());
    story.pass(Duration::from_secs(1));
    assert_eq!(story.unacknowledged, [job]);
    assert!(!story.server.is_owed(job) && story.server.is_idle());
    assert_eq!(story.server.deadline(), None);
}

#[test]
fn who_stays_silent_is_given_up_with_all_that_is_queued_for_it() {
    let mut story = Story::new();
    let jobs: Vec<JobId> = (0..1000).map(|_| story.send(SILENT, 8)).collect();
    story.pass(STALL);
    assert_eq!(story.ended, [(jobs[0], Ended::Stalled)]);
    story.pass(STALL);
    assert_eq!((story.ended.len(), story.server.jobs()), (1000, 0));
    assert!(story.ended.iter().all(|(_, how)| *how == Ended::Stalled));
    // The next one gets its chance.
    story.silent = false;
    let job = story.send(SILENT, 8);
    assert_eq!(story.ended.last(), Some(&(job, Ended::Sent)));
}

#[test]
fn who_speaks_again_loses_only_what_was_under_way() {
    let mut story = Story::new();
    let jobs: Vec<JobId> = (0..4).map(|_| story.send(SILENT, 8)).collect();
    story.silent = false;
    story.pass(STALL);
    let sent = jobs[1..].iter().map(|&job| (job, Ended::Sent));
    assert!(
        story.ended.iter().copied().eq([(jobs[0], Ended::Stalled)].into_iter().chain(sent)),
        "{:?}",
        story.ended
    );
}

#[test]
fn others_on_the_same_link_go_on() {
    let mut story = Story::new();
    // It takes half of the window, and leaves the rest to the others.
    let lost = story.send(SILENT, 2);
    let step = STALL / 2;
    for _ in 0..2 * PATIENCE - 1 {
        let job = story.send(OTHER, 8);
        assert_eq!(story.ended.last(), Some(&(job, Ended::Sent)));
        story.pass(step);
        assert!(story.unacknowledged.is_empty());
    }
    story.pass(step);
    assert_eq!(story.unacknowledged, [lost]);
    // It takes all of it: they wait until it is given up.
    let (first, second) = (story.send(SILENT, 8), story.send(OTHER, 8));
    assert!(story.server.is_live(first) && story.server.is_live(second));
    story.pass(STALL);
    let last: Vec<_> = story.ended.iter().rev().take(2).rev().copied().collect();
    assert_eq!(last, [(first, Ended::Stalled), (second, Ended::Sent)]);
}

#[test]
fn a_link_that_takes_nothing_ends_all_behind_it() {
    let mut story = Story::new();
    let jobs = [story.send(SILENT, 8), story.send(OTHER, 8), story.send(SILENT, 1)];
    story.server.handle_blocked(LINK);
    story.drain();
    assert_eq!(story.ended.len(), jobs.len());
    assert!(story.ended.iter().all(|(_, how)| *how == Ended::Stalled));
    assert_eq!(story.server.jobs(), 0);
}
