//! Opcodes, globals and constructor arguments: what is on the list is read, all else is a typed error.

use mitogen_wire::pickle::{self, Limits, PickleError};
use mitogen_wire::{ContextId, Handle, Secret, Value};

fn read(data: &[u8]) -> Result<Value, PickleError> {
    pickle::read(data, &Limits::default())
}

/// A call of `mitogen.core.NAME`, written as Python 3 does.
fn call(name: &str, args: &[u8]) -> Result<Value, PickleError> {
    let head = format!("\u{2}cmitogen.core\n{name}\n");
    read(&[b"\x80", head.as_bytes(), b"q\x00", args, b"q\x01Rq\x02."].concat())
}

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn golden_bytes() {
    // CALL_FUNCTION os.getpid() as CPython 3 writes it (protocol.md section 12).
    let call = b"\x80\x02(NX\x05\x00\x00\x00posixq\x00NX\x06\x00\x00\x00getpidq\x01)cmitogen.core\nKwargs\nq\x02}q\x03\x85q\x04Rq\x05tq\x06.";
    let value = Value::Tuple(vec![
        Value::None,
        "posix".into(),
        Value::None,
        "getpid".into(),
        Value::Tuple(vec![]),
        Value::Kwargs(vec![]),
    ]);
    assert_eq!(read(call), Ok(value.clone()));
    // Ours differs by the PUTs alone.
    let ours = b"\x80\x02(NX\x05\x00\x00\x00posixNX\x06\x00\x00\x00getpid)cmitogen.core\nKwargs\n}\x85Rt.";
    assert_eq!(pickle::write(&value).unwrap()[..], ours[..]);

    let ids = Value::Tuple(vec![2.into(), 1002.into()]);
    assert_eq!(read(b"\x80\x02K\x02M\xea\x03\x86q\x00."), Ok(ids.clone()));
    assert_eq!(pickle::write(&ids).unwrap()[..], b"\x80\x02K\x02M\xea\x03\x86."[..]);

    let context =
        b"\x80\x02cmitogen.core\n_unpickle_context\nq\x00K\x01X\x04\x00\x00\x00selfq\x01\x86q\x02Rq\x03.";
    assert_eq!(read(context), Ok(Value::Context { id: ContextId(1), name: Some("self".into()) }));

    // Two pickles, one memo: the answer to a request for a resource.
    let resource = b"\x80\x02X\x06\x00\x00\x00respkgq\x00X\x08\x00\x00\x00data.txtq\x01\x86q\x02.\x80\x02T\x06\x00\x00\x00hello\n.";
    let name = Value::Tuple(vec!["respkg".into(), "data.txt".into()]);
    assert_eq!(read(resource), Ok(name.clone()));
    let both = pickle::read_many(resource, &Limits::default());
    assert_eq!(both, Ok(vec![name, Value::Str("hello\n".into())]));
}

#[test]
fn bytes_of_python_3() {
    // Nested: as latin-1 text; empty; protocol 3; on top since upstream 0.3.41.
    assert_eq!(
        read(b"\x80\x02c_codecs\nencode\nq\x00X\x04\x00\x00\x00\xc3\xbf\xc2\x80q\x01X\x06\x00\x00\x00latin1q\x02\x86q\x03Rq\x04."),
        Ok(Value::Bytes("\u{ff}\u{80}".chars().map(|c| c as u8).collect()))
    );
    assert_eq!(read(b"\x80\x02c__builtin__\nbytes\nq\x00)Rq\x01."), Ok(Value::Bytes("".into())));
    assert_eq!(read(b"\x80\x03C\x02\xff\x00q\x00."), Ok(Value::Bytes(vec![255, 0].into())));
    assert_eq!(read(b"\x80\x03B\x02\x00\x00\x00\xff\x00q\x00."), Ok(Value::Bytes(vec![255, 0].into())));
    assert_eq!(read(b"\x80\x02T\x01\x00\x00\x00a."), Ok(Value::Str("a".into())));
    let error = read("\u{80}\u{2}".as_bytes()).unwrap_err();
    assert!(matches!(error, PickleError::Opcode { .. }));
    let wide = [&b"\x80\x02c_codecs\nencode\n"[..], &text("€"), &text("latin1"), b"\x86R."].concat();
    assert!(matches!(read(&wide), Err(PickleError::Constructor { name: "_codecs.encode", .. })));
}

#[test]
fn integers_of_python_2() {
    assert_eq!(read(b"\x80\x02I1099511627776\n."), Ok(Value::Int(1 << 40)));
    assert_eq!(read(b"\x80\x02I-5\n."), Ok(Value::Int(-5)));
    assert_eq!(read(b"I01\n."), Ok(Value::Bool(true)));
    assert_eq!(read(b"I00\n."), Ok(Value::Bool(false)));
    assert!(matches!(read(b"I1.5\n."), Err(PickleError::Malformed { at: 0, .. })));
    assert!(matches!(read(b"I99999999999999999999\n."), Err(PickleError::Malformed { .. })));
}

