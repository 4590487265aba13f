//! What contexts log and print, gathered as it arrives.

use std::fmt::Debug;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// One record: the context, the logger, Python's level, the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    pub(crate) context: u64,
    pub(crate) logger: String,
    pub(crate) level: u32,
    pub(crate) text: String,
}

static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());
/// The modules that were asked for.
static REQUESTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static STARTED: OnceLock<()> = OnceLock::new();

/// Begins to gather; once in a process.
pub(crate) fn start() {
    STARTED.get_or_init(|| {
        tracing::subscriber::set_global_default(Gather).expect("no other subscriber");
    });
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// What has come of this context and these loggers, and is forgotten now.
pub(crate) fn take(context: u64, loggers: &[&str]) -> Vec<Record> {
    let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = |r: &Record| r.context == context && loggers.contains(&r.logger.as_str());
    let taken = records.iter().filter(|r| wanted(r)).cloned().collect();
    records.retain(|r| !wanted(r));
    taken
}

/// The modules that contexts have asked for since the last time, in the order of the requests.
pub(crate) fn take_requests() -> Vec<String> {
    std::mem::take(&mut REQUESTS.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Gather;

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }
    fn record_u64(&mut self, _: &Field, value: u64) {
        self.context = value;
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "mitogen_logger" {
            self.logger = value.to_owned();
        }
    }
}

impl Subscriber for Gather {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["mitogen::remote", "mitogen::modules"].contains(&metadata.target())
            && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let mut record = Record { level, ..Record::default() };
        event.record(&mut record);
        if event.metadata().target() == "mitogen::modules" {
            // "web1 asked for NAME: it and 2 other modules sent ..."
            if let Some((_, what)) = record.text.split_once(" asked for ")
                && let Some((name, _)) = what.split_once(": ")
            {
                REQUESTS.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
            }
            return;
        }
        RECORDS.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
