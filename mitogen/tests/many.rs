//! More contexts than the usual limit of descriptors has room for.

mod common;

use mitogen::{Call, Local, Router, Select};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many this process is started with, as far as this test is concerned.
const LIMIT: u64 = 100;
/// Each takes three descriptors.
const CONTEXTS: usize = 120;

#[test]
fn a_low_limit_is_raised_for_us_and_kept_for_others() {
    let hard = getrlimit(Resource::Nofile).maximum;
    if hard.is_some_and(|hard| hard < 4 * CONTEXTS as u64) {
        eprintln!("SKIPPED: the hard limit of descriptors is {hard:?} on this machine");
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum: hard }).expect("lowered");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = Router::new().expect("a router");
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
        let python = common::interpreters().pop().expect("one");
        let connect = |_| {
            let (router, python) = (router.clone(), python.to_string_lossy().into_owned());
            async move {
                let method = Local::new().python_argv([python.as_str(), "-S"]);
                router.connect(method.connect_timeout(std::time::Duration::from_secs(120))).await
            }
        };
        let mut contexts = Vec::new();
        // A few at a time: this is about descriptors, not about processors.
        for batch in 0..CONTEXTS / 10 {
            let batch = (0..10).map(|at| tokio::spawn(connect(batch * 10 + at))).collect::<Vec<_>>();
            for attempt in batch {
                contexts.push(attempt.await.expect("no panic").expect("a context"));
            }
        }
        assert!(common::open_descriptors() > 2 * LIMIT as usize);
        let mut select = Select::new();
        for context in &contexts {
            select.add(context.id(), context.start::<(u64, u64)>(Call::new("resource.getrlimit").arg(7)));
        }
        while let Some((id, limits)) = select.next().await {
            assert_eq!(limits.expect("limits").0, LIMIT, "context {id}");
        }
        // And theirs, which did not raise anything.
        let inner = contexts[0].connect(Local::new()).await.expect("a context");
        let (soft, _): (u64, u64) = inner.call("resource.getrlimit", (7,)).await.expect("limits");
        assert_eq!(soft, LIMIT);
        router.shutdown().await.expect("a shutdown");
    });
}
