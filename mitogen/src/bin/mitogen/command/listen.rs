//! `mitogen listen --socket PATH`: holds the targets connected, for Python programs that come to a socket.

use super::held::Held;
use crate::{
    cli::Form,
    console::Console,
    fleet::Place,
    grove::Grove,
    interrupt::Interrupt,
    json,
    logs::Names,
    outcome::{Answer, Kind, Outcome, combine, exit},
    report::Report,
};
use futures_util::{StreamExt, stream};
use mitogen::{
    ContextId, Event, Events, Listener, ListenerEvent, ListenerEvents, Policy, RemoteError, Router, Service,
    Value,
};
use std::{io, path::PathBuf, sync::Arc, time::Instant};
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// The service by which clients learn which contexts there are.
const SERVICE: &str = "mitogen.listen";

/// Everything that it needs.
pub(crate) struct Hall {
    pub(crate) router: Router,
    pub(crate) places: Vec<Place>,
    pub(crate) forks: usize,
    pub(crate) socket: PathBuf,
    /// Whether targets that are lost are connected anew when a client asks for them.
    pub(crate) reconnect: bool,
    pub(crate) form: Form,
    pub(crate) names: Names,
    pub(crate) console: Console,
    pub(crate) interrupt: Interrupt,
}

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
    pub(crate) async fn run(mut self, mut report: Report) -> Result<u8, String> {
        let listener = self.router.listen(&self.socket).map_err(|error| format!("--socket: {error}"))?;
        // From before the first is connected: none is to be lost unnoticed.
        let (events, visits) = (self.router.events(), listener.events());
        let grove = Grove::new(self.router.clone(), self.names.clone(), &self.places);
        let (regained, news) = mpsc::unbounded_channel();
        let places = std::mem::take(&mut self.places);
        let held = Held::new(grove, places, self.reconnect.then_some(regained));
        let service = offer(&self.router, &held).map_err(|error| error.to_string())?;
        let end = match self.gather(&held, &listener, &mut report).await {
            Ok(()) => self.hold(&held, events, visits, news, &mut report).await,
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
    async fn gather(&self, held: &Held, listener: &Listener, report: &mut Report) -> Result<(), End> {
        let socket = listener.path().to_string_lossy().into_owned();
        let connect = |index| async move {
            let start = Instant::now();
            (index, held.connect(index).await, start.elapsed())
        };
        let jobs = (0..held.count()).map(connect);
        let mut jobs = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.forks));
        loop {
            let (index, connected, elapsed) = tokio::select! {
                biased;
                () = self.interrupt.came() => return Err(End::Interrupted),
                job = jobs.next() => match job {
                    Some(job) => job,
                    None => break,
                },
            };
            let mut outcome = Outcome { target: held.name(index), answer: None, failure: None, elapsed };
            match connected {
                Ok(context) if self.form != Form::Text => {
                    outcome.answer = Some(whereabouts(context.id(), &socket));
                }
                Ok(_) => {}
                Err(failure) => outcome.failure = Some(failure),
            }
            report.add(index, outcome).map_err(End::Output)?;
        }
        if held.is_empty() {
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
        mut news: UnboundedReceiver<String>,
        report: &mut Report,
    ) -> End {
        loop {
            let told = tokio::select! {
                biased;
                () = self.interrupt.came() => return End::Interrupted,
                Some(event) = events.next() => {
                    let lost = self.lost(held, event, report);
                    if held.is_deserted() {
                        return lost.err().map_or(End::Deserted, End::Output);
                    }
                    lost
                }
                Some(visit) = visits.next() => self.tell(visit),
                Some(target) = news.recv() => self.event("regained", &[("target", Value::Text(target))]),
            };
            if let Err(error) = told {
                return End::Output(error);
            }
        }
    }

    /// A context is gone: if it was a target's, that is news.
    fn lost(&self, held: &Held, event: Event, report: &mut Report) -> io::Result<()> {
        for (target, reason) in held.take_lost(&self.router, &event) {
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

/// What the JSON of a target says.
fn whereabouts(id: ContextId, socket: &str) -> Answer {
    let pair = |key: &str, value| (Value::Text(key.to_owned()), value);
    let pairs =
        vec![pair("context", Value::Int(id.0.into())), pair("socket", Value::Text(socket.to_owned()))];
    Answer::Value(Value::Dict(pairs))
}

/// `targets()` gives each target that is there with its context, in their order; `context(target=...)` one of them.
fn offer(router: &Router, held: &Arc<Held>) -> Result<Service, mitogen::Error> {
    let held = Arc::clone(held);
    router.serve(SERVICE, Policy::this_program(), move |request| {
        let held = Arc::clone(&held);
        async move {
            match request.method() {
                "targets" => mitogen::to_value(&held.all().await)
                    .map_err(|error| RemoteError::new("mitogen.service.Error", error.to_string())),
                "context" => held.find(&request.arg::<String>("target")?).await,
                other => Err(request.unknown_method(other)),
            }
        }
    })
}
