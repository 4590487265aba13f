//! Contexts behind contexts: any method on any context, and the end of each is known everywhere.

mod common;

use common::{interpreters, wait_dead, wait_gone};
use mitogen::{Call, Context, Custom, Error, Event, FailureKind, Local, LostReason, Phase, Router, Value};
use std::path::Path;
use std::time::{Duration, Instant};

fn local(python: &Path) -> Local {
    Local::new().python(python.to_string_lossy())
}

async fn pid(context: &Context) -> u32 {
    context.call("os.getpid", ()).await.unwrap_or_else(|error| panic!("{}: {error}", context.target()))
}

/// One context behind the other, each under the next of the interpreters.
async fn chain(router: &Router, depth: usize) -> Vec<Context> {
    let pythons = interpreters();
    let mut chain = vec![common::connect(router, &pythons[0]).await];
    for level in 1..depth {
        // Old and new in turns: 2.7, 3.13, 3.6, 3.12...
        let step = level / 2 % pythons.len();
        let at = if level % 2 == 0 { step } else { pythons.len() - 1 - step };
        let context = chain[level - 1].connect(local(&pythons[at])).await;
        chain.push(context.unwrap_or_else(|error| panic!("level {level}: {error}")));
    }
    chain
}

#[tokio::test]
async fn a_tree_five_deep_answers_and_goes() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 5).await;
    let mut pids = Vec::new();
    for context in &contexts {
        pids.push(pid(context).await);
    }
    let leaf = &contexts[4];
    assert_eq!(leaf.target(), ["local"; 5].join("/"));
    assert_eq!(leaf.name(), ["local"; 5].join("."));
    assert_eq!(leaf.parent().as_ref(), Some(&contexts[3]));
    assert_eq!(contexts[0].parent(), None);
    assert_eq!(leaf.call::<u32>("os.getppid", ()).await.expect("a pid"), pids[3]);
    assert_eq!(router.contexts(), contexts);
    let output = leaf.exec(mitogen::Command::new("echo").arg("x")).await.expect("a deferred module");
    assert_eq!(&output.stdout[..], b"x\n");
    router.shutdown().await.expect("a shutdown");
    for pid in pids {
        wait_dead(pid, Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_wrong_interpreter_at_depth_reads_as_one_here() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 2).await;
    let wrong = || Local::new().python("/nonexistent/python");
    let Err(Error::Connect(here)) = router.connect(wrong()).await else { panic!("it connected") };
    let Err(Error::Connect(there)) = contexts[1].connect(wrong()).await else { panic!("it connected") };
    assert_eq!((there.phase, &there.kind), (Phase::Interpreter, &FailureKind::Exec));
    assert_eq!((there.phase, &there.kind, there.exit), (here.phase, &here.kind, here.exit));
    assert_eq!((&there.hop, &there.argv, &there.hint), (&here.hop, &here.argv, &here.hint));
    assert_eq!(there.last_lines, here.last_lines);
    assert_eq!((there.via.as_deref(), &here.via), (Some("local.local"), &None));
    pid(&contexts[1]).await;
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn an_intermediate_that_is_killed_takes_its_subtree_along() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 4).await;
    let other = contexts[0].connect(Local::new()).await.expect("a sibling");
    let mut pids = Vec::new();
    for context in &contexts {
        pids.push(pid(context).await);
    }
    let calls: Vec<_> =
        contexts[1..].iter().map(|c| c.start::<Value>(Call::new("time.sleep").arg(60))).collect();
    let start = Instant::now();
    std::process::Command::new("kill").args(["-KILL", &pids[1].to_string()]).status().expect("kill");
    for call in calls {
        let error = call.await.expect_err("it is gone");
        assert!(matches!(&error, Error::Lost { hop, .. } if hop == "local"), "{error:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    for &pid in &pids[1..] {
        wait_dead(pid, Duration::from_secs(2));
    }
    assert_eq!(router.contexts(), [contexts[0].clone(), other.clone()]);
    let error = contexts[3].call::<Value>("os.getpid", ()).await.expect_err("still gone");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    pid(&other).await;
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_neighbour_that_is_killed_is_named_by_what_was_behind_it() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 2).await;
    let first = pid(&contexts[0]).await;
    let call = contexts[1].start::<Value>(Call::new("time.sleep").arg(60));
    std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().expect("kill");
    match call.await.expect_err("it is gone") {
        Error::Lost { context, reason: LostReason::Behind { context: culprit, .. }, .. } => {
            assert_eq!((context.id, culprit.id), (contexts[1].id(), contexts[0].id()));
        }
        error => panic!("{error:?}"),
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_context_behind_others_can_be_shut_down_alone() {
    let router = Router::new().expect("a router");
    let mut events = router.events();
    let contexts = chain(&router, 3).await;
    let last = pid(&contexts[2]).await;
    let sleeping = contexts[2].start::<Value>(Call::new("time.sleep").arg(60));
    contexts[2].shutdown().await.expect("a shutdown");
    // Its parent reaps it.
    wait_gone(last, Duration::from_secs(2));
    let error = sleeping.await.expect_err("it is gone");
    assert!(matches!(error, Error::Lost { reason: LostReason::ShutDown, .. }), "{error:?}");
    assert_eq!(router.contexts(), contexts[..2]);
    let mut connected = Vec::new();
    loop {
        match events.next().await.expect("an event") {
            Event::Connected { context, parent } => connected.push((context.id, parent.0)),
            Event::Lost { context, .. } => {
                assert_eq!(context.id, contexts[2].id());
                break;
            }
            _ => {}
        }
    }
    let ids: Vec<_> = contexts.iter().map(Context::id).collect();
    assert_eq!(connected, [(ids[0], 0), (ids[1], ids[0].0), (ids[2], ids[1].0)]);
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn an_abandoned_attempt_leaves_nothing_behind() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 1).await;
    // Loads what the first attempt would.
    contexts[0].connect(Local::new()).await.expect("a context").shutdown().await.expect("a shutdown");
    for delay in [0, 5, 15, 30, 60] {
        let attempt = contexts[0].connect(Local::new());
        let _ = tokio::time::timeout(Duration::from_millis(delay), attempt).await;
    }
    let start = Instant::now();
    loop {
        // Those that won the race are ours to end.
        for context in &router.contexts()[1..] {
            context.shutdown().await.expect("a shutdown");
        }
        let children: String = contexts[0]
            .call("subprocess.getoutput", (format!("pgrep -c -P {} || true", pid(&contexts[0]).await),))
            .await
            .unwrap_or_else(|_| "1".to_owned());
        // pgrep's own shell is a child.
        if children.trim() == "1" && router.contexts().len() == 1 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{children} children");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn an_attempt_that_is_dropped_is_ended_where_it_is_made() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 2).await;
    let folder = tempfile::tempdir().expect("a folder");
    for (at, context) in contexts.iter().enumerate() {
        let path = folder.path().join(at.to_string());
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 300", path.display());
        let attempt = context.connect(Custom::new("sh", ["-c", &script]));
        let written = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            result = attempt => panic!("{result:?}"),
            () = written => {}
        }
        let tool = std::fs::read_to_string(&path).expect("a pid").trim().parse().expect("a pid");
        // Much less than the thirty seconds that the attempt had.
        wait_dead(tool, Duration::from_secs(5));
        pid(context).await;
    }
    router.shutdown().await.expect("a shutdown");
}

