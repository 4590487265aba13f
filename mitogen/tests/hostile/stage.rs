//! A router with a bystander and a hostile child, and what is logged of them.

use crate::common;
use mitogen::{Call, Context, Error, Local, PendingCall, Router, RouterBuilder, Value};
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

pub(crate) struct Stage {
    pub(crate) router: Router,
    /// Context 1.
    pub(crate) bystander: Context,
    /// Context 2.
    pub(crate) hostile: Context,
    pub(crate) log: Log,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Stage {
    pub(crate) async fn set(deed: &str, details: &[&str]) -> Stage {
        Stage::set_with(Router::builder().max_message_size(64 << 20), deed, details).await
    }

    pub(crate) async fn set_with(builder: RouterBuilder, deed: &str, details: &[&str]) -> Stage {
        Stage::raise(builder, deed, details, false).await
    }

    /// With the hostile one as the bystander's child.
    pub(crate) async fn set_behind_the_bystander(deed: &str) -> Stage {
        Stage::raise(Router::builder(), deed, &[], true).await
    }

    async fn raise(builder: RouterBuilder, deed: &str, details: &[&str], behind: bool) -> Stage {
        let log = Log::default();
        // Of this thread; so is the runtime of a test.
        let logging = tracing::subscriber::set_default(log.clone());
        let router = builder.build().expect("a router");
        let bystander = router.connect(Local::new()).await.expect("a bystander");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/peer.py");
        let python = common::interpreters().pop().expect("one");
        let words = [python.to_string_lossy(), script.to_string_lossy(), deed.into()];
        let words = words.iter().map(AsRef::as_ref).chain(details.iter().copied());
        let method = Local::new().python_argv(words);
        let hostile = if behind { bystander.connect(method).await } else { router.connect(method).await };
        let hostile = hostile.expect("it is born");
        assert_eq!((bystander.id().0, hostile.id().0), (1, 2));
        Stage { router, bystander, hostile, log, _logging: logging }
    }

    /// Has the hostile child do its deed; its answer.
    pub(crate) fn act(&self) -> PendingCall<Value> {
        self.hostile.start(Call::new("any.thing").timeout(Duration::from_secs(60)))
    }

    /// Both others work, and nothing is known but them.
    pub(crate) async fn check(&self) {
        let pid: u32 = self.bystander.call("os.getpid", ()).await.expect("the bystander works");
        assert!(common::process_exists(pid));
        let other = self.router.connect(Local::new()).await.expect("contexts are still born");
        let inner = self.bystander.connect(Local::new()).await.expect("behind others too");
        let _: u32 = inner.call("os.getpid", ()).await.expect("it works");
        inner.shutdown().await.expect("a shutdown");
        other.shutdown().await.expect("a shutdown");
        let known: Vec<_> = self.router.contexts().iter().map(|context| context.id().0).collect();
        assert!(known == [1] || known == [1, 2], "{known:?}");
    }

    /// It was cut off; how.
    pub(crate) async fn how_it_ended(&self) -> mitogen::LostReason {
        match self.act().await.expect_err("it is gone") {
            Error::Lost { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn end(self) {
        self.check().await;
        self.router.shutdown().await.expect("a shutdown");
    }
}

/// What was logged: level and text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    pub(crate) fn count(&self, level: Level) -> usize {
        self.0.lock().expect("no panic under the lock").iter().filter(|(seen, _)| *seen == level).count()
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        self.0.lock().expect("no panic under the lock").iter().any(|(_, seen)| seen.contains(text))
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let log = self.0.lock().expect("no panic under the lock");
        log.iter().filter(|(level, _)| *level <= Level::WARN).map(|(_, text)| text.clone()).collect()
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What floods the log at level debug is not what these tests look for.
        metadata.target().starts_with("mitogen") && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut log = self.0.lock().expect("no panic under the lock");
        log.push((*event.metadata().level(), text.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// This process's resident memory, in bytes.
pub(crate) fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib: usize = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib << 10
}
