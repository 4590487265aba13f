//! Receivers, senders, selects and chains, with real contexts at the other end.

mod common;

use common::{connect, interpreters};
use futures_util::FutureExt;
use mitogen::{Access, Address, Call, Channel, Error, Event, Handle, Local, Router, Select, Value};
use serde::Serialize;
use std::time::Duration;

/// Has a context send a value to a receiver of which it is given the sender.
fn send(sender: &mitogen::Sender, value: impl Serialize) -> Call {
    Call::new("mitogen.core:Sender.send").arg(sender).arg(value)
}

#[tokio::test]
async fn many_senders_fan_into_one_receiver() {
    let router = Router::new().expect("a router");
    let mut receiver = router.receiver().expect("a receiver");
    let sender = receiver.sender();
    let mut expected = 0;
    for python in interpreters() {
        let context = connect(&router, &python).await;
        for i in 0..5u32 {
            context.send(send(&sender, (context.id().0, i))).expect("it leaves");
            expected += 1;
        }
        // What a context got comes back as what it was.
        let address: Address = context.call("copy.copy", (&sender,)).await.expect("a sender");
        assert_eq!(address, sender.address());
        router.sender(address).send((context.id().0, 5)).await.expect("it leaves");
        expected += 1;
    }
    let mut last = std::collections::BTreeMap::new();
    for _ in 0..expected {
        let (id, i): (u32, u32) = receiver.recv().await.expect("a pair");
        assert!(last.insert(id, i).is_none_or(|before| before < i));
    }
    router.shutdown().await.expect("a shutdown");
    assert!(matches!(receiver.recv::<Value>().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_closed_sender_is_told_and_ends_nothing_else() {
    let (router, context) = common::one_context().await;
    let mut channel = Channel::new(router.receiver().expect("a receiver"), context.sender(Handle(4000)));
    let sender = channel.receiver.sender();
    context.call::<()>("mitogen.core:Sender.close", (&sender,)).await.expect("closed");
    match channel.recv::<Value>().await {
        Err(Error::ChannelClosed { context: label, .. }) => assert_eq!(label.id, context.id()),
        other => panic!("{other:?}"),
    }
    context.send(send(&sender, "still")).expect("it leaves");
    assert_eq!(channel.recv::<String>().await.expect("text"), "still");
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_select_gives_results_as_they_come() {
    let router = Router::new().expect("a router");
    let slow = router.connect(Local::new()).await.expect("a context");
    let fast = router.connect(Local::new()).await.expect("a context");
    let receiver = router.receiver().expect("a receiver");
    let sender = receiver.sender();
    let mut select: Select<'_, &str, Value> = Select::new();
    select.add("slow", slow.start(Call::new("time.sleep").arg(0.5)));
    let mut inner = Select::new();
    inner.add("fast", fast.start(Call::new("os.getpid")));
    inner.add("bad", fast.start(Call::new("os.listdir").arg("/nonexistent")));
    select.add_select(inner);
    select.add_receiver("mail", receiver);
    // Nothing is lost with a future that is dropped.
    assert!(select.next().now_or_never().is_none(), "nobody has run yet who could have brought a result");
    sender.send(1).await.expect("it leaves");
    let mut order = Vec::new();
    for _ in 0..4 {
        let (key, result) = select.next().await.expect("four results");
        order.push((key, result.is_ok()));
    }
    assert_eq!(order.pop(), Some(("slow", true)));
    order.sort_unstable();
    assert_eq!(order, [("bad", false), ("fast", true), ("mail", true)]);
    assert_eq!(select.len(), 1, "the receiver stays");
    router.shutdown().await.expect("a shutdown");
    let (key, end) = select.next().await.expect("the receiver's end");
    assert!(key == "mail" && matches!(end, Err(Error::Closed)));
    assert!(select.next().await.is_none());
}

#[tokio::test]
async fn a_failure_cancels_the_rest_of_its_chain() {
    let router = Router::new().expect("a router");
    for python in interpreters() {
        let context = connect(&router, &python).await;
        let (first, second) = (context.chain(), context.chain());
        first.send(Call::new("os.chdir").arg("/")).expect("it leaves");
        first.send(Call::new("os.listdir").arg("/nonexistent")).expect("it leaves");
        first.send(Call::new("os.chdir").arg("/usr")).expect("it leaves");
        let error = first.call::<String>("os.getcwd", ()).await.expect_err("an earlier call failed");
        assert!(matches!(&error, Error::Call(e) if e.message.contains("nonexistent")), "{error:?}");
        let here: String = second.call("os.getcwd", ()).await.expect("another chain");
        assert_eq!(here, "/", "what came behind the failure did not run");
        first.reset().expect("it leaves");
        assert_eq!(first.call::<String>("os.getcwd", ()).await.expect("a new start"), "/");
        context.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_handle_serves_those_who_have_access() {
    let router = Router::new().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    let handle = Handle(1_000_000);
    let mut open = router.receiver_at(handle, Access::Anyone).expect("a free handle");
    assert!(matches!(
        router.receiver_at(handle, Access::Anyone),
        Err(Error::HandleTaken { handle: taken }) if taken == handle
    ));
    let mut own = router.receiver_at(Handle(1_000_001), Access::FromParentsOrSelf).expect("a free handle");
    for receiver in [&open, &own] {
        context.call::<()>("mitogen.core:Sender.send", (receiver.sender(), 1)).await.expect("sent");
    }
    assert_eq!(open.next().await.expect("a message").from(), context.id());
    let refused = tokio::time::timeout(Duration::from_millis(100), own.next()).await;
    assert!(refused.is_err(), "a child has no authority here");
    own.sender().send(2).await.expect("it leaves");
    assert_eq!(own.recv::<u32>().await.expect("our own"), 2);
    drop(open);
    open = router.receiver_at(handle, Access::Anyone).expect("free again");
    drop(open);
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn events_tell_what_happens() {
    let router = Router::new().expect("a router");
    let mut events = router.events();
    let context = router.connect(Local::new()).await.expect("a context");
    context.shutdown().await.expect("a shutdown");
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(match events.next().await.expect("an event") {
            Event::RouteAdded { context: id, via } if id == via => "route added",
            Event::Connected { context: label, .. } if label.id == context.id() => "connected",
            Event::RouteRemoved { .. } => "route removed",
            Event::Lost { reason: mitogen::LostReason::ShutDown, .. } => "lost",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(seen, ["route added", "connected", "route removed", "lost"]);
    router.shutdown().await.expect("a shutdown");
    drop((router, context));
    assert!(events.next().await.is_none());
}
