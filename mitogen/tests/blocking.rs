//! The blocking router does what the async one does, from any thread.

mod common;

use mitogen::blocking::Router;
use mitogen::{Call, Command, Local, Value};
use std::time::Duration;

#[test]
fn calls_commands_and_endings_work_without_async() {
    let router = Router::new().expect("a router");
    let context = router.connect(Local::new()).expect("a context");
    let pid: u32 = context.call("os.getpid", ()).expect("a pid");
    let pending = context.start::<f64>(Call::new("time.time"));
    assert!(pending.wait().expect("a time") > 0.0);
    let command = Command::new("sh").args(["-c", "cat; echo err >&2; exit 3"]).stdin("in");
    let output = context.exec(command).expect("an output");
    assert_eq!((output.status, &*output.stdout, &*output.stderr), (3, &b"in"[..], &b"err\n"[..]));
    let output = context.exec(Command::shell("echo $0 | wc -l")).expect("an output");
    assert!(output.success());
    assert!(context.ping().expect("a ping") < Duration::from_secs(5));
    // Long enough for the background thread to have taken over, and to have to give way again.
    std::thread::sleep(Duration::from_millis(50));
    let again: u32 = context.call("os.getpid", ()).expect("a pid");
    assert_eq!(again, pid);
    drop(router);
    assert!(!common::process_exists(pid), "dropping the router waits for its processes");
    context.call::<Value>("os.getpid", ()).expect_err("the router is gone");
}

#[test]
fn threads_share_one_router() {
    let router = Router::new().expect("a router");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let router = router.clone();
            std::thread::spawn(move || {
                let context = router.connect(Local::new()).expect("a context");
                for number in 0..50 {
                    let back: i32 = context.call("operator.neg", (number,)).expect("a number");
                    assert_eq!(back, -number);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    router.shutdown().expect("a shutdown");
}
