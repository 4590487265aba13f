//! CALL_FUNCTION, results and errors: what is written, what is read, and what is refused.

mod framing;

use framing::{carrying, pickle};
use mitogen_wire::body::{BodyError, CallError, CallFunction, CallResult, CallService, Dead};
use mitogen_wire::pickle::{MAX_CALL_ERROR_CHARS, write};
use mitogen_wire::{ContextId, Encoding, Handle, Message, Value};

fn pickled(value: &Value) -> Message {
    carrying(Encoding::Pickle, write(value).expect("it can be pickled"))
}

fn call_tuple(fields: impl IntoIterator<Item = Value>) -> Message {
    pickled(&Value::Tuple(fields.into_iter().collect()))
}

fn text(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn upstreams_call_is_read() {
    let getpid = CallFunction::new("os", "getpid");
    for encoding in [Encoding::Pickle, Encoding::Implied] {
        assert_eq!(CallFunction::decode(&carrying(encoding, pickle("call os.getpid"))), Ok(getpid.clone()));
    }
}

#[test]
fn a_call_with_everything_round_trips() {
    let call = CallFunction {
        chain: text("host-1-2a-3b"),
        module: "app.modèle".into(),
        class: Some("Thing".into()),
        function: "make".into(),
        args: vec![Value::Int(1), Value::None, Value::List(vec![text("x")])],
        kwargs: vec![("indent".into(), Value::Int(2)), ("sort".into(), Value::Bool(true))],
    };
    let (encoding, payload) = call.clone().encode().expect("it can be pickled");
    assert_eq!(encoding, Encoding::Pickle);
    assert_eq!(CallFunction::decode(&carrying(encoding, payload)), Ok(call));
}

#[test]
fn a_chain_is_forgotten_by_a_call() {
    let call = CallFunction::forget_chain(text("c"));
    assert_eq!((call.module.as_str(), call.class.as_deref()), ("mitogen.core", Some("Dispatcher")));
    assert_eq!((call.function.as_str(), call.args), ("forget_chain", vec![text("c")]));
    assert_eq!(call.chain, Value::None);
}

#[test]
fn names_from_python_2_and_plain_containers_are_read() {
    let str = |text: &'static str| Value::Str(text.into());
    let message = call_tuple([
        Value::None,
        str("os"),
        str("C"),
        str("f"),
        Value::List(vec![Value::Int(1)]),
        Value::Dict(vec![(str("a"), Value::Int(2)), (text("b"), Value::Int(3))]),
    ]);
    let call = CallFunction::decode(&message).expect("lenient");
    assert_eq!((call.module.as_str(), call.class.as_deref(), call.function.as_str()), ("os", Some("C"), "f"));
    assert_eq!(call.args, [Value::Int(1)]);
    assert_eq!(call.kwargs, [("a".to_owned(), Value::Int(2)), ("b".to_owned(), Value::Int(3))]);
}

#[test]
fn a_call_of_another_shape_is_malformed() {
    let sound =
        [Value::None, text("os"), Value::None, text("getpid"), Value::Tuple(vec![]), Value::Kwargs(vec![])];
    assert!(CallFunction::decode(&call_tuple(sound.clone())).is_ok());
    for at in 1..sound.len() {
        let mut fields = sound.clone();
        fields[at] = Value::Int(1);
        let read = CallFunction::decode(&call_tuple(fields));
        assert!(matches!(read, Err(BodyError::Malformed { .. })), "field {at}: {read:?}");
    }
    for message in [call_tuple(sound[1..].to_vec()), pickled(&Value::List(sound.to_vec()))] {
        assert!(matches!(CallFunction::decode(&message), Err(BodyError::Malformed { .. })));
    }
    let keyed_by_number = Value::Dict(vec![(Value::Int(1), Value::None)]);
    let mut fields = sound;
    fields[5] = keyed_by_number;
    assert!(matches!(CallFunction::decode(&call_tuple(fields)), Err(BodyError::Malformed { .. })));
}

#[test]
fn raw_bytes_are_no_pickle() {
    let message = carrying(Encoding::Raw, pickle("call os.getpid"));
    assert_eq!(CallFunction::decode(&message), Err(BodyError::NotPickled { body: "CALL_FUNCTION" }));
    assert_eq!(CallResult::decode(&message), Err(BodyError::NotPickled { body: "call result" }));
}

#[test]
fn garbage_is_a_pickle_error() {
    let message = carrying(Encoding::Pickle, "garbage");
    assert!(matches!(CallFunction::decode(&message), Err(BodyError::Pickle(_))));
    assert!(matches!(CallResult::decode(&message), Err(BodyError::Pickle(_))));
}

#[test]
fn a_result_is_a_value_an_error_or_nothing_at_all() {
    let returned = CallResult::Returned(Value::Tuple(vec![Value::Int(1), text("x")]));
    let raised = CallResult::Raised(CallError::new("builtins.ValueError", "no", None));
    for result in [returned, raised.clone()] {
        let (encoding, payload) = result.clone().encode().expect("it can be pickled");
        assert_eq!(CallResult::decode(&carrying(encoding, payload)), Ok(result));
    }
    assert_eq!(CallResult::decode(&carrying(Encoding::Pickle, pickle("call error"))), Ok(raised));

    let dead = Message::dead(ContextId(7), ContextId(0), Handle(1000), "invalid handle");
    assert_eq!(CallResult::decode(&dead), Err(BodyError::Dead(Dead::InvalidHandle)));
}

#[test]
fn an_error_is_taken_apart() {
    let traceback = "  File \"app.py\", line 3, in f\n    raise X\n";
    let error = CallError::new("app.errors.Broken", "two\nlines: here", Some(traceback));
    assert_eq!(error.text, format!("app.errors.Broken: two\nlines: here\n{traceback}"));
    assert_eq!(error.type_name(), Some("app.errors.Broken"));
    assert_eq!(error.message(), "two\nlines: here");
    assert_eq!(error.traceback(), Some(traceback));

    for (text, type_name, message) in [
        ("exceptions.KeyError: 'x'", Some("exceptions.KeyError"), "'x'"),
        ("builtins.ValueError: ", Some("builtins.ValueError"), ""),
        ("builtins.ValueError:", Some("builtins.ValueError"), ""),
        ("something went wrong: a.b", None, "something went wrong: a.b"),
        ("nothing", None, "nothing"),
        ("", None, ""),
    ] {
        let error = CallError { text: text.into() };
        assert_eq!((error.type_name(), error.message(), error.traceback()), (type_name, message, None));
    }
}

#[test]
fn a_long_error_is_cut_when_written_and_not_when_read() {
    let innermost = "  File \"app.py\", line 3, in innermost\n    raise X\n";
    let long_traceback = "  File \"app.py\", line 1, in é\n".repeat(1000) + innermost;
    let errors = [
        CallError::new("a.B", &"é".repeat(20_000), None),
        CallError::new("a.B", "short", Some(&long_traceback)),
        CallError::new("a.B", &"é".repeat(20_000), Some(&long_traceback)),
        CallError::new("a.B", &"é".repeat(20_000), Some(innermost)),
    ];
    for error in errors {
        // By hand: our own pickles hold no text of this length.
        let length = (error.text.len() as u32).to_le_bytes();
        let mut whole = b"\x80\x02cmitogen.core\n_unpickle_call_error\nX".to_vec();
        whole.extend([&length[..], error.text.as_bytes(), b"\x85R."].concat());
        let whole = carrying(Encoding::Pickle, whole);
        assert_eq!(CallResult::decode(&whole), Ok(CallResult::Raised(error.clone())));

        let (encoding, payload) = error.encode().expect("it can be pickled");
        let Ok(CallResult::Raised(sent)) = CallResult::decode(&carrying(encoding, payload)) else {
            panic!("an error is sent");
        };
        assert!(sent.text.chars().count() <= MAX_CALL_ERROR_CHARS);
        assert_eq!(sent.type_name(), Some("a.B"));
        assert!(sent.message().len() >= 5);
        assert_eq!(sent.text.ends_with(innermost), error.traceback().is_some(), "{}", sent.text);
    }

    let longest = CallError { text: "é".repeat(MAX_CALL_ERROR_CHARS) };
    assert_eq!(
        CallResult::decode(&carrying(Encoding::Pickle, longest.encode().expect("it can be pickled").1)),
        Ok(CallResult::Raised(longest))
    );
}

#[test]
fn a_request_to_a_service_round_trips_and_upstreams_forms_are_read() {
    let request = CallService {
        service: "app.Inventory".into(),
        method: "owner".into(),
        args: vec![("host".into(), text("web1"))],
    };
    let (encoding, payload) = request.clone().encode().expect("it can be pickled");
    assert_eq!(encoding, Encoding::Pickle);
    assert_eq!(CallService::decode(&carrying(encoding, payload)), Ok(request.clone()));
    let old = [Value::Str("app.Inventory".into()), Value::Str("owner".into())];
    let args = Value::Dict(vec![(Value::Str("host".into()), text("web1"))]);
    assert_eq!(CallService::decode(&call_tuple(old.into_iter().chain([args]))), Ok(request));
    for fields in [vec![], vec![text("a"), text("b"), Value::None], vec![Value::Int(1), text("b")]] {
        assert!(matches!(CallService::decode(&call_tuple(fields)), Err(BodyError::Malformed { .. })));
    }
}
