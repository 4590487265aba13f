//! A context's birth: what is written to it, and what it says until frames flow.

use mitogen_bootstrap::handshake::{Exit, Handshake, Output};
use mitogen_bootstrap::plan::{BootPlan, Wiring};
use mitogen_bootstrap::{BootConfig, Preamble};
use mitogen_wire::ContextId;
use std::sync::OnceLock;

/// A name in the configuration is one ASCII literal, without an end of line, that means that name.
pub fn config_literal(data: &[u8]) {
    /// Bytes of the core between the stage's NUL and the configuration.
    static CORE: OnceLock<usize> = OnceLock::new();

    let core = *CORE.get_or_init(|| {
        let plain = preamble("");
        // Nothing in this configuration holds a bracket but three lists: itself, the parents, the version.
        let mut lists = plain.iter().enumerate().rev().filter(|(_, byte)| **byte == b'[');
        lists.nth(2).expect("a list begins").0 - nul(&plain)
    });
    let name = String::from_utf8_lossy(data);
    let bytes = preamble(&name);
    let config = &bytes[nul(&bytes) + core..];
    assert!(config.iter().all(|byte| matches!(byte, b' '..=b'~')), "printable ASCII alone");

    let config = std::str::from_utf8(config).expect("ASCII");
    let (_, after) = config.split_once("],").expect("the parents stand before any name can");
    let (read, rest) = literal(after.trim_start());
    assert_eq!(read, name);
    assert!(rest.starts_with(","), "the literal ends where it seems to: {rest:?}");
}

fn preamble(name: &str) -> Vec<u8> {
    let mut config = BootConfig::new(ContextId(1), vec![ContextId(0)]);
    config.name = name.to_owned();
    Preamble::new(&config, name).as_bytes().to_vec()
}

fn nul(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == 0).expect("the stage ends with a NUL")
}

/// Evaluates the Python string literal at the front of `text`; gives what stands behind it.
fn literal(text: &str) -> (String, &str) {
    let text = text.strip_prefix('u').unwrap_or(text);
    let body = text.strip_prefix('\'').expect("a literal begins");
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return (value, &body[at + 1..]),
            '\\' => match chars.next().expect("an escape goes on").1 {
                c @ ('\'' | '\\') => value.push(c),
                c @ ('x' | 'u' | 'U') => {
                    let digits = match c {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let code = chars
                        .by_ref()
                        .take(digits)
                        .fold(0, |code, (_, c)| code << 4 | c.to_digit(16).expect("hexadecimal"));
                    value.push(char::from_u32(code).expect("a character"));
                }
                other => panic!("\\{other} is no escape that we need"),
            },
            c => value.push(c),
        }
    }
    panic!("the literal has no end");
}

/// How a birth goes does not depend on how its output was cut, and no byte behind the last marker
/// is lost.
///
/// First byte: bit 0 whether the method logs in, the others the length of the pieces. The rest is
/// what comes on the comms channel, which then ends.
pub fn handshake(data: &[u8]) {
    let Some((&control, stream)) = data.split_first() else { return };
    let plan = BootPlan {
        hop: "local".into(),
        argv: vec!["sh".into()],
        env: Vec::new(),
        wiring: Wiring::PLAIN,
        logs_in: control & 1 == 1,
        prompts: Vec::new(),
        failures: Vec::new(),
        hint: None,
    };
    let whole = birth(&plan, std::iter::once(stream));
    let pieces = birth(&plan, stream.chunks(1 + usize::from(control >> 1)));
    assert_eq!(whole, pieces);
    assert!(stream.ends_with(&whole.1), "what follows the last marker is untouched");
}

/// What came of it: the outputs but the residue, and all that is behind the last marker.
fn birth<'a>(plan: &BootPlan, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Output>, Vec<u8>) {
    let mut handshake = Handshake::new(plan);
    handshake.handle_spawned();
    let mut outputs = Vec::new();
    let mut frames: Option<Vec<u8>> = None;
    for piece in pieces {
        if let Some(frames) = &mut frames {
            frames.extend_from_slice(piece);
            continue;
        }
        handshake.handle_stdout(piece);
        drain(&mut handshake, &mut outputs, &mut frames);
    }
    if frames.is_none() {
        handshake.handle_stdout_eof();
        handshake.handle_stderr_eof();
        handshake.handle_exit(Exit::Status(1));
        handshake.handle_settled();
        drain(&mut handshake, &mut outputs, &mut frames);
        assert!(!handshake.is_waiting(), "an end of everything is an end");
    }
    (outputs, frames.unwrap_or_default())
}

fn drain(handshake: &mut Handshake, outputs: &mut Vec<Output>, frames: &mut Option<Vec<u8>>) {
    while let Some(output) = handshake.poll_output() {
        match output {
            Output::Ready { residue } => *frames = Some(residue.to_vec()),
            other => outputs.push(other),
        }
    }
}
