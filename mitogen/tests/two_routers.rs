//! Several routers in one process know nothing of each other.

mod common;

use mitogen::{Error, Local, Router};
use std::time::Duration;

#[tokio::test]
async fn the_end_of_one_router_is_nothing_to_the_other() {
    let (one, two) = (Router::new().expect("a router"), Router::new().expect("a router"));
    let a = one.connect(Local::new()).await.expect("a context");
    let b = two.connect(Local::new()).await.expect("a context");
    assert_eq!(a.id(), b.id(), "each counts for itself");
    assert_ne!(a, b);
    let pids: (u32, u32) =
        (a.call("os.getpid", ()).await.expect("a pid"), b.call("os.getpid", ()).await.expect("a pid"));
    let slow = b.start::<()>(mitogen::Call::new("time.sleep").arg(0.5));
    one.shutdown().await.expect("a shutdown");
    common::wait_gone(pids.0, Duration::from_secs(5));
    assert!(matches!(a.call::<u32>("os.getpid", ()).await, Err(Error::Lost { .. } | Error::Closed)));
    assert!(one.contexts().is_empty() && one.connect(Local::new()).await.is_err());

    slow.await.expect("what was under way goes on");
    let inner = b.connect(Local::new()).await.expect("a context behind it");
    assert_eq!(inner.call::<i64>("operator.add", (1, 2)).await.expect("a sum"), 3);
    drop(two);
    // The runtime is this thread's: it must not block.
    let gone = async {
        while common::process_exists(pids.1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the other's context is gone too");
}

#[test]
fn routers_of_several_threads_and_kinds_work_side_by_side() {
    let threads: Vec<_> = (0..3)
        .map(|number: i64| {
            std::thread::spawn(move || {
                let router = mitogen::blocking::Router::new().expect("a router");
                let context = router.connect(Local::new()).expect("a context");
                for turn in 0..20 {
                    let sum: i64 = context.call("operator.add", (number, turn)).expect("a sum");
                    assert_eq!(sum, number + turn);
                }
                router.shutdown().expect("a shutdown");
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}
