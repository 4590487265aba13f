//! Bombs: each is a typed error, found at once, while memory stays flat.
//!
//! One test, since the peak is the whole process's.

use mitogen_wire::pickle::{self, Limits, PickleError};
use std::time::Duration;

/// The most memory that this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM is there");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// The processor time that this thread has had: the clock on the wall also counts what others do.
#[cfg(target_os = "linux")]
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("/proc is mounted");
    Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number"))
}

#[cfg(not(target_os = "linux"))]
fn spent() -> Duration {
    Duration::ZERO
}

#[cfg(not(target_os = "linux"))]
fn peak() -> usize {
    0
}

/// A list in which each level holds the one below twice.
fn doubling(levels: u8) -> Vec<u8> {
    let mut data = b"\x80\x02]q\x00".to_vec();
    for level in 1..=levels {
        data.extend_from_slice(&[b']', b'(', b'h', level - 1, b'h', level - 1, b'e', b'q', level]);
    }
    data.push(b'.');
    data
}

/// A text of a megabyte that is named over and over.
fn echo() -> Vec<u8> {
    let mut data = b"\x80\x02](X\x00\x00\x10\x00".to_vec();
    data.extend(vec![b'a'; 1 << 20]);
    data.extend_from_slice(b"q\x00");
    data.extend(b"h\x00".repeat(100_000));
    data.extend_from_slice(b"e.");
    data
}

/// The same, but each time called into being as bytes.
fn encoded_echo() -> Vec<u8> {
    let mut data = b"\x80\x02(c_codecs\nencode\nq\x01X\x00\x00\x10\x00".to_vec();
    data.extend("é".repeat(1 << 19).bytes());
    data.extend_from_slice(b"q\x00h\x00\x86q\x02R");
    data.extend(b"h\x01h\x02R".repeat(100_000));
    data.extend_from_slice(b"t.");
    data
}

/// Each list is put into the one before while it is empty, so that no opcode sees more than two levels.
fn late(levels: usize) -> Vec<u8> {
    let mut data = b"\x80\x02]q\x00q\x01".to_vec();
    for _ in 0..levels {
        // The next list goes into the last one, and takes its place in the memo.
        data.extend_from_slice(b"h\x01]q\x01a");
    }
    data.extend_from_slice(b"h\x00.");
    data
}

fn with_tail(head: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, tail].concat()
}

#[test]
fn bombs() {
    let lists = |n: usize| {
        with_tail(&with_tail(b"\x80\x02", &b"]".repeat(n)), &[&b"a".repeat(n - 1)[..], b"."].concat())
    };
    let limit = |error: &PickleError| matches!(error, PickleError::Limit { .. });
    let cut = |error: &PickleError| matches!(error, PickleError::Truncated { .. });
    let opcode = |error: &PickleError| matches!(error, PickleError::Opcode { name: "DUP", .. });
    let malformed = |error: &PickleError| matches!(error, PickleError::Malformed { .. });
    type Expected<'a> = &'a dyn Fn(&PickleError) -> bool;
    let cases: Vec<(&str, Vec<u8>, Expected<'_>)> = vec![
        ("84 bytes of DUP", [&b"\x80\x02]"[..], &b"2a".repeat(40), b"."].concat(), &opcode),
        ("8,000 nested lists", lists(8_000), &limit),
        ("1,000,000 nested lists", lists(1_000_000), &limit),
        (
            "1,000,000 nested lists, all named",
            [&b"]q\x00".repeat(1_000_000)[..], &b"a".repeat(999_999), b"."].concat(),
            &limit,
        ),
        (
            "nested dicts",
            [&b"}K\x00".repeat(1_000_000)[..], b"N", &b"s".repeat(1_000_000), b"."].concat(),
            &limit,
        ),
        ("8,000 levels that grow late", late(8_000), &limit),
        ("nested tuples", [&b"\x80\x02)"[..], &b"\x85".repeat(1_000_000), b"."].concat(), &limit),
        ("a million marks", with_tail(b"\x80\x02", &b"(".repeat(1_000_000)), &limit),
        ("doubling by memo, 30 levels", doubling(30), &limit),
        ("doubling by memo, 250 levels", doubling(250), &limit),
        ("a megabyte named 100,000 times", echo(), &limit),
        ("a megabyte encoded 100,000 times", encoded_echo(), &limit),
        ("LONG4 of 2 GiB", b"\x80\x02\x8b\xff\xff\xff\x7f.".to_vec(), &limit),
        ("LONG4 of -1", b"\x80\x02\x8b\xff\xff\xff\xff.".to_vec(), &malformed),
        ("a long of 1 MiB", with_tail(b"\x80\x02\x8b\x00\x00\x10\x00", &vec![1; 1 << 20]), &limit),
        ("BINUNICODE of 4 GiB", b"\x80\x02X\xff\xff\xff\xff.".to_vec(), &cut),
        ("BINSTRING of 2 GiB", b"\x80\x02T\xff\xff\xff\x7f.".to_vec(), &cut),
        ("BINSTRING of -1", b"\x80\x02T\xff\xff\xff\xff.".to_vec(), &malformed),
        ("BINBYTES of 4 GiB", b"\x80\x03B\xff\xff\xff\xff.".to_vec(), &cut),
        ("memo entry 4,294,967,295", b"\x80\x02]r\xff\xff\xff\xffj\xfe\xff\xff\xff.".to_vec(), &malformed),
        ("a line that never ends", with_tail(b"\x80\x02c", &vec![b'a'; 1 << 20]), &cut),
        ("digits without end", [&b"\x80\x02I"[..], &vec![b'9'; 1 << 20], b"\n."].concat(), &malformed),
    ];
    for (name, data, expected) in cases {
        let before = peak();
        let start = spent();
        let error = pickle::read(&data, &Limits::default()).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        let grown = peak() - before;
        let took = spent() - start;
        eprintln!("{name}: {} bytes, {took:?}, {grown} bytes more: {error}", data.len());
        // An honest message of one-byte values takes 16 bytes for each on the stack, doubled as it grows.
        let fair = data.len() * 32;
        assert!(grown <= (4 << 20) + fair, "{name}: {grown} bytes");
        assert!(took.as_secs() < 5, "{name}: {took:?}");
    }
}

#[test]
fn a_bomb_below_the_limit_yields_no_more_than_the_limit() {
    // 2**16 lists and more: 65,536 * 2 slots of 40 bytes pass 5 MiB; two levels more would pass the 8 MiB.
    assert!(pickle::read(&doubling(15), &Limits::default()).is_ok());
    assert!(matches!(pickle::read(&doubling(18), &Limits::default()), Err(PickleError::Limit { .. })));
}

#[test]
fn many_pickles_share_one_allowance() {
    let mut data = doubling(15);
    for _ in 0..10_000 {
        data.extend_from_slice(b"h\x0f.");
    }
    assert!(matches!(pickle::read_many(&data, &Limits::default()), Err(PickleError::Limit { .. })));
}
