//! Too much of everything.

use crate::common;
use crate::stage::{Stage, memory};
use mitogen::{Access, Call, Error, Handle, Local, LostReason, Router, Value};
use std::time::{Duration, Instant};

/// How much this process's memory may grow for a hostile child. Tests of this file run side by side.
const BUDGET: usize = 400 << 20;

/// Calls the bystander until the deed is done; how long the slowest of them took.
async fn meanwhile(stage: &Stage, deed: mitogen::PendingCall<Value>) -> (Result<Value, Error>, Duration) {
    let mut slowest = Duration::ZERO;
    tokio::pin!(deed);
    loop {
        let start = Instant::now();
        let call = async {
            let _: u32 = stage.bystander.call("os.getpid", ()).await.expect("the bystander works");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        tokio::select! {
            result = &mut deed => return (result, slowest),
            () = call => slowest = slowest.max(start.elapsed()),
        }
    }
}

#[tokio::test]
async fn a_flood_costs_others_little() {
    let stage = Stage::set("flood", &[]).await;
    let before = memory();
    let (result, slowest) = meanwhile(&stage, stage.act()).await;
    result.expect("it is only refused");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(memory() < before + BUDGET, "{} MiB", (memory() - before) >> 20);
    stage.end().await;
}

#[tokio::test]
async fn handles_named_by_a_neighbour_are_not_remembered() {
    let stage = Stage::set("name_many_handles", &[]).await;
    let mut receiver = stage.router.receiver_at(Handle(9_000_000), Access::Anyone).expect("a receiver");
    let reading = tokio::spawn(async move { while receiver.next().await.is_ok() {} });
    let before = memory();
    let (result, slowest) = meanwhile(&stage, stage.act()).await;
    result.expect("it is only answered");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(memory() < before + BUDGET, "{} MiB", (memory() - before) >> 20);
    stage.end().await;
    reading.await.expect("no panic");
}

#[tokio::test]
async fn ids_are_not_given_without_end() {
    let stage = Stage::set("ask_for_ids", &[]).await;
    let (result, _) = meanwhile(&stage, stage.act()).await;
    let given = result.expect("it is only refused").as_u64().expect("a number");
    assert_eq!(given, 65_536, "blocks of a thousand");
    stage.end().await;
}

#[tokio::test]
async fn plans_are_not_given_without_end() {
    let stage = Stage::set("ask_for_plans", &[]).await;
    let (result, _) = meanwhile(&stage, stage.act()).await;
    let errors: Vec<String> = mitogen::from_value(result.expect("it is only refused")).expect("texts");
    assert_eq!(errors.len(), 1, "some are refused: {errors:?}");
    stage.end().await;
}

#[tokio::test]
async fn pickle_bombs_cost_their_message() {
    let bombs = [
        "memo", "dup", "deep", "marks", "long", "text", "frame", "tuples", "puts", "global", "build", "int",
        "error", "empty", "open",
    ];
    let stage = Stage::set("bomb", &bombs).await;
    for bomb in bombs {
        let before = memory();
        let start = Instant::now();
        match stage.act().await {
            Err(Error::Decode { .. }) => {}
            // What is merely large is read, as an error of that text.
            Err(Error::Call(_)) if bomb == "error" => {}
            // A memo is what is put in it, not what its numbers say.
            Ok(Value::None) if bomb == "puts" => {}
            other => panic!("{bomb}: {other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{bomb}: {:?}", start.elapsed());
        assert!(memory() < before + BUDGET, "{bomb}: {} MiB", (memory() - before) >> 20);
        assert!(stage.hostile.is_connected(), "{bomb} cost the link");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_stopped_child_costs_its_link_and_so_much_memory() {
    let router = Router::new().expect("a router");
    let other = router.connect(Local::new()).await.expect("a context");
    let stopped = router.connect(Local::new()).await.expect("a context");
    let pid: u32 = stopped.call("os.getpid", ()).await.expect("a pid");
    std::process::Command::new("kill").args(["-STOP", &pid.to_string()]).status().expect("kill");
    let before = memory();
    let piece = Value::Bytes(vec![0; 1 << 20].into());
    let mut calls = Vec::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..300 {
        calls.push(stopped.start::<Value>(Call::new("len").arg(&piece)));
        calls.push(stopped.start::<Value>(Call::new("copy.copy").arg(&piece)));
        let start = Instant::now();
        let _: u32 = other.call("os.getpid", ()).await.expect("others work");
        slowest = slowest.max(start.elapsed());
    }
    assert!(memory() < before + BUDGET, "{} MiB", (memory() - before) >> 20);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let mut backlog = 0;
    for call in calls {
        match call.await {
            Err(Error::Lost { reason: LostReason::Backlog { .. }, .. }) => backlog += 1,
            // No module in its name.
            Err(Error::BadName { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(backlog, 300);
    router.shutdown().await.expect("a shutdown");
    common::wait_gone(pid, Duration::from_secs(1));
}
