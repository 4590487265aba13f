//! The blocking router does what the async one does, from any thread.

mod common;

use mitogen::blocking::{Channel, Router};
use mitogen::{Call, Command, Error, Event, Local, Policy, RemoteError, Value};
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

#[test]
fn messages_selects_and_events_are_waited_for() {
    let router = Router::new().expect("a router");
    let mut events = router.events();
    let context = router.connect(Local::new()).expect("a context");
    let child = context.connect(Local::new()).expect("a child");
    assert_eq!(child.parent(), Some(context.clone()));
    let connected: Vec<_> = events
        .by_ref()
        .filter_map(|event| match event {
            Event::Connected { context, .. } => Some(context.id),
            _ => None,
        })
        .take(2)
        .collect();
    assert_eq!(connected, [context.id(), child.id()]);
    assert!(events.next_within(Duration::from_millis(20)).is_none());

    let mut receiver = router.receiver().expect("a receiver");
    assert!(receiver.next_within(Duration::from_millis(20)).expect("open").is_none());
    let sender = receiver.sender();
    let () = child.call("mitogen.core:Sender.send", (&sender, 5)).expect("sent");
    assert_eq!(receiver.recv::<u32>().expect("it came"), 5);
    sender.send(6).expect("it leaves");
    sender.try_send(7).expect("it leaves");
    let mut channel = Channel::new(receiver, router.sender(sender.address()));
    channel.send(8).expect("it leaves");
    for expected in 6..=8 {
        assert_eq!(channel.recv::<u32>().expect("it came"), expected);
    }

    let mut select = router.select();
    for context in router.contexts() {
        select.add(context.id(), context.start::<u32>(Call::new("os.getpid")));
    }
    assert_eq!(select.len(), 2);
    let pids: std::collections::BTreeSet<u32> = select.map(|(_, pid)| pid.expect("a pid")).collect();
    assert_eq!(pids.len(), 2);

    let chain = context.chain();
    chain.send(Call::new("os.chdir").arg("/")).expect("it leaves");
    assert_eq!(chain.call::<String>("os.getcwd", ()).expect("a folder"), "/");
    router.shutdown().expect("a shutdown");
    assert!(matches!(channel.recv::<Value>(), Err(Error::Closed)));
}

#[test]
fn a_service_may_wait() {
    let router = Router::new().expect("a router");
    let asker = router.connect(Local::new()).expect("a context");
    let other = router.connect(Local::new()).expect("a context");
    let pid: u32 = other.call("os.getpid", ()).expect("a pid");
    let service = router
        .serve("pids", Policy::anyone(), move |request| {
            let failed = |error: Error| RemoteError::new("app.Error", error.to_string());
            let pid: u32 = other.call("os.getpid", ()).map_err(failed)?;
            Ok((request.method().to_owned(), pid))
        })
        .expect("a service");
    let ask = "__import__('sys').modules['mitogen.core'].router.context_by_id(0).call_service('pids', 'get')";
    let answer: (String, u32) = asker.call("builtins:eval", (ask,)).expect("an answer");
    assert_eq!(answer, ("get".to_owned(), pid));
    drop(service);
    router.shutdown().expect("a shutdown");
}

#[test]
fn inside_a_runtime_it_waits_and_does_not_panic() {
    let outer = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    outer.block_on(async {
        let router = Router::new().expect("a router");
        let context = router.connect(Local::new()).expect("a context");
        let here: u32 = context.call("os.getpid", ()).expect("a pid");
        let other = context.clone();
        let there = tokio::task::spawn_blocking(move || other.call::<u32>("os.getpid", ())).await;
        assert_eq!(there.expect("no panic").expect("a pid"), here);
        router.shutdown().expect("a shutdown");
    });
}
