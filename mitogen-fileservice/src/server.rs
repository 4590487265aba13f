//! Whose turn it is, and how much of it may be sent.
//!
//! ```text
//!   queued ──its turn──> opening ──handle_opened──> served <──Read / handle_read──┐
//!      │                    │                          └────────────────┬─────────┘
//!      └────────────────────┴── cancelled, lost, stalled, source's end ─┴──> End, the next one's turn
//! ```

use crate::terms::{BadAck, Busy, Ended, JobId, Limits, Output, Read};
use crate::window::{Credit, Sizing, Window};
use mitogen_wire::ContextId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many times as long a receiver may be silent while others behind the same link are heard.
pub const PATIENCE: u32 = 3;

/// The scheduler of all transfers from one context.
#[derive(Debug)]
pub struct FileServer {
    limits: Limits,
    sizing: Sizing,
    streams: BTreeMap<ContextId, Stream>,
    jobs: BTreeMap<JobId, Job>,
    peers: BTreeMap<ContextId, Peer>,
    next: u64,
    outputs: VecDeque<Output>,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    stream: ContextId,
    receiver: ContextId,
}

/// One physical stream, named by the neighbour at its far end.
#[derive(Debug)]
struct Stream {
    window: Window,
    /// The first is the one that is served. Invariant: each is in `jobs`.
    queue: VecDeque<JobId>,
    head: Head,
    /// When something was last acknowledged, or sent where nothing was on its way.
    heard: Duration,
    /// It was given up on, and nothing was acknowledged since.
    silent: bool,
}

/// What the stream does for the first of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Nothing yet.
    Fresh,
    Opening,
    /// It can be read as soon as the window allows.
    Open,
    /// A credit is out.
    Reading,
    /// A credit is out for a transfer that is over.
    Orphaned,
}

/// A receiver: what is on its way to it, and how many transfers it has.
#[derive(Debug)]
struct Peer {
    stream: ContextId,
    /// Which transfers' bytes those are, in their order. Invariant: they add up to `owed`.
    flights: VecDeque<(JobId, usize)>,
    owed: usize,
    /// What may still be acknowledged of transfers that were given up.
    excused: usize,
    jobs: usize,
    /// When it last acknowledged something, or was sent something while nothing was on its way to it.
    heard: Duration,
    /// It was given up on, and has acknowledged nothing since.
    silent: bool,
}

impl Peer {
    fn new(stream: ContextId) -> Peer {
        Peer {
            stream,
            flights: VecDeque::new(),
            owed: 0,
            excused: 0,
            jobs: 0,
            heard: Duration::ZERO,
            silent: false,
        }
    }

    fn acked(&mut self, mut bytes: usize) {
        self.owed -= bytes;
        while let Some((_, first)) = self.flights.front_mut() {
            if *first > bytes {
                *first -= bytes;
                return;
            }
            bytes -= *first;
            self.flights.pop_front();
        }
    }

    /// Nothing of this transfer is waited for any more. Gives how much was.
    fn excuse(&mut self, job: JobId) -> usize {
        let of_job = |flight: &&(JobId, usize)| flight.0 == job;
        let bytes = self.flights.iter().filter(of_job).map(|flight| flight.1).sum();
        self.flights.retain(|flight| flight.0 != job);
        self.owed -= bytes;
        self.excused += bytes;
        bytes
    }
}

impl FileServer {
    /// A server whose streams begin with such windows.
    pub fn new(limits: Limits, sizing: Sizing) -> FileServer {
        FileServer {
            limits,
            sizing,
            streams: BTreeMap::new(),
            jobs: BTreeMap::new(),
            peers: BTreeMap::new(),
            next: 0,
            outputs: VecDeque::new(),
            closed: false,
        }
    }

    // ---- what our user asks ---------------------------------------------------------------

