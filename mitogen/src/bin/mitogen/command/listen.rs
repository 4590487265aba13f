//! `mitogen listen --socket PATH`: holds the targets connected, for Python programs that come to a socket.

use crate::{
    cli::Form,
    console::Console,
    fleet::Place,
    grove::{Grove, Ways},
    interrupt::Interrupt,
    json,
    logs::Names,
    outcome::{Answer, Kind, Outcome, combine, exit},
    report::Report,
};
use futures_util::{StreamExt, stream};
use mitogen::{
    Context, ContextId, Event, Events, Listener, ListenerEvent, ListenerEvents, Policy, Router, Service,
    Value,
};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The service by which clients learn which contexts there are.
const SERVICE: &str = "mitogen.listen";

/// Everything that it needs.
pub(crate) struct Hall {
    pub(crate) router: Router,
    pub(crate) places: Vec<Place>,
    pub(crate) forks: usize,
    pub(crate) socket: PathBuf,
    pub(crate) form: Form,
    pub(crate) names: Names,
    pub(crate) console: Console,
    pub(crate) interrupt: Interrupt,
}

/// The targets that are connected: index, name and context.
type Held = Arc<Mutex<BTreeMap<usize, (String, Context)>>>;

/// How it ended.
enum End {
    Interrupted,
    /// No target is left.
    Deserted,
    /// Results can no longer be written.
    Output(io::Error),
}

impl Hall {
    /// Serves until it is interrupted, or no target is left. Gives the exit status.
    ///
    /// # Errors
    /// The socket cannot be made: why.
    pub(crate) async fn run(self, mut report: Report) -> Result<u8, String> {
        let listener = self.router.listen(&self.socket).map_err(|error| format!("--socket: {error}"))?;
        // From before the first is connected: none is to be lost unnoticed.
        let (events, visits) = (self.router.events(), listener.events());
        let held = Held::default();
        let service = offer(&self.router, &held).map_err(|error| error.to_string())?;
        let (grove, ways) = Grove::new(self.router.clone(), self.names.clone(), &self.places);
        let end = match self.gather(&grove, &ways, &held, &listener, &mut report).await {
            Ok(()) => self.hold(&held, events, visits, &mut report).await,
            Err(end) => end,
        };
        self.console.progress(String::new());
        // The socket goes first, so that nobody comes to a house that is being closed.
        drop((listener, service));
        let status = match &end {
            End::Interrupted => Some(exit::INTERRUPTED),
            End::Deserted => None,
            End::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            End::Output(error) => {
                self.console.error(&format!("the results cannot be written: {error}"));
                Some(exit::OUR_FAULT)
            }
        };
        if let Err(error) = self.router.shutdown().await {
            tracing::warn!("the contexts could not be shut down in good order: {error}");
        }
        Ok(status.unwrap_or_else(|| combine(report.failures().iter().copied())))
    }