/// Whether some attempt to start a context is under way there.
const BUSY: &str = "not hasattr(__import__('mitogen').econtext.broker, 'births') \
    or bool(__import__('mitogen').econtext.broker.births)";

#[tokio::test]
async fn an_attempt_that_is_dropped_before_its_context_can_have_children_is_ended() {
    let router = Router::new().expect("a router");
    for python in [interpreters().remove(0), interpreters().pop().expect("one")] {
        let parent = common::connect(&router, &python).await;
        let parent_pid = pid(&parent).await;
        // Its plan has left, its end comes right behind.
        tokio::select! {
            biased;
            result = parent.connect(Custom::new("sleep", ["300"])) => panic!("{result:?}"),
            () = std::future::ready(()) => {}
        }
        let eval =
            if python.to_string_lossy().contains("2.7") { "__builtin__:eval" } else { "builtins:eval" };
        let start = Instant::now();
        loop {
            let busy: bool = parent.call(eval, (BUSY,)).await.expect("a truth");
            let children = std::fs::read_to_string(format!("/proc/{parent_pid}/task/{parent_pid}/children"));
            if !busy && children.is_ok_and(|children| children.trim().is_empty()) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "the attempt goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn fifty_contexts_four_deep_come_and_go() {
    let router = Router::new().expect("a router");
    let python = interpreters().pop().expect("at least one");
    let mut level = vec![common::connect(&router, &python).await];
    // 1 + 2 + 8 + 39
    for width in [2, 8, 39] {
        let next = (0..width).map(|at| {
            let parent = level[at % level.len()].clone();
            let method = local(&python).connect_timeout(Duration::from_secs(60));
            tokio::spawn(async move { parent.connect(method).await })
        });
        let mut contexts = Vec::new();
        for attempt in next.collect::<Vec<_>>() {
            contexts.push(attempt.await.expect("no panic").expect("a context"));
        }
        level = contexts;
    }
    let all = router.contexts();
    assert_eq!(all.len(), 50);
    let mut select = mitogen::Select::new();
    for context in &all {
        select.add(context.id(), context.start::<u32>(Call::new("os.getpid")));
    }
    let mut pids = Vec::new();
    while let Some((_, pid)) = select.next().await {
        pids.push(pid.expect("a pid"));
    }
    assert_eq!(pids.len(), 50);
    let start = Instant::now();
    router.shutdown().await.expect("a shutdown");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for pid in pids {
        wait_dead(pid, Duration::from_secs(2));
    }
}

/// Asks the controller for a plan, as a context does that starts another on its own account.
const ASK: &str = "(lambda core, box: (core.router.add_handler(box.append, 5555, False), \
    core.router.route(core.Message.pickled((u'METHOD', core.Kwargs({})), dst_id=0, handle=201, reply_to=5555)), \
    __import__('time').sleep(.3), box[0].unpickle())[3])(__import__('sys').modules['mitogen.core'], [])";

#[tokio::test]
async fn a_context_is_given_plans_for_children_of_its_own() {
    let router = Router::new().expect("a router");
    let contexts = chain(&router, 1).await;
    let asker = contexts[0].connect(Local::new()).await.expect("a context");
    let plan: Value = asker.call("builtins:eval", (ASK.replace("METHOD", "local"),)).await.expect("a plan");
    let get = |key| plan.get(key).unwrap_or_else(|| panic!("no {key} in {plan:?}"));
    assert!(get("id").as_u64().is_some_and(|id| id > u64::from(asker.id().0)));
    assert_eq!(get("name").as_str(), Some("local.local.local"));
    let tail = String::from_utf8_lossy(get("tail").as_bytes().expect("bytes")).into_owned();
    assert!(tail.contains(&format!("[{},{},0]", asker.id(), contexts[0].id())), "{tail}");
    let error = asker.call::<Value>("builtins:eval", (ASK.replace("METHOD", "nope"),)).await;
    assert!(
        matches!(&error, Err(Error::Call(e)) if e.message.contains("there is no method `nope`")),
        "{error:?}"
    );
    router.shutdown().await.expect("a shutdown");
}
