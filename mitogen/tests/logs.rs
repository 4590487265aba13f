//! What a context logs and prints arrives as `tracing` events, in order, and before the result of
//! the call that wrote it.

mod common;

use mitogen::{Local, LogLevel, Router, Value};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Record>>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    level: Option<Level>,
    context: u64,
    name: String,
    logger: String,
    text: String,
}

impl Capture {
    fn of_logger(&self, logger: &str) -> Vec<Record> {
        let records = self.0.lock().expect("no panic under the lock");
        records.iter().filter(|record| record.logger == logger).cloned().collect()
    }
}

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
        match field.name() {
            "mitogen_name" => self.name = value.to_owned(),
            "mitogen_logger" => self.logger = value.to_owned(),
            _ => {}
        }
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mitogen::remote"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut record = Record { level: Some(*event.metadata().level()), ..Record::default() };
        event.record(&mut record);
        self.0.lock().expect("no panic under the lock").push(record);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn printed_lines_and_log_records_arrive_in_order() {
    let capture = Capture::default();
    let _default = tracing::subscriber::set_default(capture.clone());
    let router = Router::builder().log_level(LogLevel::Debug).build().expect("a router");
    for python in common::interpreters() {
        capture.0.lock().expect("no panic under the lock").clear();
        let method = Local::new().python(python.to_string_lossy()).name("talker");
        let context = router.connect(method).await.expect("a context");
        for number in 0..20 {
            let line = format!("line {number}\n");
            let _: Value = context.call("os.write", (1, line)).await.unwrap_or(Value::None);
            let _: Value =
                context.call("logging.warning", (format!("record {number}"),)).await.expect("a record");
        }
        context.shutdown().await.expect("a shutdown");

        let name = python.display().to_string();
        let records = capture.of_logger("root");
        let texts: Vec<_> = records.iter().map(|record| record.text.clone()).collect();
        assert_eq!(texts, (0..20).map(|n| format!("record {n}")).collect::<Vec<_>>(), "{name}");
        assert!(records.iter().all(|record| record.level == Some(Level::WARN)), "{name}: {records:?}");
        assert!(records.iter().all(|record| record.name == "talker"), "{name}: {records:?}");
        assert!(records.iter().all(|record| record.context == u64::from(context.id().0)), "{name}");
        let printed = capture.of_logger("stdout");
        let texts: Vec<_> = printed.iter().map(|record| record.text.clone()).collect();
        // Python 3 takes no text here: those calls fail, and nothing is printed.
        let expected: Vec<_> = (0..20).map(|n| format!("line {n}")).collect();
        assert!(texts == expected || texts.is_empty(), "{name}: {texts:?}");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn output_of_commands_that_a_function_starts_is_forwarded() {
    let capture = Capture::default();
    let _default = tracing::subscriber::set_default(capture.clone());
    let router = Router::new().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    let status: i32 = context.call("os.system", ("echo out; echo err >&2",)).await.expect("a status");
    assert_eq!(status, 0);
    context.shutdown().await.expect("a shutdown");
    let texts = |logger| capture.of_logger(logger).into_iter().map(|record| record.text).collect::<Vec<_>>();
    assert_eq!(texts("stdout"), ["out"]);
    assert_eq!(texts("stderr"), ["err"]);
    router.shutdown().await.expect("a shutdown");
}
