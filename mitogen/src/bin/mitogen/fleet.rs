//! Many targets at once: each is connected, given its work, and shut down.

use crate::{
    command::{Work, doctor},
    console::Console,
    grove::{Grove, Ways, named},
    interrupt::Interrupt,
    logs::Names,
    outcome::{Answer, Outcome, combine, exit, shell_status},
    report::Report,
    target::Target,
};
use futures_util::{StreamExt, stream};
use mitogen::{Method, Router};
use rustix::process::{Resource, getrlimit};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// A target and the way there.
pub(crate) struct Place {
    pub(crate) target: Target,
    /// How each hop is connected from the one before it; as many as the target has hops.
    pub(crate) methods: Vec<Method>,
}

/// What is done on every target.
pub(crate) enum Task {
    /// This, in a connected context.
    Work(Work),
    /// Connecting itself, watched.
    Doctor(doctor::Doctor),
}

/// Everything that a run needs.
pub(crate) struct Fleet {
    pub(crate) router: Router,
    pub(crate) places: Vec<Place>,
    pub(crate) forks: usize,
    pub(crate) task: Task,
    pub(crate) names: Names,
    pub(crate) console: Console,
    pub(crate) interrupt: Interrupt,
    /// Says that what is shown as it comes cannot be.
    pub(crate) breakage: mpsc::UnboundedReceiver<io::Error>,
}

/// # Errors
/// So few files may be open here that nothing can work: said at once, since later only its consequences would show.
pub(crate) fn check_descriptors() -> Result<(), String> {
    /// A context on this machine is born on descriptors up to 62.
    const LEAST: u64 = 64;
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < LEAST => Err(format!(
            "no more than {limit} files may be open here (ulimit -n); at least {LEAST} are needed"
        )),
        _ => Ok(()),
    }
}

/// How many targets at once the limit of open files allows. That it is fewer than was asked for shows at `-v`.
pub(crate) fn affordable(forks: usize) -> usize {
    /// What this process has open itself, and what connecting opens for a moment.
    const OWN: u64 = 24;
    /// What a target needs at most: a socket, a pipe, a process and both ends of a terminal.
    const EACH: u64 = 5;
    let limit = getrlimit(Resource::Nofile).current;
    let Some(most) = limit.map(|limit| limit.saturating_sub(OWN) / EACH) else { return forks };
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    if most < forks {
        tracing::info!(
            "{most} targets at once, not {forks}: no more than {} files may be open (ulimit -n)",
            limit.unwrap_or_default()
        );
    }
    forks.min(most)
}

/// How a run ended, before all of its targets were done.
enum Cut {
    /// The user interrupted it.
    Interrupted,
    /// Results can no longer be written.
    Output(io::Error),
}

impl Fleet {
    /// Works through all targets and shows what comes of them; then everything is shut down. Gives the exit status.
    pub(crate) async fn run(mut self, mut report: Report) -> u8 {
        let (total, start) = (self.places.len(), Instant::now());
        let mut remote_status = None;
        let (_, nothing) = mpsc::unbounded_channel();
        let breakage = std::mem::replace(&mut self.breakage, nothing);
        let cut = self.work(total, &mut report, &mut remote_status, breakage).await.err();
        self.console.progress(String::new());
        let status = match &cut {
            None => None,
            Some(Cut::Interrupted) => {
                let done = report.arrived();
                let targets: Vec<String> = self.places.iter().map(|place| place.target.to_string()).collect();
                // What is there is not withheld.
                let _ = report.cut(&targets, start.elapsed());
                self.console.error(&format!("interrupted: {done} of {total} targets done"));
                Some(exit::INTERRUPTED)
            }
            // Whoever read the results has seen enough.
            Some(Cut::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Some(Cut::Output(error)) => {
                self.console.error(&format!("the results cannot be written: {error}"));
                Some(exit::OUR_FAULT)
            }
        };
        if let Err(error) = self.router.shutdown().await {
            tracing::warn!("the contexts could not be shut down in good order: {error}");
        }
        // The work was done, but the user had already given the order to stop.
        if cut.is_none() && self.interrupt.has_come() {
            return exit::INTERRUPTED;
        }
        let failures = report.failures().iter().copied();
        status.or(remote_status.filter(|_| total == 1)).unwrap_or_else(|| combine(failures))
    }

    async fn work(
        &self,
        total: usize,
        report: &mut Report,
        remote_status: &mut Option<u8>,
        mut breakage: mpsc::UnboundedReceiver<io::Error>,
    ) -> Result<(), Cut> {
        let (send, mut outcomes) = mpsc::unbounded_channel();
        let start = Instant::now();
        let (grove, ways) = Grove::new(self.router.clone(), self.names.clone(), &self.places);
        let grove = &grove;
        let jobs = self.places.iter().zip(&ways).enumerate().map(|(index, (place, ways))| {
            let send = send.clone();
            async move {
                self.visit(grove, place, ways, |outcome| {
                    // Nobody listens any more when the run was cut short.
                    let _ = send.send((index, outcome));
                })
                .await;
                grove.release(ways).await;
            }
        });
        let mut jobs = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.forks));
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                biased;
                () = self.interrupt.came() => return Err(Cut::Interrupted),
                Some(error) = breakage.recv() => return Err(Cut::Output(error)),
                Some((index, outcome)) = outcomes.recv() => {
                    if let Some(Answer::Output { status, .. }) = outcome.answer {
                        *remote_status = Some(shell_status(status));
                    }
                    report.add(index, outcome).map_err(Cut::Output)?;
                }
                job = jobs.next() => {
                    if job.is_none() && outcomes.is_empty() {
                        return Ok(());
                    }
                }
                _ = tick.tick() => self.show_progress(report, total, start.elapsed()),
            }
        }
    }

    /// One target. The outcome is handed over before anything is shut down.
    async fn visit(&self, grove: &Grove, place: &Place, ways: &Ways, done: impl FnOnce(Outcome)) {
        let start = Instant::now();
        let target = place.target.to_string();
        let count = place.methods.len();
        let (answer, failure) = match &self.task {
            Task::Doctor(doctor) => match grove.contexts(place, ways, count - 1).await {
                Ok(contexts) => {
                    let via = contexts.last();
                    let (context, (answer, failure)) = doctor.examine(&self.router, via, place).await;
                    if let Some(context) = context {
                        grove.keep(ways, context);
                    }
                    (answer, failure.map(|failure| named(failure, place, count - 1)))
                }
                Err(failure) => (None, Some(failure)),
            },
            Task::Work(work) => match grove.contexts(place, ways, count).await {
                Ok(contexts) => work.run(&self.router, &contexts, &target).await,
                Err(failure) => (None, Some(failure)),
            },
        };
        done(Outcome { target, answer, failure, elapsed: start.elapsed() });
    }

    fn show_progress(&self, report: &Report, total: usize, elapsed: Duration) {
        if matches!(self.task, Task::Work(Work::Put(_) | Work::Get(_))) && report.arrived() < total {
            // There is a bar.
        } else if total > 1 && report.arrived() < total {
            let failed = report.failures().len();
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            self.console.progress(format!(
                "{}/{total} done{failed}, {} s",
                report.arrived(),
                elapsed.as_secs()
            ));
        } else {
            self.console.progress(String::new());
        }
    }
}