#[test]
fn our_own_types() {
    let named = |name: &[u8]| call("_unpickle_context", &[b"K\x07", name, b"\x86"].concat());
    assert_eq!(named(b"N"), Ok(Value::Context { id: ContextId(7), name: None }));
    assert_eq!(named(&text("é")), Ok(Value::Context { id: ContextId(7), name: Some("é".into()) }));
    assert!(named(&text(&"é".repeat(99))).is_ok());
    assert!(named(&text(&"é".repeat(100))).is_err());
    assert!(named(b"U\x01a").is_err());
    assert!(call("_unpickle_context", b"J\xff\xff\xff\xffN\x86").is_err());
    assert!(call("_unpickle_context", b"K\x01\x85").is_err());

    assert_eq!(
        call("_unpickle_sender", b"K\x00M\xe8\x03\x86"),
        Ok(Value::Sender { context: ContextId(0), handle: Handle(1000) })
    );
    assert!(call("_unpickle_sender", b"K\x00K\x00\x86").is_err());

    for name in ["_unpickle_call_error", "CallError"] {
        assert_eq!(
            call(name, &[&text("a.B: c")[..], b"\x85"].concat()),
            Ok(Value::CallError("a.B: c".into()))
        );
        assert!(call(name, b"U\x01a\x85").is_err());
        // Longer than upstream takes, which is no reason to lose it.
        let long = "x".repeat(50_000);
        assert_eq!(call(name, &[&text(&long)[..], b"\x85"].concat()), Ok(Value::CallError(long)));
    }
    assert_eq!(call("Blob", b"U\x02\xff\x00\x85"), Ok(Value::Blob(vec![255, 0].into())));
    assert!(call("Blob", &[&text("a")[..], b"\x85"].concat()).is_err());
    assert_eq!(call("Secret", &[&text("s")[..], b"\x85"].concat()), Ok(Value::Secret(Secret::new("s"))));
    assert!(call("Secret", b"U\x01s\x85").is_err());
    // Python 2.4 to 2.6.4 need `str` keys, which others may send back.
    assert_eq!(call("Kwargs", b"}U\x01aK\x01s\x85"), Ok(Value::Kwargs(vec![("a".into(), 1.into())])));
    assert!(call("Kwargs", b"}K\x01K\x01s\x85").is_err());
    assert!(call("Kwargs", b"]\x85").is_err());
    let error = call("_unpickle_dead", b")").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot unpickle \"mitogen.core\"/\"_unpickle_dead\": only plain values and mitogen.core's own types cross between contexts"
    );
}

#[test]
fn other_globals_are_named_and_refused() {
    for (module, name) in [
        ("os", "system"),
        ("__builtin__", "eval"),
        ("__builtin__", "set"),
        ("__builtin__", "bytearray"),
        ("builtins", "bytes"),
        ("copy_reg", "_reconstructor"),
        ("mitogen.core", "Message"),
        ("mitogen.core\r", "Blob"),
    ] {
        let data = format!("c{module}\n{name}\n)R.");
        let expected = PickleError::Global { module: module.into(), name: name.into() };
        assert_eq!(read(data.as_bytes()), Err(expected));
    }
    let long = format!("c{}\nx\n.", "é".repeat(100_000));
    let Err(PickleError::Global { module, .. }) = read(long.as_bytes()) else { panic!() };
    assert_eq!(module, "é".repeat(100));
}

#[test]
fn a_constructor_is_no_value() {
    assert!(matches!(read(b"cmitogen.core\nBlob\n."), Err(PickleError::Constructor { .. })));
    assert!(matches!(read(b"(lp0\n."), Err(PickleError::Opcode { name: "LIST", .. })));
    assert!(matches!(read(b"]cmitogen.core\nBlob\na."), Err(PickleError::Constructor { .. })));
}

#[test]
fn other_opcodes_are_named_and_refused() {
    let known = b"().BCGIJKMNRTUX]acehjqrstu}\x80\x85\x86\x87\x88\x89\x8a\x8b";
    for opcode in 0..=255 {
        let result = read(&[b'N', opcode]);
        let refused = matches!(&result, Err(PickleError::Opcode { opcode: o, at: 1, .. }) if *o == opcode);
        assert_eq!(refused, !known.contains(&opcode), "{opcode:#x}: {result:?}");
    }
    for (opcode, name) in
        [(b'b', "BUILD"), (0x81, "NEWOBJ"), (b'i', "INST"), (0x93, "STACK_GLOBAL"), (b'2', "DUP")]
    {
        let error = read(&[opcode]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn protocols_above_three_are_refused() {
    assert_eq!(read(b"\x80\x03N."), Ok(Value::None));
    assert_eq!(read(b"\x80\x04N."), Err(PickleError::Protocol { protocol: 4, at: 0 }));
}

#[test]
fn limits_can_be_set() {
    let mut limits = Limits::default();
    limits.max_depth = 2;
    assert!(pickle::read(b"]]a.", &limits).is_ok());
    assert!(pickle::read(b"]])aa.", &limits).is_ok(), "an empty tuple is no level");
    assert!(pickle::read(b"]]]aa.", &limits).is_err());
    assert!(pickle::read(b"cmitogen.core\nKwargs\n}U\x01a]s\x85R.", &limits).is_ok(), "Kwargs are one level");
    limits.max_values = 3;
    assert!(pickle::read(b"]Na.", &limits).is_ok());
    assert!(pickle::read(b"](NNNe.", &limits).is_err());
    limits = Limits::default();
    limits.max_memory = 1000;
    assert!(pickle::read(&[&b"T\x84\x03\x00\x00"[..], &[0; 900], b"."].concat(), &limits).is_ok());
    assert!(pickle::read(&[&b"T\xe8\x03\x00\x00"[..], &[0; 1000], b"."].concat(), &limits).is_err());
}
