//! User code in contexts that acts on its own: starts contexts, sends to siblings, follows a file.

mod common;

use common::{connect, define, interpreters, wait_dead};
use mitogen::{Address, Call, Context, ContextRef, Custom, Error, Local, Router, Value};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// For any Python from 2.7 on.
const USER: &str = r"
import os, time
import mitogen.core
from mitogen.core import takes_router

@takes_router
def spawn(python, router):
    child = router.local(python_path=python)
    return child, child.call(os.getpid)

@takes_router
def spawn_deep(pythons, router):
    made = []
    for python in pythons:
        made.append(router.local(python_path=python, via=made and made[-1] or None))
    return made

def end(child):
    child.shutdown(wait=True)

def call(context):
    try:
        return context.call(os.getpid)
    except mitogen.core.Error as exc:
        return str(exc)

@takes_router
def receive(router):
    global receiver
    receiver = mitogen.core.Receiver(router)
    return receiver.to_sender()

def received():
    return receiver.get(10).unpickle()

def send(sender, value):
    sender.send(value)

def back(thing):
    return thing, [thing]

@takes_router
def reach(sender, router):
    '''Whether a sibling can be reached: it answers to no such handle, or somebody on the way forbids it.'''
    try:
        router.context_by_id(sender.context.context_id).send_await(mitogen.core.Message(handle=77777))
    except mitogen.core.ChannelError as exc:
        return str(exc)

def tail(sender, path):
    size = 0
    while os.path.exists(path):
        grown = os.path.getsize(path)
        if grown > size:
            with open(path) as fp:
                fp.seek(size)
                sender.send(mitogen.core.to_text(fp.read(grown - size)))
            size = grown
        time.sleep(.01)
    sender.close()
";

async fn user_context(router: &Router, python: &Path) -> Context {
    let context = connect(router, python).await;
    define(&context, "user", USER).await;
    context
}

async fn pid(context: &Context) -> u32 {
    context.call("os.getpid", ()).await.unwrap_or_else(|error| panic!("{}: {error}", context.target()))
}

