//! What a preamble holds, and that every Python reads its configuration as it was meant.

#[path = "../../mitogen-wire/tests/support/mod.rs"]
mod support;

use flate2::{Decompress, FlushDecompress};
use mitogen_bootstrap::{
    BootConfig, Preamble, clean_remote_name, core_modules, deferred_module, deferred_modules,
};
use mitogen_wire::{ContextId, SessionKey};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn config() -> BootConfig {
    BootConfig::new(ContextId(7), vec![ContextId(3), ContextId::CONTROLLER])
}

/// Cuts a preamble into its stage, the core's text, and the configuration.
fn parts(preamble: &Preamble) -> (String, String, String) {
    let bytes = preamble.as_bytes();
    let nul = bytes.iter().position(|&byte| byte == 0).expect("a NUL ends the stage");
    let (text, rest) = inflate(&bytes[nul + 1..]);
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("all of it is text");
    (string(&bytes[..nul]), string(&text), string(rest))
}

/// The text of a zlib stream, and what follows the stream.
fn inflate(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut inflater = Decompress::new(true);
    let mut text = Vec::with_capacity(1 << 20);
    inflater.decompress_vec(bytes, &mut text, FlushDecompress::Finish).expect("a whole zlib stream");
    let used = usize::try_from(inflater.total_in()).expect("it was in memory");
    (text, &bytes[used..])
}

#[test]
fn the_stage_carries_the_exact_size_and_the_clean_name() {
    let preamble = Preamble::new(&config(), "al'ice@la\\p/t\u{f6}p\n:1");
    let (stage, _, config) = parts(&preamble);
    let payload = preamble.as_bytes().len() - stage.len() - 1;
    assert_eq!(stage.matches(&format!("={payload}\n")).count(), 1, "{stage}");
    assert_eq!(stage.matches("(mitogen:al_ice@la_p_t_p_:1)").count(), 1, "{stage}");
    assert!(!stage.contains("SIZE") && !stage.contains("NAME"), "{stage}");
    assert_eq!(config, "[7,[3,0],'',30,134217728,'',False,[0,1,0],3]");
    println!("stage: {}, payload: {payload}, preamble: {}", stage.len(), preamble.as_bytes().len());
}

#[test]
fn the_core_is_packed_in_order_with_its_names() {
    let (_, core, _) = parts(&Preamble::new(&config(), "x"));
    let pieces: Vec<&str> = core.split('\0').collect();
    let names: Vec<&str> = pieces[1..].iter().copied().step_by(2).collect();
    assert_eq!(names, core_modules());
    assert_eq!(pieces.len(), 1 + 2 * core_modules().len());
}

#[test]
fn deferred_modules_are_found_by_name() {
    for module in deferred_modules() {
        assert_eq!(deferred_module(module.name), Some(module));
        assert_eq!(module.path, format!("{}.py", module.name.replace('.', "/")));
        let (text, rest) = inflate(module.zlib);
        assert!(!text.is_empty() && rest.is_empty(), "{} is one zlib stream", module.name);
    }
    assert_eq!(deferred_module("mitogen.nothing"), None);
}

#[test]
fn a_remote_name_cannot_break_out_or_grow() {
    assert_eq!(clean_remote_name("user@host:123"), "user@host:123");
    assert_eq!(clean_remote_name("a/b\\c\"d'e\u{e9}\0f g"), "a_b_c_d_e__f_g");
    assert_eq!(clean_remote_name(&"x".repeat(500)).len(), 128);
}

#[test]
fn its_debug_form_shows_no_key() {
    let mut config = config();
    config.key = Some(SessionKey::from_text("very secret"));
    let preamble = Preamble::new(&config, "x");
    assert!(parts(&preamble).2.contains(",'very secret',"));
    assert!(!format!("{config:?}{preamble:?}").contains("secret"));
}

/// Prints, for each configuration, its name, key and numbers, as a Python of any version sees them.
const READER: &str = r#"
import sys, binascii
inp = getattr(sys.stdin, 'buffer', sys.stdin)
out = getattr(sys.stdout, 'buffer', sys.stdout)
text = type(''.encode().decode())
while 1:
    length = inp.readline()
    if not length:
        break
    config = eval(inp.read(int(length)))
    for value in config[2], config[5]:
        if not isinstance(value, text):
            value = value.decode('ascii')
        out.write(binascii.hexlify(value.encode('utf-8')) + ' '.encode())
    rest = [config[at] for at in (0, 1, 3, 6, 7)]
    out.write((repr(rest) + '\n').encode())
"#;

#[test]
fn every_python_reads_the_same_configuration() {
    let mut runner = TestRunner::deterministic();
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,20}",
        "[\\\\'\"\u{1}-\u{20}\u{7f}-\u{100}\u{d7ff}\u{10ffff}x]{0,9}"
    ];
    let strategy = (text.clone(), text, any::<(u32, u32, bool)>());
    let (mut input, mut expected) = (Vec::new(), String::new());
    for _ in 0..400 {
        let (name, key, (id, level, unidirectional)) =
            strategy.new_tree(&mut runner).expect("a value").current();
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        expected += &format!("{} {} ", hex(&name), hex(&key));
        let truth = if unidirectional { "True" } else { "False" };
        expected += &format!("[{id}, [{id}, 0], {level}, {truth}, [0, 1, 0]]\n");
        let mut config = BootConfig::new(ContextId(id), vec![ContextId(id), ContextId::CONTROLLER]);
        config.name = name;
        config.key = Some(SessionKey::from_text(key));
        config.log_level = level;
        config.unidirectional = unidirectional;
        let source = parts(&Preamble::new(&config, "x")).2;
        assert!(source.is_ascii() && !source.contains('\n'), "{source:?}");
        input.extend_from_slice(format!("{}\n{source}", source.len()).as_bytes());
    }
    for python in support::pythons() {
        let output = String::from_utf8(python.run(READER, &[], &input)).expect("ASCII");
        for (line, (theirs, ours)) in output.lines().zip(expected.lines()).enumerate() {
            assert_eq!(theirs, ours, "Python {} reads configuration {line} otherwise", python.version);
        }
        assert_eq!(output.lines().count(), 400);
    }
}