    /// Takes on a transfer to `receiver`, whom the neighbour `stream` leads to.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn queue(&mut self, stream: ContextId, receiver: ContextId) -> Result<JobId, Busy> {
        if self.closed {
            return Err(Busy::ShutDown);
        }
        let queued = self.peers.get(&receiver).map_or(0, |peer| peer.jobs);
        if queued >= self.limits.per_context || self.jobs.len() >= self.limits.total {
            return Err(Busy::Full { queued });
        }
        let job = JobId(self.next);
        self.next += 1;
        self.jobs.insert(job, Job { stream, receiver });
        self.peers.entry(receiver).or_insert_with(|| Peer::new(stream)).jobs += 1;
        let sizing = self.sizing;
        self.streams
            .entry(stream)
            .or_insert_with(|| Stream {
                window: Window::new(sizing),
                queue: VecDeque::new(),
                head: Head::Fresh,
                heard: Duration::ZERO,
                silent: false,
            })
            .queue
            .push_back(job);
        self.outputs.push_back(Output::Announce { job });
        self.serve(stream);
        Ok(job)
    }

    /// Nobody wants this transfer any more, and what was sent of it need not be acknowledged. It may
    /// have ended already.
    pub fn cancel(&mut self, job: JobId) {
        self.end(job, Ended::Cancelled);
        if let Some(stream) = self.excuse(job) {
            self.serve(stream);
        }
    }

    /// Ends every transfer; no new one is taken on.
    pub fn shut_down(&mut self) {
        self.closed = true;
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.end(job, Ended::ShutDown);
        }
    }

    // ---- what the world tells -------------------------------------------------------------

    /// The source of a transfer is open, or cannot be opened.
    pub fn handle_opened(&mut self, job: JobId, opened: bool) {
        let Some(stream) = self.stream_of(job, Head::Opening) else { return };
        if opened {
            stream.head = Head::Open;
            let name = self.jobs[&job].stream;
            self.serve(name);
        } else {
            self.end(job, Ended::Source);
        }
    }

    /// What came of a [`Output::Read`]. The credit belongs to `stream`, the job's.
    pub fn handle_read(&mut self, now: Duration, stream: ContextId, job: JobId, credit: Credit, read: Read) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        let bytes = match read {
            Read::Sent(bytes) => bytes,
            Read::End | Read::Failed => 0,
        };
        let live = state.queue.front() == Some(&job) && state.head == Head::Reading;
        if state.window.in_flight() == 0 {
            state.heard = now;
        }
        // What was sent for a transfer that is over nobody acknowledges.
        state.window.handle_sent(now, credit, if live { bytes } else { 0 });
        if !live {
            state.head = Head::Fresh;
            self.serve(stream);
            return;
        }
        state.head = Head::Open;
        match read {
            Read::Sent(_) => {
                let receiver = self.jobs[&job].receiver;
                if let Some(peer) = self.peers.get_mut(&receiver) {
                    if peer.owed == 0 {
                        peer.heard = now;
                    }
                    peer.owed += bytes;
                    match peer.flights.back_mut() {
                        Some((last, more)) if *last == job => *more += bytes,
                        _ => peer.flights.push_back((job, bytes)),
                    }
                }
                self.serve(stream);
            }
            Read::End => self.end(job, Ended::Sent),
            Read::Failed => self.end(job, Ended::Source),
        }
    }

    /// A receiver says that so many bytes have arrived.
    ///
    /// # Errors
    /// [`BadAck`] when that many were not on their way to it. Its transfers are ended then; a
    /// stranger's word changes nothing.
    pub fn handle_acked(&mut self, now: Duration, who: ContextId, bytes: usize) -> Result<(), BadAck> {
        let Some(peer) = self.peers.get_mut(&who) else { return Err(BadAck { who, bytes, owed: 0 }) };
        let (stream, owed) = (peer.stream, peer.owed);
        let accepted = bytes.min(owed);
        peer.acked(accepted);
        let excused = peer.excused.min(bytes - accepted);
        peer.excused -= excused;
        let too_much = bytes > accepted + excused;
        let lives = accepted + excused > 0;
        if lives {
            peer.heard = now;
            peer.silent = false;
        }
        self.forget_peer(who);
        if let Some(state) = self.streams.get_mut(&stream) {
            if lives {
                state.heard = now;
                state.silent = false;
            }
            state.window.handle_acked(now, accepted);
        }
        if too_much {
            self.end_all(|job| job.receiver == who, Ended::OverAcknowledged);
        }
        self.serve(stream);
        if too_much { Err(BadAck { who, bytes, owed }) } else { Ok(()) }
    }

    /// A receiver is gone: what was on its way to it will not be acknowledged.
    pub fn handle_receiver_gone(&mut self, who: ContextId) {
        self.end_all(|job| job.receiver == who, Ended::Gone);
        if let Some(Peer { stream, owed, .. }) = self.peers.remove(&who) {
            if let Some(state) = self.streams.get_mut(&stream) {
                state.window.forgive(owed);
            }
            self.serve(stream);
        }
    }

    /// A stream is gone, and with it all receivers behind it.
    pub fn handle_stream_gone(&mut self, stream: ContextId) {
        self.end_all(|job| job.stream == stream, Ended::Gone);
        self.peers.retain(|_, peer| peer.stream != stream);
        // A credit that is out must come home first: the same name may come up again.
        if let Some(state) = self.streams.get_mut(&stream) {
            state.window.forgive(usize::MAX);
        }
        self.serve(stream);
    }

    /// Time has passed. Receivers that have acknowledged nothing for too long are given up: what was sent to them, and
    /// the transfer that is under way. Who then remains silent is given up with all that is queued for it.
    ///
    /// Where others behind the same link are heard meanwhile, the bytes may stand in a queue behind theirs: then it
    /// takes [`PATIENCE`] times as long.
    pub fn handle_time(&mut self, now: Duration) {
        let stall = self.limits.stall;
        let names: Vec<ContextId> = self.streams.keys().copied().collect();
        for name in names {
            let Some(stream) = self.streams.get_mut(&name) else { continue };
            let all = stream.window.in_flight() > 0 && now.saturating_sub(stream.heard) >= stall;
            let again = all && std::mem::replace(&mut stream.silent, true);
            let late = |peer: &Peer| {
                let owes = peer.stream == name && peer.owed > 0;
                owes && (all || now.saturating_sub(peer.heard) >= stall.saturating_mul(PATIENCE))
            };
            let late: Vec<ContextId> =
                self.peers.iter().filter(|(_, peer)| late(peer)).map(|(&who, _)| who).collect();
            for who in late {
                self.give_up(who);
            }
            if all {
                // Whatever else was on its way.
                if let Some(stream) = self.streams.get_mut(&name) {
                    stream.window.forgive(usize::MAX);
                    stream.heard = now;
                }
            }
            if again {
                self.end_all(|job| job.stream == name, Ended::Stalled);
            }
            self.serve(name);
        }
    }

    /// The link itself has taken nothing for too long: nobody behind it gets anything.
    pub fn handle_blocked(&mut self, stream: ContextId) {
        let owing = self.peers.iter().filter(|(_, peer)| peer.stream == stream && peer.owed > 0);
        for who in owing.map(|(&who, _)| who).collect::<Vec<_>>() {
            self.give_up(who);
        }
        self.end_all(|job| job.stream == stream, Ended::Stalled);
    }

    /// Nothing that was sent to a receiver is waited for any more.
    fn give_up(&mut self, who: ContextId) {
        let Some(peer) = self.peers.get_mut(&who) else { return };
        let (stream, owed) = (peer.stream, peer.owed);
        peer.excused += owed;
        peer.owed = 0;
        let again = std::mem::replace(&mut peer.silent, true);
        let flights = std::mem::take(&mut peer.flights);
        if let Some(state) = self.streams.get_mut(&stream) {
            state.window.forgive(owed);
        }
        for (job, _) in flights {
            match self.jobs.contains_key(&job) {
                true => self.end(job, Ended::Stalled),
                false => self.outputs.push_back(Output::Unacknowledged { job }),
            }
        }
        if again {
            self.end_all(|job| job.receiver == who, Ended::Stalled);
        }
    }

    // ---- what we answer -------------------------------------------------------------------

    /// The next thing to do, in order. Drain it after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    // ---- nouns ----------------------------------------------------------------------------

    /// When [`FileServer::handle_time`] may have something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let waiting = self.streams.values().filter(|stream| stream.window.in_flight() > 0);
        let streams = waiting.map(|stream| stream.heard.saturating_add(self.limits.stall));
        let owing = self.peers.values().filter(|peer| peer.owed > 0);
        let patience = self.limits.stall.saturating_mul(PATIENCE);
        streams.chain(owing.map(|peer| peer.heard.saturating_add(patience))).min()
    }

    /// Whether something that was sent of a transfer is on its way, be it over or not.
    pub fn is_owed(&self, job: JobId) -> bool {
        self.peers.values().any(|peer| peer.flights.iter().any(|flight| flight.0 == job))
    }

    /// The streams that have something to send or are about to send it.
    pub fn busy(&self) -> impl Iterator<Item = ContextId> {
        let busy = self.streams.iter().filter(|(_, stream)| !stream.queue.is_empty());
        busy.map(|(&name, _)| name)
    }

    /// Whether nothing is queued, and nothing on its way.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.streams.values().all(|stream| stream.window.in_flight() == 0)
    }

    /// How many transfers are queued or under way.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Whether a transfer is queued or under way.
    pub fn is_live(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// How many bytes are on their way over a stream, and how many may be.
    pub fn window(&self, stream: ContextId) -> Option<(usize, usize)> {
        self.streams.get(&stream).map(|stream| (stream.window.in_flight(), stream.window.size()))
    }

    // ---- inside ---------------------------------------------------------------------------

    /// The stream of a job that is the first of its queue and in this state.
    fn stream_of(&mut self, job: JobId, head: Head) -> Option<&mut Stream> {
        let name = self.jobs.get(&job)?.stream;
        let stream = self.streams.get_mut(&name)?;
        (stream.queue.front() == Some(&job) && stream.head == head).then_some(stream)
    }

    fn serve(&mut self, name: ContextId) {
        let Some(stream) = self.streams.get_mut(&name) else { return };
        let Some(&job) = stream.queue.front() else {
            if stream.window.in_flight() == 0 && stream.head == Head::Fresh {
                // What was learnt of a link is soon out of date.
                self.streams.remove(&name);
            }
            return;
        };
        match stream.head {
            Head::Fresh => {
                stream.head = Head::Opening;
                self.outputs.push_back(Output::Begin { job });
            }
            Head::Open => {
                if let Some(credit) = stream.window.grant() {
                    stream.head = Head::Reading;
                    self.outputs.push_back(Output::Read { job, credit });
                }
            }
            Head::Opening | Head::Reading | Head::Orphaned => {}
        }
    }

    fn end(&mut self, id: JobId, how: Ended) {
        let Some(job) = self.jobs.remove(&id) else { return };
        self.outputs.push_back(Output::End { job: id, how });
        if let Some(peer) = self.peers.get_mut(&job.receiver) {
            peer.jobs -= 1;
        }
        if how != Ended::Sent {
            self.excuse(id);
        }
        self.forget_peer(job.receiver);
        let Some(stream) = self.streams.get_mut(&job.stream) else { return };
        if stream.queue.front() == Some(&id) {
            stream.queue.pop_front();
            stream.head = match stream.head {
                Head::Reading | Head::Orphaned => Head::Orphaned,
                Head::Fresh | Head::Opening | Head::Open => Head::Fresh,
            };
        } else if stream.queue.back() == Some(&id) {
            stream.queue.pop_back();
        } else {
            stream.queue.retain(|other| *other != id);
        }
        self.serve(job.stream);
    }

    fn end_all(&mut self, which: impl Fn(&Job) -> bool, how: Ended) {
        // From the back, so that none of them gets its turn first.
        let ids: Vec<JobId> =
            self.jobs.iter().rev().filter(|(_, job)| which(job)).map(|(&id, _)| id).collect();
        for id in ids {
            self.end(id, how);
        }
    }

    /// Gives the stream that has room now.
    fn excuse(&mut self, job: JobId) -> Option<ContextId> {
        let owing = self.peers.values_mut().find(|peer| peer.flights.iter().any(|flight| flight.0 == job));
        if let Some(peer) = owing {
            let (stream, bytes) = (peer.stream, peer.excuse(job));
            if let Some(state) = self.streams.get_mut(&stream) {
                state.window.forgive(bytes);
            }
            return Some(stream);
        }
        None
    }

    fn forget_peer(&mut self, who: ContextId) {
        if self.peers.get(&who).is_some_and(|peer| peer.jobs == 0 && peer.owed == 0 && peer.excused == 0) {
            self.peers.remove(&who);
        }
    }
}
