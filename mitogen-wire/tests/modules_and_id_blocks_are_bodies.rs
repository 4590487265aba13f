//! LOAD_MODULE and the answer to ALLOCATE_ID: what is written, what is read, what is refused.

mod framing;

use framing::{carrying, pickle};
use mitogen_wire::body::{BodyError, IdBlock, LoadModule, LoadedModule};
use mitogen_wire::pickle::write;
use mitogen_wire::{ContextId, Encoding, Message, Value};

fn pickled(value: &Value) -> Message {
    carrying(Encoding::Pickle, write(value).expect("it can be pickled"))
}

#[test]
fn an_id_block_round_trips_and_upstreams_is_read() {
    let block = IdBlock { first: ContextId(2), end: ContextId(1002) };
    assert_eq!(IdBlock::decode(&carrying(Encoding::Pickle, pickle("block of ids"))), Ok(block));
    let (encoding, payload) = block.encode().expect("it can be pickled");
    assert_eq!(IdBlock::decode(&carrying(encoding, payload)), Ok(block));

    let highest = IdBlock { first: ContextId(u32::MAX), end: ContextId(u32::MAX) };
    let (encoding, payload) = highest.encode().expect("it can be pickled");
    assert_eq!(IdBlock::decode(&carrying(encoding, payload)), Ok(highest));
}

#[test]
fn an_id_block_of_another_shape_is_malformed() {
    for value in [
        Value::None,
        Value::Tuple(vec![1.into()]),
        Value::Tuple(vec![1.into(), 2.into(), 3.into()]),
        Value::Tuple(vec![2.into(), 1.into()]),
        Value::Tuple(vec![Value::Int(-1), 1.into()]),
        Value::Tuple(vec![1.into(), Value::Int(1 << 32)]),
        Value::Tuple(vec![1.into(), "2".into()]),
    ] {
        let read = IdBlock::decode(&pickled(&value));
        assert!(matches!(read, Err(BodyError::Malformed { .. })), "{value:?}: {read:?}");
    }
}

#[test]
fn a_module_round_trips() {
    let package = LoadedModule {
        package: Some(vec!["a".into(), "b".into()]),
        path: "pkg/__init__.py".into(),
        compressed: vec![0x78, 0x9c, 0xff, 0x00].into(),
        related: vec!["pkg.a".into()],
    };
    let empty_package = LoadedModule { package: Some(vec![]), ..package.clone() };
    let plain = LoadedModule { package: None, related: vec![], ..package.clone() };
    for module in [package, empty_package, plain] {
        let load = LoadModule { name: "pkg".into(), module: Some(module) };
        let (encoding, payload) = load.clone().encode().expect("it can be pickled");
        assert_eq!(LoadModule::decode(&carrying(encoding, payload)), Ok(load));
    }
}

#[test]
fn a_negative_answer_is_upstreams() {
    let negative = LoadModule::negative("x");
    assert_eq!(
        LoadModule::decode(&carrying(Encoding::Pickle, pickle("negative module"))),
        Ok(negative.clone())
    );
    let (encoding, payload) = negative.clone().encode().expect("it can be pickled");
    assert_eq!(LoadModule::decode(&carrying(encoding, payload)), Ok(negative));
}

#[test]
fn a_module_from_python_2_is_read() {
    let load =
        LoadModule::decode(&carrying(Encoding::Pickle, pickle("module, from python 2"))).expect("lenient");
    let module = load.module.expect("it is there");
    assert_eq!((load.name.as_str(), module.path.as_str()), ("pkg", "pkg/init.py"));
    assert_eq!(module.package, Some(vec!["a".into(), "b".into()]));
    assert_eq!(&module.compressed[..], b"zz");
    assert_eq!(module.related, ["os"]);
}

#[test]
fn a_module_of_another_shape_is_malformed() {
    let sound = ["x".into(), Value::None, "x.py".into(), Value::Blob("z".into()), Value::Tuple(vec![])];
    assert!(LoadModule::decode(&pickled(&Value::Tuple(sound.to_vec()))).is_ok());
    for at in 0..sound.len() {
        let mut fields = sound.to_vec();
        fields[at] = Value::Int(1);
        let read = LoadModule::decode(&pickled(&Value::Tuple(fields)));
        assert!(matches!(read, Err(BodyError::Malformed { .. })), "field {at}: {read:?}");
    }
    let read = LoadModule::decode(&pickled(&Value::Tuple(sound[..4].to_vec())));
    assert!(matches!(read, Err(BodyError::Malformed { .. })), "{read:?}");
}
