//! Claims to be somebody else, or to speak for others.

use crate::stage::Stage;
use mitogen::{Call, Error, Handle, Local, Policy, Value};
use tracing::Level;

#[tokio::test]
async fn nobody_is_believed_to_be_somebody_else() {
    let stage = Stage::set("claim_sources", &[]).await;
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let service = stage
        .router
        .serve("service", Policy::anyone(), move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { Ok(()) }
        })
        .expect("a service");
    stage.act().await.expect("it is only refused");
    assert!(!stage.log.holds("forged"), "{:?}", stage.log.warnings());
    assert_eq!(stage.log.count(Level::WARN), 1, "the first offence is told, the others are not");
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0);
    drop(service);
    stage.end().await;
}

#[tokio::test]
async fn a_sibling_is_not_its_master() {
    let stage = Stage::set("command_the_bystander", &[]).await;
    let texts: Vec<String> = mitogen::from_value(stage.act().await.expect("answers")).expect("texts");
    for text in texts {
        assert!(["refused by policy", "invalid handle"].contains(&text.as_str()), "{text}");
    }
    stage.end().await;
}

#[tokio::test]
async fn routes_to_others_are_neither_claimed_nor_withdrawn() {
    for deed in ["claim_routes", "delete_routes"] {
        let stage = Stage::set(deed, &[]).await;
        let pid: u32 = stage.bystander.call("os.getpid", ()).await.expect("a pid");
        let sleeping = stage.bystander.start::<Value>(Call::new("time.sleep").arg(0.5));
        stage.act().await.expect("it is only refused");
        assert_eq!(stage.log.count(Level::WARN), 1, "{:?}", stage.log.warnings());
        sleeping.await.expect("what was asked is answered");
        let same: u32 = stage.bystander.call("os.getpid", ()).await.expect("a pid");
        assert_eq!(same, pid);
        stage.end().await;
    }
}

/// Has a context ask for ids, as one does that starts others on its own account.
const ASK_FOR_IDS: &str = "__import__('mitogen.core').core.router.allocate_id()";

#[tokio::test]
async fn what_a_sibling_will_be_given_is_not_claimed_on_the_way_to_it() {
    let stage = Stage::set_behind_the_bystander("claim_what_its_siblings_will_be_given").await;
    stage.act().await.expect("it is only refused");
    // Its parent complains, once.
    stage.check().await;
    assert_eq!(stage.log.count(Level::ERROR), 1, "{:?}", stage.log.warnings());
    let sibling = stage.bystander.connect(Local::new()).await.expect("a sibling");
    let child = sibling.connect(Local::new()).await.expect("a child of it");
    let grandchild = child.connect(Local::new()).await.expect("a child of that");
    let pid: u32 = child.call("os.getpid", ()).await.expect("a pid");
    assert_eq!(grandchild.call::<u32>("os.getppid", ()).await.expect("its parent"), pid);
    // A whole block, given to the child.
    let first: u32 = child.call("builtins:eval", (ASK_FOR_IDS,)).await.expect("an id");
    assert!(first > grandchild.id().0);
    stage.act().await.expect("it is only refused");
    assert_eq!(grandchild.call::<u32>("os.getppid", ()).await.expect("its parent"), pid);
    sibling.shutdown().await.expect("a shutdown");
    stage.end().await;
}

#[tokio::test]
async fn nobody_answers_for_others() {
    let stage = Stage::set("answer_for_others", &[]).await;
    let sleeping = stage.bystander.start::<Value>(Call::new("time.sleep").arg(0.5));
    let pid = stage.bystander.start::<u32>(Call::new("os.getpid"));
    let mut receiver = stage.router.receiver().expect("a receiver");
    let sender = receiver.sender();
    sender.send(1).await.expect("it leaves");
    // Its own call is one of those that it answers.
    let _ = stage.act().await;
    sleeping.await.expect("the true answer");
    pid.await.expect("the true answer");
    let incoming = receiver.next().await.expect("a message");
    assert_eq!((incoming.from().0, incoming.decode::<u32>().ok()), (0, Some(1)));
    assert!(stage.log.count(Level::WARN) <= 1, "{:?}", stage.log.warnings());
    stage.end().await;
}

#[tokio::test]
async fn a_child_does_not_command_its_parent() {
    let stage = Stage::set("call_its_parent", &[]).await;
    let texts: Vec<String> = mitogen::from_value(stage.act().await.expect("answers")).expect("texts");
    assert_eq!(texts, ["invalid handle"; 5]);
    stage.end().await;
}

#[tokio::test]
async fn who_announces_twice_that_it_leaves_is_answered_once() {
    let stage = Stage::set("detach_twice", &[]).await;
    assert_eq!(stage.act().await.expect("an answer"), Value::None);
    assert_eq!(stage.log.count(Level::WARN), 1, "{:?}", stage.log.warnings());
    // It said that it would leave: that is its affair. Its process is no longer ours to end, but its link is.
    let pid = common_pid();
    stage.end().await;
    crate::common::wait_dead(pid, std::time::Duration::from_secs(5));
}

/// The hostile child's process.
fn common_pid() -> u32 {
    let hostile = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains("detach_twice")
    };
    crate::common::children().into_iter().find(hostile).expect("it lives")
}

#[tokio::test]
async fn bodies_that_cannot_be_read_cost_nothing_but_themselves() {
    let stage = Stage::set("bad_bodies", &[]).await;
    stage.act().await.expect("it is only refused");
    assert!(stage.log.count(Level::WARN) <= 1, "{:?}", stage.log.warnings());
    let unknown =
        stage.router.sender(mitogen::Address { context: mitogen::ContextId(99), handle: Handle(1) });
    assert!(matches!(unknown.try_send(1), Err(Error::Lost { .. })));
    stage.end().await;
}
