//! What is said besides results: our own logs, and what contexts log and print. All of it on stderr.

use crate::console::{Console, harmless};
use mitogen::ContextId;
use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::filter_fn,
    fmt::{format::Writer, time::FormatTime},
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// The events that carry what contexts log and print.
const REMOTE: &str = "mitogen::remote";

/// The phases of connections as this command tells them; the library's own events say the same, and more.
pub(crate) const PHASES: &str = "mitogen::connect";

/// Which context belongs to which target. A cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeMap<u64, String>>>);

impl Names {
    /// From now on this context is shown by the name of its target.
    pub(crate) fn learn(&self, context: ContextId, target: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(context.0.into(), target.to_owned());
    }

    fn of(&self, context: u64) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&context).cloned()
    }
}

/// Begins to show logs: `verbosity` 0 warnings, 1 phases, 2 the protocol, 3 frames; what programs print always.
pub(crate) fn start(console: &Console, verbosity: u8, names: &Names) {
    let level = match verbosity {
        _ if console.is_quiet() => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let for_notes = console.clone();
    let own = tracing_subscriber::fmt::layer()
        .with_ansi(console.err.is_on())
        .with_timer(SinceStart(std::time::Instant::now()))
        .with_writer(move || Notes(for_notes.clone(), Vec::new()))
        .with_filter(filter_fn(move |meta| {
            let twice = meta.target() == PHASES && level >= LevelFilter::DEBUG;
            meta.target() != REMOTE && *meta.level() <= level && !twice
        }));
    // Printed lines come at level INFO. They are wanted even where log records of that level are not, so the
    // records are told apart when they come.
    let needed = if console.is_quiet() { LevelFilter::OFF } else { level.max(LevelFilter::INFO) };
    let remote = Remote { console: console.clone(), names: names.clone(), level }
        .with_filter(filter_fn(move |meta| meta.target() == REMOTE && *meta.level() <= needed));
    tracing_subscriber::registry().with(own).with(remote).init();
}

/// A piece of log on its way to the console; written as a whole when complete.
struct Notes(Console, Vec<u8>);

impl io::Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.0.note(&self.1);
    }
}

/// Seconds since the command was started.
struct SinceStart(std::time::Instant);

impl FormatTime for SinceStart {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:8.3}", self.0.elapsed().as_secs_f64())
    }
}

/// Shows what contexts log and print: `target: stdout: line`, `target: logger: message`.
struct Remote {
    console: Console,
    names: Names,
    /// Of log records, those of this level and above are shown.
    level: LevelFilter,
}

impl<S: Subscriber> Layer<S> for Remote {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = Record::default();
        event.record(&mut record);
        let printed = record.logger == "stdout" || record.logger == "stderr";
        if !printed && *event.metadata().level() > self.level {
            return;
        }
        let paint = self.console.err;
        let name = record.context.and_then(|id| self.names.of(id)).unwrap_or(record.name);
        let mut text = String::new();
        for line in record.message.lines() {
            let line = harmless(line);
            let line = match *event.metadata().level() {
                Level::ERROR if !printed => paint.bad(&line),
                _ => line,
            };
            text.push_str(&format!(
                "{}: {}: {line}\n",
                paint.name(&harmless(&name)),
                paint.faint(&record.logger)
            ));
        }
        self.console.note(text.as_bytes());
    }
}

/// The fields of a remote event.
#[derive(Default)]
struct Record {
    context: Option<u64>,
    name: String,
    logger: String,
    message: String,
}

impl Visit for Record {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "mitogen_context" {
            self.context = Some(value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if let Ok(value) = value.try_into() {
            self.record_u64(field, value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "mitogen_name" => value.clone_into(&mut self.name),
            "mitogen_logger" => value.clone_into(&mut self.logger),
            "message" => value.clone_into(&mut self.message),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