#[tokio::test]
async fn user_code_starts_contexts_of_its_own_on_every_python() {
    let router = Router::new().expect("a router");
    let pythons = interpreters();
    for (at, python) in pythons.iter().enumerate() {
        let parent = user_context(&router, python).await;
        let leaf = pythons[pythons.len() - 1 - at].to_string_lossy().into_owned();
        let (made, its_pid): (ContextRef, u32) = parent.call("user.spawn", (leaf,)).await.expect("a child");
        let child = router.resolve(&made).expect("its route came before the answer");
        assert_eq!(pid(&child).await, its_pid);
        assert_eq!(child.parent(), Some(parent.clone()));
        assert_eq!((child.name(), child.target().as_str()), ("local.local", "local/local"));
        let () = parent.call("user.end", (&child,)).await.expect("it ends");
        wait_dead(its_pid, Duration::from_secs(2));
        let error = child.call::<Value>("os.getpid", ()).await.expect_err("it is gone");
        assert!(matches!(error, Error::Lost { .. }), "{error:?}");
        parent.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn user_code_starts_contexts_behind_each_other() {
    let router = Router::new().expect("a router");
    let pythons = interpreters();
    let parent = user_context(&router, &pythons[0]).await;
    let wanted: Vec<_> =
        pythons.iter().rev().cycle().take(3).map(|python| python.to_string_lossy()).collect();
    let made: Vec<ContextRef> = parent.call("user.spawn_deep", (wanted,)).await.expect("three");
    let made: Vec<_> = made.iter().map(|made| router.resolve(made).expect("it is known")).collect();
    assert_eq!(made[2].target(), "local/local/local/local");
    assert_eq!(made[2].parent().as_ref(), Some(&made[1]));
    let last = pid(&made[2]).await;
    // What the controller starts behind it is no different.
    let ours = made[2].connect(Local::new()).await.expect("a context");
    pid(&ours).await;
    made[1].shutdown().await.expect("a shutdown");
    wait_dead(last, Duration::from_secs(5));
    assert_eq!(router.contexts(), [parent, made[0].clone()]);
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn siblings_send_to_each_other_across_branches() {
    let router = Router::new().expect("a router");
    let pythons = interpreters();
    let (left, right) =
        (connect(&router, &pythons[0]).await, connect(&router, pythons.last().expect("one")).await);
    for (a, b) in [(&left, &left), (&left, &right), (&right, &left)] {
        let (a, b) =
            (a.connect(Local::new()).await.expect("one"), b.connect(Local::new()).await.expect("two"));
        for context in [&a, &b] {
            define(context, "user", USER).await;
        }
        let sender: Address = a.call("user.receive", ()).await.expect("a sender");
        assert_eq!(sender.context, a.id());
        let () = b.call("user.send", (sender, ("from", b.id().0))).await.expect("it leaves");
        let got: (String, u32) = a.call("user.received", ()).await.expect("it came");
        assert_eq!(got, ("from".to_owned(), b.id().0));
        // From here, to where a call's result leads.
        router.sender(sender).send(7).await.expect("it leaves");
        assert_eq!(a.call::<u32>("user.received", ()).await.expect("it came"), 7);
        // Calls are for those above: trust flows down.
        let refused: String = b.call("user.call", (&a,)).await.expect("a text");
        assert_eq!(refused, "refused by policy");
        assert!(left.call::<Value>("os.getpid", ()).await.is_ok());
        for context in [a, b] {
            context.shutdown().await.expect("a shutdown");
        }
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn contexts_and_senders_travel_both_ways_as_what_they_are() {
    let router = Router::new().expect("a router");
    let mut receiver = router.receiver().expect("a receiver");
    for python in interpreters() {
        let context = user_context(&router, &python).await;
        let (one, list): (ContextRef, Vec<ContextRef>) =
            context.call("user.back", (&context,)).await.expect("a context");
        assert_eq!((one.id, &list[..]), (context.id(), &[one.clone()][..]));
        assert_eq!(router.resolve(&one), Some(context.clone()));
        // The reference is an argument as well.
        let (same, _): (ContextRef, Value) = context.call("user.back", (&one,)).await.expect("a context");
        assert_eq!(same.id, one.id);
        let (sender, _): (Address, Value) =
            context.call("user.back", (receiver.sender(),)).await.expect("a sender");
        assert_eq!(sender, receiver.sender().address());
        let () = context.call("user.send", (sender, &context)).await.expect("it leaves");
        assert_eq!(receiver.recv::<ContextRef>().await.expect("a context").id, context.id());
        context.shutdown().await.expect("a shutdown");
        assert_eq!(router.resolve(&one), None);
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn one_way_trees_let_siblings_reach_nobody() {
    for one_way in [false, true] {
        let router = Router::builder().unidirectional(one_way).build().expect("a router");
        let python = interpreters().pop().expect("at least one");
        let mut leaves = Vec::new();
        let parents = [connect(&router, &python).await, connect(&router, &python).await];
        for parent in [&parents[0], &parents[0], &parents[1]] {
            let leaf = parent.connect(Local::new()).await.expect("a leaf");
            define(&leaf, "user", USER).await;
            leaves.push(leaf);
        }
        // The one is stopped by their common parent, the other by the controller.
        for other in &leaves[1..] {
            let address = Address { context: other.id(), handle: mitogen::Handle(77777) };
            let answer: String = leaves[0].call("user.reach", (address,)).await.expect("a text");
            if one_way {
                assert!(answer.starts_with("routing mode prevents forward of message"), "{answer}");
            } else {
                assert_eq!(answer, "invalid handle");
            }
        }
        // Up and down is free.
        let mut receiver = router.receiver().expect("a receiver");
        let () = leaves[0].call("user.send", (receiver.sender(), 5)).await.expect("it leaves");
        assert_eq!(receiver.recv::<u32>().await.expect("it came"), 5);
        router.shutdown().await.expect("a shutdown");
    }
}

#[tokio::test]
async fn every_wiring_carries_a_context_at_any_depth() {
    let router = Router::new().expect("a router");
    let pythons = interpreters();
    for (at, outer) in [&pythons[0], pythons.last().expect("one")].into_iter().enumerate() {
        let parent = connect(&router, outer).await;
        let mut deepest = parent.clone();
        let wirings = [
            Custom::new("env", ["MARK=pipes"]).pipes(),
            Custom::new("env", ["MARK=merged"]).merged(),
            Custom::new("env", ["MARK=pty"]).terminal(),
        ];
        for (level, method) in wirings.into_iter().enumerate() {
            let python = &pythons[(at + level) % pythons.len()];
            let method = method.python(python.to_string_lossy());
            deepest = deepest.connect(method).await.unwrap_or_else(|error| panic!("{error}"));
            let mark: String = deepest.call("os.getenv", ("MARK",)).await.expect("a mark");
            assert_eq!(mark, ["pipes", "merged", "pty"][level]);
        }
        assert_eq!(deepest.target(), "local/custom:env/custom:env/custom:env");
        // Every byte survives, in both directions.
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).chain(0..=255).collect();
        let value = Value::Bytes(bytes.into());
        let back: Value = deepest.call("copy.copy", (&value,)).await.expect("bytes");
        assert_eq!(back.as_bytes(), value.as_bytes());
        let process = pid(&deepest).await;
        parent.shutdown().await.expect("a shutdown");
        wait_dead(process, Duration::from_secs(5));
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_channel_follows_a_file() {
    let router = Router::new().expect("a router");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    for python in interpreters() {
        let context = user_context(&router, &python).await;
        let mut file = std::fs::File::create(&path).expect("a file");
        let mut receiver = router.receiver().expect("a receiver");
        let tail: mitogen::PendingCall<()> =
            context.start(Call::new("user.tail").arg(receiver.sender()).arg(path.to_str()));
        for round in 0..3 {
            let line = format!("line {round}\n");
            file.write_all(line.as_bytes()).expect("written");
            assert_eq!(receiver.recv::<String>().await.expect("what was added"), line);
        }
        std::fs::remove_file(&path).expect("removed");
        let end = receiver.recv::<Value>().await.expect_err("the end of the file is the end of the channel");
        assert!(
            matches!(&end, Error::ChannelClosed { context: from, .. } if from.id == context.id()),
            "{end:?}"
        );
        tail.await.expect("it returned");
        context.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}
