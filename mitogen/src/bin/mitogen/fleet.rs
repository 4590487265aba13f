//! Many targets at once: each is connected, given its work, and shut down.

use crate::{
    command::{Gave, Work, doctor},
    console::Console,
    interrupt::Interrupt,
    logs::Names,
    outcome::{Answer, Failure, Outcome, combine, exit, shell_status},
    report::Report,
    target::Target,
};
use futures_util::{StreamExt, stream};
use mitogen::{Context, Error, Method, Phase, Router};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// A target and the way there.
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) method: Method,
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
    pub(crate) async fn run(self, mut report: Report) -> u8 {
        let total = self.places.len();
        let mut remote_status = None;
        let cut = self.work(total, &mut report, &mut remote_status).await.err();
        self.console.progress(String::new());
        let status = match &cut {
            None => None,
            Some(Cut::Interrupted) => {
                // What is there is not withheld.
                let _ = report.finish();
                self.console.error(&format!("interrupted: {} of {total} targets done", report.arrived()));
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
    ) -> Result<(), Cut> {
        let (send, mut outcomes) = mpsc::unbounded_channel();
        let start = Instant::now();
        let jobs = self.places.iter().enumerate().map(|(index, place)| {
            let send = send.clone();
            async move {
                self.visit(place, |outcome| {
                    // Nobody listens any more when the run was cut short.
                    let _ = send.send((index, outcome));
                })
                .await;
            }
        });
        let mut jobs = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.forks));
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                biased;
                () = self.interrupt.came() => return Err(Cut::Interrupted),
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

    /// One target, from its connection to its end. The outcome is handed over before the target is shut down.
    async fn visit(&self, place: &Place, done: impl FnOnce(Outcome)) {
        let start = Instant::now();
        let name = place.target.to_string();
        let hand_over = |(answer, failure): Gave| {
            // The library knows its hop, not how it was written here.
            let failure = failure.map(|mut failure| {
                if let ([_], Some(hop)) = (place.target.hops(), &mut failure.hop) {
                    hop.clone_from(&name);
                }
                failure
            });
            done(Outcome { target: name.clone(), answer, failure, elapsed: start.elapsed() });
        };
        let context = match &self.task {
            Task::Doctor(doctor) => {
                let (context, gave) = doctor.examine(&self.router, place).await;
                hand_over(gave);
                context
            }
            Task::Work(work) => match self.connect(place, &name).await {
                Ok(context) => {
                    self.names.learn(context.id(), &name);
                    hand_over(work.run(&context).await);
                    Some(context)
                }
                Err(error) => {
                    hand_over((None, Some(Failure::from(&error))));
                    None
                }
            },
        };
        if let Some(context) = context
            && let Err(error) = context.shutdown().await
        {
            tracing::warn!("{name} could not be shut down in good order: {error}");
        }
    }

    async fn connect(&self, place: &Place, name: &str) -> Result<Context, Error> {
        let mut observe = |phase: Phase, at: Duration| {
            tracing::info!(target: "mitogen::connect", "{name}: phase {phase} at {:.1} ms", at.as_secs_f64() * 1000.0);
        };
        let context = self.router.connect_observed(place.method.clone(), &mut observe).await?;
        tracing::info!(target: "mitogen::connect", "{name}: connected");
        Ok(context)
    }

    fn show_progress(&self, report: &Report, total: usize, elapsed: Duration) {
        if total > 1 && report.arrived() < total {
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
