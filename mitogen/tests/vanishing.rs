//! A context in the middle vanishes: all that waits for what was behind it ends at once, wherever it
//! waits, and nobody keeps a route there.

mod common;

use common::{connect, define, interpreters, wait_dead};
use mitogen::{Call, Context, Error, Handle, Local, PendingCall, Router, Value};
use std::time::{Duration, Instant};

const USER: &str = r"
import mitogen.core
from mitogen.core import takes_router

@takes_router
def wait(context, handle, waiting, router):
    receiver = context.send_async(mitogen.core.Message(handle=handle))
    waiting.send(None)
    try:
        receiver.get()
    except mitogen.core.ChannelError as exc:
        return str(exc)

@takes_router
def silent(router):
    return router.add_handler(lambda msg: None)

@takes_router
def links(router):
    return sorted(router.links)
";

async fn links(context: &Context) -> Vec<u32> {
    context.call("user.links", ()).await.unwrap_or_else(|error| panic!("{}: {error}", context.target()))
}

#[tokio::test]
async fn nothing_waits_for_what_is_gone_and_no_table_names_it() {
    let router = Router::new().expect("a router");
    let pythons = interpreters();
    let middle = [0, 1, pythons.len() / 2, pythons.len() - 1].map(|at| &pythons[at.min(pythons.len() - 1)]);
    for python in middle {
        let python = || Local::new().python(python.to_string_lossy());
        // above ── victim ── below ── last
        //   └──── beside
        let top = connect(&router, &pythons[pythons.len() - 1]).await;
        let above = top.connect(python()).await.expect("a context");
        let victim = above.connect(python()).await.expect("a context");
        let below = victim.connect(python()).await.expect("a context");
        let last = below.connect(Local::new()).await.expect("a context");
        let beside = above.connect(python()).await.expect("a context");
        for context in [&top, &above, &last, &beside] {
            define(context, "user", USER).await;
        }
        let pid: u32 = victim.call("os.getpid", ()).await.expect("a pid");
        let last_pid: u32 = last.call("os.getpid", ()).await.expect("a pid");
        let silent: Handle = Handle(last.call("user.silent", ()).await.expect("a handle"));
        assert_eq!(links(&above).await, [&victim, &below, &last, &beside].map(|context| context.id().0));

        let from_here: Vec<PendingCall<Value>> =
            [&victim, &below, &last].map(|context| context.start(Call::new("time.sleep").arg(60))).into();
        let mut waiting = router.receiver().expect("a receiver");
        let sender = waiting.sender();
        let ask = |from: &Context| {
            from.start::<String>(Call::new("user.wait").arg(&last).arg(silent.0).arg(&sender))
        };
        let from_there = [ask(&top), ask(&above), ask(&beside)];
        for _ in &from_there {
            let () = waiting.recv().await.expect("it waits");
        }

        let start = Instant::now();
        std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill");
        for call in from_here {
            let error = call.await.expect_err("it is gone");
            assert!(matches!(&error, Error::Lost { .. }), "{error:?}");
        }
        for call in from_there {
            assert_eq!(call.await.expect("they live"), "the respondent Context has disconnected");
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert_eq!(links(&above).await, [beside.id().0]);
        assert_eq!(links(&top).await, [above.id().0, beside.id().0]);
        assert_eq!(links(&beside).await, [] as [u32; 0]);
        assert_eq!(router.contexts(), [top.clone(), above, beside]);
        wait_dead(last_pid, Duration::from_secs(5));
        top.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}
