//! CPython 2.7 and 3 read what we write, and we read what they write, with both of their picklers, with and
//! without their memo, and with the sharing that their values have.
#![allow(clippy::disallowed_types)]

mod common;

use mitogen_wire::Value;
use mitogen_wire::pickle::{self, Limits, PickleError};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/pickle_peer.py");

struct Python {
    path: PathBuf,
    major: u8,
    name: String,
}

/// Every CPython that pyenv has, and those in PATH.
fn pythons() -> Vec<Python> {
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    let mut paths = Vec::new();
    if let Some(versions) = pyenv.and_then(|root| std::fs::read_dir(root.join("versions")).ok()) {
        paths.extend(versions.flatten().map(|version| version.path().join("bin/python")));
        paths.sort();
    }
    paths.extend(["python2.7", "python3"].map(PathBuf::from));
    let mut found: Vec<Python> = Vec::new();
    for path in paths {
        let probe = "import sys; print('%s %s' % (sys.version_info[0], sys.version.split()[0]))";
        let output = Command::new(&path).args(["-SEc", probe]).stderr(Stdio::null()).output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else { continue };
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let Some((major, name)) = text.split_once(' ') else { continue };
        if found.iter().all(|python| python.name != name) {
            let major = major.parse().expect("a major version is a number");
            found.push(Python { path, major, name: name.to_owned() });
        }
    }
    for wanted in ["2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"] {
        if !found.iter().any(|python| python.name.starts_with(&format!("{wanted}."))) {
            eprintln!("SKIPPED: CPython {wanted} is not installed; its pickles are not tested");
        }
    }
    found
}

/// What a Python has to say of one value.
struct Answer {
    canon: String,
    pickles: Vec<Vec<u8>>,
}

impl Python {
    fn ask(&self, request: &[u8]) -> Vec<Answer> {
        let mut child = Command::new(&self.path)
            .args(["-SE", PEER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter has just been started once");
        // It reads all before it writes.
        child.stdin.take().expect("piped").write_all(request).expect("the peer reads");
        let output = child.wait_with_output().expect("the peer ends");
        assert!(output.status.success(), "CPython {} failed; see its standard error", self.name);
        let mut rest = &output.stdout[..];
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let canon = String::from_utf8(frame(&mut rest)).expect("canonical text is ASCII");
            let count = rest[0];
            rest = &rest[1..];
            answers.push(Answer { canon, pickles: (0..count).map(|_| frame(&mut rest)).collect() });
        }
        answers
    }

    /// How this Python sees byte strings, when it writes them.
    fn view(&self, value: &Value) -> Value {
        common::map(value, &|value| match value {
            Value::Bytes(bytes) if self.major == 2 => Value::Str(bytes),
            Value::Str(bytes) if self.major == 3 => Value::Bytes(bytes),
            other => other,
        })
    }
}

fn frame(rest: &mut &[u8]) -> Vec<u8> {
    let (len, after) = rest.split_first_chunk::<4>().expect("a frame begins with its length");
    let (frame, after) = after.split_at(u32::from_be_bytes(*len) as usize);
    *rest = after;
    frame.to_vec()
}

/// The same text that the peer makes.
fn canon(value: &Value) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let all = |items: &[Value]| items.iter().map(canon).collect::<Vec<_>>().join(",");
    let pairs = |mut pairs: Vec<String>| {
        pairs.sort();
        pairs.join(",")
    };
    match value {
        Value::None => "N".into(),
        Value::Bool(b) => if *b { "T" } else { "F" }.into(),
        Value::Int(n) => format!("i{n}"),
        Value::Long(n) => format!("i{n}"),
        Value::Float(x) => format!("f{}", hex(&x.to_be_bytes())),
        Value::Str(bytes) | Value::Bytes(bytes) => format!("s{}", hex(bytes)),
        Value::Text(text) => format!("u{}", hex(text.as_bytes())),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Tuple(items) => format!("({})", all(items)),
        Value::Dict(dict) => {
            let dict = dict.iter().map(|(k, v)| format!("{}:{}", canon(k), canon(v)));
            format!("{{{}}}", pairs(dict.collect()))
        }
        Value::Kwargs(dict) => {
            let dict = dict.iter().map(|(k, v)| format!("u{}:{}", hex(k.as_bytes()), canon(v)));
            format!("Kwargs{{{}}}", pairs(dict.collect()))
        }
        Value::CallError(text) => format!("CallError(u{})", hex(text.as_bytes())),
        Value::Context { id, name } => {
            let name = name.as_ref().map_or("N".into(), |name| format!("u{}", hex(name.as_bytes())));
            format!("Context(i{id},{name})")
        }
        Value::Sender { context, handle } => format!("Sender(i{context},i{handle})"),
        Value::Blob(bytes) => format!("Blob(s{})", hex(bytes)),
        Value::Secret(secret) => format!("Secret(u{})", hex(secret.expose().as_bytes())),
        other => panic!("no canonical text for {other:?}"),
    }
}

