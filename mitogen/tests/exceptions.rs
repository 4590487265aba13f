//! A function that raises gives its exception's type, message and traceback; the context lives on.

mod common;

use mitogen::{Error, RemoteError, Router, Value};

async fn raised(context: &mitogen::Context, function: &str, args: impl serde::Serialize) -> RemoteError {
    match context.call::<Value>(function, args).await {
        Err(Error::Call(error)) => error,
        other => panic!("{function}: {other:?}"),
    }
}

#[tokio::test]
async fn an_exception_has_type_message_and_traceback() {
    let router = Router::new().expect("a router");
    for python in common::interpreters() {
        let name = python.display().to_string();
        let context = common::connect(&router, &python).await;

        let error = raised(&context, "json.loads", ("{",)).await;
        assert!(
            error.type_name.ends_with("ValueError") || error.type_name.ends_with("JSONDecodeError"),
            "{name}: {error:?}"
        );
        assert!(!error.message.is_empty(), "{name}: {error:?}");
        assert!(error.traceback.as_deref().is_some_and(|t| t.contains("decoder.py")), "{name}: {error:?}");

        let error = raised(&context, "os.listdir", ("/nonexistent",)).await;
        let expected = ["builtins.FileNotFoundError", "exceptions.OSError"];
        assert!(expected.contains(&error.type_name.as_str()), "{name}: {error:?}");
        assert!(error.message.contains("/nonexistent"), "{name}: {error:?}");

        let error = raised(&context, "no.such.module", ()).await;
        assert!(
            error.type_name.contains("Import") || error.type_name.contains("ModuleNotFound"),
            "{name}: {error:?}"
        );
        let error = raised(&context, "os.no_such_function", ()).await;
        assert!(error.type_name.ends_with("AttributeError"), "{name}: {error:?}");

        let _pid: u32 = context.call("os.getpid", ()).await.expect(&name);
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn leaving_the_interpreter_is_a_call_error() {
    let router = Router::new().expect("a router");
    for python in common::interpreters() {
        let name = python.display().to_string();
        let context = common::connect(&router, &python).await;
        let error = raised(&context, "sys.exit", (3,)).await;
        assert!(error.type_name.ends_with("SystemExit"), "{name}: {error:?}");
        let _pid: u32 = context.call("os.getpid", ()).await.expect(&name);
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_result_that_cannot_be_pickled_is_a_call_error() {
    let router = Router::new().expect("a router");
    for python in common::interpreters() {
        let name = python.display().to_string();
        let context = common::connect(&router, &python).await;
        for function in ["threading.Lock", "iter", "itertools.count"] {
            let function = if function == "iter" { "os.walk" } else { function };
            let args: Vec<&str> = if function == "os.walk" { vec!["/"] } else { vec![] };
            let result = context.call::<Value>(function, args).await;
            assert!(
                matches!(result, Err(Error::Call(_) | Error::Decode { .. })),
                "{name} {function}: {result:?}"
            );
        }
        let _pid: u32 = context.call("os.getpid", ()).await.expect(&name);
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_result_over_the_limit_is_an_error_and_the_context_lives_on() {
    let router = Router::builder().max_message_size(1 << 20).build().expect("a router");
    for python in common::interpreters() {
        let name = python.display().to_string();
        let context = common::connect(&router, &python).await;
        let result = context.call::<Value>("os.urandom", (2 << 20,)).await;
        assert!(matches!(result, Err(Error::Call(_) | Error::Refused { .. })), "{name}: {result:?}");
        let _pid: u32 = context.call("os.getpid", ()).await.expect(&name);
        let error = context.call::<Value>("len.len", ("x".repeat(2 << 20),)).await.expect_err("too large");
        assert!(matches!(error, Error::TooLarge { .. }), "{name}: {error:?}");
        let _pid: u32 = context.call("os.getpid", ()).await.expect(&name);
    }
    router.shutdown().await.expect("a shutdown");
}