    /// Connects every target; those that cannot be had are reported and left out.
    async fn gather(
        &self,
        grove: &Grove,
        ways: &[Ways],
        held: &Held,
        listener: &Listener,
        report: &mut Report,
    ) -> Result<(), End> {
        let socket = listener.path().to_string_lossy().into_owned();
        let connect = |(index, (place, ways))| async move {
            let start = Instant::now();
            let connected = grove.contexts(place, ways, place.methods.len()).await;
            (index, place.target.to_string(), connected, start.elapsed())
        };
        let jobs = self.places.iter().zip(ways).enumerate().map(connect);
        let mut jobs = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.forks));
        loop {
            let (index, target, connected, elapsed) = tokio::select! {
                biased;
                () = self.interrupt.came() => return Err(End::Interrupted),
                job = jobs.next() => match job {
                    Some(job) => job,
                    None => break,
                },
            };
            let mut outcome = Outcome { target: target.clone(), answer: None, failure: None, elapsed };
            match connected {
                Ok(contexts) => {
                    let Some(context) = contexts.into_iter().next_back() else { continue };
                    if self.form != Form::Text {
                        outcome.answer = Some(whereabouts(context.id(), &socket));
                    }
                    tracing::info!("{target}: context {}", context.id());
                    lock(held).insert(index, (target, context));
                }
                Err(failure) => outcome.failure = Some(failure),
            }
            report.add(index, outcome).map_err(End::Output)?;
        }
        if lock(held).is_empty() {
            return Err(End::Deserted);
        }
        match self.form {
            Form::Text => self.console.result(format!("{socket}\n").as_bytes()).map_err(End::Output),
            _ => Ok(()),
        }
    }

    /// Waits, and says what happens.
    async fn hold(
        &self,
        held: &Held,
        mut events: Events,
        mut visits: ListenerEvents,
        report: &mut Report,
    ) -> End {
        loop {
            let told = tokio::select! {
                biased;
                () = self.interrupt.came() => return End::Interrupted,
                Some(event) = events.next() => {
                    let lost = self.lost(held, event, report);
                    if lock(held).is_empty() {
                        return lost.err().map_or(End::Deserted, End::Output);
                    }
                    lost
                }
                Some(visit) = visits.next() => self.tell(visit),
            };
            if let Err(error) = told {
                return End::Output(error);
            }
        }
    }

    /// A context is gone: if it was a target's, that is news.
    fn lost(&self, held: &Held, event: Event, report: &mut Report) -> io::Result<()> {
        let gone: Vec<(usize, String, String)> = {
            let mut held = lock(held);
            let mut gone = Vec::new();
            match &event {
                Event::Lost { context, reason } => held.retain(|index, (target, held)| {
                    let is_it = held.id() == context.id;
                    if is_it {
                        gone.push((*index, target.clone(), reason.to_string()));
                    }
                    !is_it
                }),
                Event::Missed(_) => held.retain(|index, (target, context)| {
                    let is_there = self.router.context(context.id()).is_some();
                    if !is_there {
                        gone.push((*index, target.clone(), "it is gone".to_owned()));
                    }
                    is_there
                }),
                _ => {}
            }
            gone
        };
        for (_, target, reason) in gone {
            report.note_failure(Kind::Lost);
            self.console.error(&format!("{target}: lost: {reason}"));
            self.event("lost", &[("target", Value::Text(target)), ("reason", Value::Text(reason))])?;
        }
        Ok(())
    }

    fn tell(&self, visit: ListenerEvent) -> io::Result<()> {
        let number = |number: u32| Value::Int(number.into());
        match visit {
            ListenerEvent::Connected(client) => {
                tracing::info!("client {}, process {}: connected", client.id, client.pid);
                let (id, pid, uid) = (number(client.id.0), number(client.pid), number(client.uid));
                self.event("connected", &[("client", id), ("pid", pid), ("uid", uid)])
            }
            ListenerEvent::Disconnected { client, reason } => {
                tracing::info!("client {}, process {}: {reason}", client.id, client.pid);
                let (id, pid) = (number(client.id.0), number(client.pid));
                let reason = Value::Text(reason.to_string());
                self.event("disconnected", &[("client", id), ("pid", pid), ("reason", reason)])
            }
            ListenerEvent::Refused { uid, pid, why } => {
                let process = pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                tracing::warn!("refused a client, process {process}, user {uid}: {why}");
                let fields = [
                    ("pid", pid.map_or(Value::None, number)),
                    ("uid", number(uid)),
                    ("reason", Value::Text(why.to_string())),
                ];
                self.event("refused", &fields)
            }
            _ => Ok(()),
        }
    }

    /// A line of `--output jsonl`.
    fn event(&self, name: &str, fields: &[(&str, Value)]) -> io::Result<()> {
        if self.form != Form::Jsonl {
            return Ok(());
        }
        let mut line = format!("{{\"event\": \"{name}\"");
        for (key, value) in fields {
            line.push_str(&format!(", \"{key}\": {}", json::to_json(value)));
        }
        line.push_str("}\n");
        self.console.result(line.as_bytes())
    }
}

fn lock(held: &Held) -> std::sync::MutexGuard<'_, BTreeMap<usize, (String, Context)>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the JSON of a target says.
fn whereabouts(id: ContextId, socket: &str) -> Answer {
    let pair = |key: &str, value| (Value::Text(key.to_owned()), value);
    let pairs =
        vec![pair("context", Value::Int(id.0.into())), pair("socket", Value::Text(socket.to_owned()))];
    Answer::Value(Value::Dict(pairs))
}

/// `targets()` gives each target with its context, in their order; `context(target=...)` one of them.
fn offer(router: &Router, held: &Held) -> Result<Service, mitogen::Error> {
    let held = Arc::clone(held);
    router.serve(SERVICE, Policy::this_program(), move |request| {
        let all: Vec<(String, Context)> = lock(&held).values().cloned().collect();
        async move {
            match request.method() {
                "targets" => mitogen::to_value(&all),
                "context" => {
                    let wanted: String = request.arg("target")?;
                    let found = all.into_iter().find(|(target, _)| *target == wanted);
                    mitogen::to_value(&found.map(|(_, context)| context))
                }
                other => return Err(request.unknown_method(other)),
            }
            .map_err(|error| mitogen::RemoteError::new("mitogen.service.Error", error.to_string()))
        }
    })
}
