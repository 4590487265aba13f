//! Functions are called with positional and keyword arguments, and results come back typed.

mod common;

use mitogen::{Call, Error, Value};
use std::collections::BTreeMap;

#[tokio::test]
async fn calls_work_under_every_interpreter() {
    let router = mitogen::Router::new().expect("a router");
    for python in common::interpreters() {
        let name = python.display().to_string();
        let context = common::connect(&router, &python).await;
        let pid: u32 = context.call("os.getpid", ()).await.expect(&name);
        assert!(common::process_exists(pid), "{name}");
        let joined: String = context.call("os.path.join", ("a", "b")).await.expect(&name);
        assert_eq!(joined, "a/b", "{name}");
        let call = Call::new("json.dumps").arg(BTreeMap::from([("b", 1), ("a", 2)])).kwarg("sort_keys", true);
        let text: String = context.start(call).await.expect(&name);
        assert_eq!(text, r#"{"a": 2, "b": 1}"#, "{name}");
        let back: BTreeMap<String, Vec<i64>> =
            context.call("json.loads", (r#"{"a": [1, 2, 4294967296]}"#,)).await.expect(&name);
        assert_eq!(back["a"], [1, 2, 1 << 32], "{name}");
        context.shutdown().await.expect(&name);
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn values_of_every_kind_survive_the_round_trip() {
    let (router, context) = common::one_context().await;
    for value in [
        Value::None,
        Value::Bool(true),
        Value::Int(-(1 << 40)),
        Value::Float(1.5),
        Value::Text("h\u{e9}llo".into()),
        Value::Bytes(vec![0, 255, 10].into()),
        Value::List(vec![Value::Int(1), Value::Tuple(vec![Value::None])]),
        Value::Dict(vec![(Value::Text("k".into()), Value::List(vec![]))]),
    ] {
        let back: Value = context.call("copy.copy", (&value,)).await.expect("a copy");
        assert_eq!(back, value);
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn class_methods_are_called_by_either_spelling() {
    let (router, context) = common::one_context().await;
    for name in ["datetime.date.fromordinal", "datetime:date.fromordinal"] {
        let error = context.call::<Value>(name, (1,)).await.expect_err("a date cannot be pickled for us");
        assert!(!matches!(error, Error::BadName { .. } | Error::Lost { .. }), "{error}");
    }
    let same: BTreeMap<String, Value> =
        context.call("collections.OrderedDict.fromkeys", (["a"],)).await.unwrap_or_default();
    assert!(same.len() <= 1);
    let ok: bool = context.call("str:isdigit", ("12",)).await.unwrap_or(true);
    assert!(ok);
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_call_is_under_way_before_its_future_is_polled() {
    let (router, context) = common::one_context().await;
    let first = context.start::<f64>(Call::new("time.time"));
    let second = context.start::<f64>(Call::new("time.time"));
    let second = second.await.expect("the later one");
    let first = first.await.expect("the earlier one");
    assert!(first <= second, "{first} {second}");
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_at_once() {
    let (router, context) = common::one_context().await;
    let error = context.call::<Value>("getpid", ()).await.expect_err("no module");
    assert!(matches!(error, Error::BadName { .. }), "{error}");
    let error = context.call::<Value>("os.getpid", 5).await.expect_err("no sequence");
    assert!(matches!(error, Error::Encode { .. }), "{error}");
    let error = context.call::<u32>("os.getcwd", ()).await.expect_err("a path is no number");
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    let pid: u32 = context.call("os.getpid", ()).await.expect("the context lives on");
    assert!(pid > 0);
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn so_many_calls_of_a_context_may_be_waited_for() {
    const LIMIT: usize = 1 << 16;
    let (router, context) = common::one_context().await;
    let gate = context.start::<mitogen::Value>(Call::new("time.sleep").arg(0.5));
    let mut calls: Vec<_> = (1..LIMIT).map(|_| context.start::<u32>(Call::new("os.getpid"))).collect();
    let error = context.call::<u32>("os.getpid", ()).await.expect_err("one too many");
    assert!(matches!(error, Error::TooManyCalls { limit: LIMIT, .. }), "{error:?}");
    drop(calls.split_off(10));
    gate.await.expect("it slept");
    context.call::<u32>("os.getpid", ()).await.expect("there is room again");
    for call in calls {
        call.await.expect("a pid");
    }
    router.shutdown().await.expect("a shutdown");
}