#[test]
fn they_read_ours_and_we_read_what_they_make_of_it() {
    let mut runner = TestRunner::deterministic();
    let values: Vec<Value> = (0..100)
        .map(|_| common::value().new_tree(&mut runner).expect("no filter rejects much").current())
        .collect();
    let mut request = b"echo\n".to_vec();
    for value in &values {
        let written = pickle::write(value).expect("any value can be written");
        request.extend_from_slice(&u32::try_from(written.len()).expect("small").to_be_bytes());
        request.extend_from_slice(&written);
    }
    for python in pythons() {
        let answers = python.ask(&request);
        assert_eq!(answers.len(), values.len());
        let mut pickles = 0;
        for (value, answer) in values.iter().zip(answers) {
            assert_eq!(answer.canon, canon(value), "CPython {} reads {value:?}", python.name);
            let expected = canon(&python.view(value));
            for theirs in answer.pickles {
                let read = pickle::read(&theirs, &Limits::default())
                    .unwrap_or_else(|error| panic!("CPython {}: {error}: {theirs:?}", python.name));
                assert_eq!(canon(&read), expected, "CPython {} wrote {theirs:?}", python.name);
                assert_eq!(python.view(&read), read, "byte strings are of the Python that wrote them");
                pickles += 1;
            }
        }
        eprintln!("CPython {}: {} values read, {pickles} pickles read back", python.name, values.len());
    }
}

#[test]
fn we_read_theirs_with_all_its_sharing() {
    for python in pythons() {
        let mut pickles = 0;
        for seed in 0..1 {
            for answer in python.ask(format!("make\n{seed}\n120\n").as_bytes()) {
                for theirs in answer.pickles {
                    let read = pickle::read(&theirs, &Limits::default())
                        .unwrap_or_else(|error| panic!("CPython {}: {error}: {theirs:?}", python.name));
                    assert_eq!(canon(&read), answer.canon, "CPython {} wrote {theirs:?}", python.name);
                    assert_eq!(python.view(&read), read, "byte strings are of the Python that wrote them");
                    pickles += 1;
                }
            }
        }
        assert!(pickles > 0);
        eprintln!("CPython {}: {pickles} pickles read", python.name);
    }
}

#[test]
fn a_lone_surrogate_is_an_error_that_says_so_and_costs_no_call_error() {
    // As CPython 3 writes "\udc80" and both write u"\ud83d".
    for text in [&b"\xed\xb2\x80"[..], b"\xed\xa0\xbd"] {
        let data = [&b"\x80\x02X\x03\x00\x00\x00"[..], text, b"q\x00."].concat();
        assert_eq!(pickle::read(&data, &Limits::default()), Err(PickleError::Surrogate { at: 2 }));
        let data =
            [&b"\x80\x02cmitogen.core\n_unpickle_call_error\nX\x05\x00\x00\x00a"[..], text, b"b\x85R."]
                .concat();
        assert_eq!(pickle::read(&data, &Limits::default()), Ok(Value::CallError("a\u{fffd}b".into())));
    }
}
