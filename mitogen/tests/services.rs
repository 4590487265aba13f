//! Services and handlers of this program, asked by contexts.

mod common;

use common::{connect, define, interpreters};
use mitogen::{Call, Context, Error, Handle, Incoming, Local, Policy, RemoteError, Request, Router, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const USER: &str = r"
import mitogen.core
from mitogen.core import takes_econtext

@takes_econtext
def ask(service, method, args, econtext):
    args = mitogen.core.Kwargs(args)
    return econtext.router.context_by_id(0).call_service(service, method, **args)

@takes_econtext
def flood(service, count, econtext):
    master = econtext.router.context_by_id(0)
    receivers = [master.call_service_async(service, 'x') for _ in range(count)]
    failed = 0
    for receiver in receivers:
        try:
            receiver.get().unpickle()
        except mitogen.core.CallError:
            failed += 1
    return failed

@takes_econtext
def message(handle, value, econtext):
    msg = mitogen.core.Message.pickled(value, handle=handle)
    return econtext.router.context_by_id(0).send_await(msg)

@takes_econtext
def offer(econtext):
    def answer(msg):
        msg.reply(msg.unpickle())
    econtext.router.add_handler(answer, 110)
";

async fn user_context(router: &Router, python: &std::path::Path) -> Context {
    let context = connect(router, python).await;
    define(&context, "user", USER).await;
    context
}

async fn ask(context: &Context, service: &str, method: &str, args: &[(&str, Value)]) -> Result<Value, Error> {
    let args: std::collections::BTreeMap<&str, &Value> = args.iter().map(|(k, v)| (*k, v)).collect();
    context.call("user.ask", (service, method, args)).await
}

fn error_of(result: Result<Value, Error>) -> String {
    match result.expect_err("it is refused") {
        Error::Call(error) => format!("{}: {}", error.type_name, error.message),
        other => panic!("{other:?}"),
    }
}

async fn arithmetic(request: Request) -> Result<i64, RemoteError> {
    match request.method() {
        "add" => Ok(request.arg::<i64>("a")? + request.arg::<Option<i64>>("b")?.unwrap_or(1)),
        "fail" => Err(RemoteError::new("builtins.KeyError", "no such thing")),
        "panic" => panic!("on purpose: this test wants to see what the asker gets"),
        "early" => {
            request.answer("first")?;
            Ok(2)
        }
        other => Err(request.unknown_method(other)),
    }
}

#[tokio::test]
async fn contexts_at_any_depth_ask_services_on_every_python() {
    let router = Router::new().expect("a router");
    router.serve("arithmetic", Policy::anyone(), arithmetic).expect("a service").keep();
    for python in interpreters() {
        let parent = user_context(&router, &python).await;
        let child = parent.connect(Local::new().python(python.to_string_lossy())).await.expect("a child");
        define(&child, "user", USER).await;
        for context in [&parent, &child] {
            let args = [("a", Value::from(2)), ("b", Value::from(40))];
            assert_eq!(ask(context, "arithmetic", "add", &args).await.expect("a sum"), Value::from(42));
            let sum = ask(context, "arithmetic", "add", &args[..1]).await;
            assert_eq!(sum.expect("a default"), Value::from(3));
            let first = ask(context, "arithmetic", "early", &[]).await.expect("an answer");
            assert_eq!(first.as_str(), Some("first"));
        }
        let missing = error_of(ask(&child, "arithmetic", "add", &[]).await);
        assert!(missing.contains("Required argument \"a\" missing."), "{missing}");
        let wrong = error_of(ask(&child, "arithmetic", "add", &[("a", Value::from("x"))]).await);
        assert!(wrong.contains("Argument \"a\" type incorrect"), "{wrong}");
        let failed = error_of(ask(&child, "arithmetic", "fail", &[]).await);
        assert!(failed.contains("builtins.KeyError: no such thing"), "{failed}");
        let unknown = error_of(ask(&child, "arithmetic", "nope", &[]).await);
        assert!(unknown.contains("No such method: \"nope\""), "{unknown}");
        let nobody = error_of(ask(&child, "nobody", "x", &[]).await);
        assert!(nobody.contains("not activated"), "{nobody}");
        parent.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_handler_that_panics_costs_its_asker_an_error_and_nobody_else() {
    let (router, context) = common::one_context().await;
    define(&context, "user", USER).await;
    let _service = router.serve("arithmetic", Policy::anyone(), arithmetic).expect("a service");
    let panicked = error_of(ask(&context, "arithmetic", "panic", &[]).await);
    assert!(panicked.contains("without an answer"), "{panicked}");
    let sum = ask(&context, "arithmetic", "add", &[("a", Value::from(1))]).await;
    assert_eq!(sum.expect("a sum"), Value::from(2));
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_policy_says_who_may_ask() {
    let router = Router::new().expect("a router");
    let parent = router.connect(Local::new().name("web1")).await.expect("a context");
    let child = parent.connect(Local::new()).await.expect("a context");
    let other = router.connect(Local::new()).await.expect("a context");
    let all = [&parent, &child, &other];
    for context in all {
        define(context, "user", USER).await;
    }
    let policies = [
        ("anyone", Policy::anyone(), [true, true, true]),
        ("us", Policy::this_program(), [false, false, false]),
        ("children", Policy::children(), [true, false, true]),
        ("below", Policy::subtree(&parent), [true, true, false]),
        (
            "named",
            Policy::when(|caller| caller.context().is_some_and(|context| context.name() == "web1")),
            [true, false, false],
        ),
    ];
    for (name, policy, who) in policies {
        let at = router
            .serve_at(None, policy.clone(), |incoming: Incoming| async move { Ok(incoming.from().0) })
            .expect("a handler");
        let service =
            router.serve(name, policy, |request| async move { Ok(request.from().0) }).expect("a service");
        assert!(matches!(
            router.serve(name, Policy::anyone(), arithmetic),
            Err(Error::NameTaken { name: taken }) if taken == name
        ));
        for (context, allowed) in all.into_iter().zip(who) {
            let got = ask(context, name, "x", &[]).await;
            let reached = context.call::<Value>("user.message", (at.address().handle.0, 1)).await;
            if allowed {
                assert_eq!(got.expect(name), Value::from(u64::from(context.id().0)));
                assert_eq!(reached.expect(name), Value::from(u64::from(context.id().0)));
            } else {
                let refused = error_of(got);
                assert!(refused.contains("Caller is not authorized to invoke \"x\" of service"), "{refused}");
                let refused = error_of(reached);
                assert!(refused.contains("refused by policy"), "{refused}");
            }
        }
        drop((service, at));
        assert!(error_of(ask(&parent, name, "x", &[]).await).contains("not activated"));
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_caller_has_so_many_requests_at_once_and_others_do_not_wait_for_it() {
    let router = Router::new().expect("a router");
    let busy = router.connect(Local::new()).await.expect("a context");
    let calm = router.connect(Local::new()).await.expect("a context");
    define(&busy, "user", USER).await;
    define(&calm, "user", USER).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let id = busy.id();
    let (seen, doors) = (Arc::clone(&most), Arc::clone(&gate));
    let handler = move |request: Request| {
        let (running, most, gate) = (Arc::clone(&running), Arc::clone(&seen), Arc::clone(&doors));
        async move {
            if request.from() == id {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.expect("it is never closed").forget();
                running.fetch_sub(1, Ordering::SeqCst);
            }
            Ok(())
        }
    };
    let service = router.serve("gate", Policy::anyone(), handler).expect("a service");
    let flood = busy.start::<u32>(Call::new("user.flood").arg("gate").arg(5000));
    while most.load(Ordering::SeqCst) < 32 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ask(&calm, "gate", "x", &[]).await.expect("others are served");
    gate.add_permits(5000);
    let refused = flood.await.expect("all were answered");
    assert_eq!(most.load(Ordering::SeqCst), 32);
    assert!(refused <= 5000 - 4096, "{refused}");
    drop(service);
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn services_of_contexts_are_asked_from_here() {
    let router = Router::new().expect("a router");
    for python in interpreters() {
        let context = user_context(&router, &python).await;
        let refused = context.call_service::<Value>("thing", "get", ()).await.expect_err("not yet");
        assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
        let () = context.call("user.offer", ()).await.expect("it is offered");
        let args = std::collections::BTreeMap::from([("key", 5)]);
        let answer: (String, String, std::collections::BTreeMap<String, u32>) =
            context.call_service("thing", "get", &args).await.expect("an answer");
        assert_eq!(answer, ("thing".to_owned(), "get".to_owned(), [("key".to_owned(), 5)].into()));
        let unnamed = context.call_service::<Value>("thing", "get", (1, 2)).await.expect_err("no names");
        assert!(matches!(unnamed, Error::Encode { .. }), "{unnamed:?}");
        context.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_closed_router_has_no_services() {
    let router = Router::new().expect("a router");
    let service = router.serve("arithmetic", Policy::anyone(), arithmetic).expect("a service");
    let at =
        router.serve_at(Some(Handle(9_000_000)), Policy::anyone(), |_| async { Ok(()) }).expect("a handler");
    assert_eq!(at.address().handle, Handle(9_000_000));
    router.shutdown().await.expect("a shutdown");
    assert!(matches!(router.serve("more", Policy::anyone(), arithmetic), Err(Error::Closed)));
    drop((service, at));
}
