//! The boot command and the preamble bring a child to life on every interpreter, however they arrive;
//! and a child whose preamble is cut off ends by itself.

#[path = "support/birth.rs"]
mod birth;
#[path = "../../mitogen-wire/tests/support/mod.rs"]
mod support;

use birth::{Birth, command, preamble};
use support::{Python, pythons};

/// Runs a test on every interpreter, all at the same time.
fn everywhere(test: impl Fn(&Python) + Sync) {
    let pythons = pythons();
    std::thread::scope(|scope| {
        for python in &pythons {
            scope.spawn(|| test(python));
        }
    });
}

/// From the boot command to the agent's readiness, and to its end when we hang up.
fn live(mut birth: Birth) {
    birth.expect("EC0");
    assert!(birth.feed(preamble().as_bytes()));
    birth.expect("EC1");
    birth.expect("EC2");
    birth.hang_up();
    birth.end();
}

#[test]
fn it_is_born_and_ends_with_its_parent() {
    everywhere(|python| live(Birth::start(command(python), false)));
}

#[test]
fn a_standard_input_that_does_not_block_is_as_good() {
    everywhere(|python| live(Birth::start(command(python), true)));
}

#[test]
fn the_preamble_may_arrive_byte_by_byte() {
    everywhere(|python| {
        let mut birth = Birth::start(command(python), true);
        birth.expect("EC0");
        for byte in preamble().as_bytes() {
            assert!(birth.feed(&[*byte]));
            std::thread::yield_now();
        }
        birth.expect("EC2");
        birth.hang_up();
        birth.end();
    });
}

#[test]
fn variables_for_python_do_not_disturb_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let startup = directory.path().join("startup.py");
    std::fs::write(&startup, "print('EC9')\n").expect("a temporary file");
    everywhere(|python| {
        let mut command = command(python);
        command
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONINSPECT", "1")
            .env("PYTHONSTARTUP", &startup)
            .env("PYTHONOPTIMIZE", "2")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        live(Birth::start(command, false));
    });
}

/// Cuts the preamble at the given places; after each, everything must end without our help.
fn cut(python: &Python, places: impl Iterator<Item = usize>) {
    let preamble = preamble();
    for place in places {
        let mut birth = Birth::start(command(python), place % 2 == 0);
        birth.expect("EC0");
        birth.feed(&preamble.as_bytes()[..place]);
        birth.hang_up();
        birth.end();
        let seen = String::from_utf8_lossy(&birth.seen).into_owned();
        assert!(!seen.contains("EC2"), "Python {} is ready with {place} bytes: {seen:?}", python.version);
    }
}

#[test]
fn cut_off_anywhere_it_ends_by_itself() {
    let length = preamble().as_bytes().len();
    let stage = preamble().as_bytes().iter().position(|&byte| byte == 0).expect("a NUL ends the stage");
    let whole = std::env::var_os("MITOGEN_TEST_WHOLE").is_some();
    everywhere(|python| {
        if whole && (python.version == "2.7" || python.version == "3.13") {
            cut(python, 0..length);
        } else {
            let edges = [0, 1, stage / 2, stage, stage + 1, stage + 2, (stage + length) / 2];
            cut(python, edges.into_iter().chain([length - 150, length - 20, length - 1]));
        }
    });
}
