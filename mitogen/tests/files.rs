//! Files there and back: whatever the size, the name, the depth and the Python, bytes, mode and time stay.

mod common;

use common::{connect, interpreters};
use mitogen::{Context, FileErrorKind, Local, Router, TransferOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes that do not repeat soon, the same for the same length.
fn content(length: usize) -> Vec<u8> {
    let mut state = length as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(length);
    bytes
}

/// A file of this content, mode 0640, last written at some time long ago.
fn make(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_000);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// Whether a file is what `make` made.
#[track_caller]
fn check(path: &Path, bytes: &[u8], what: &str) {
    let metadata = std::fs::metadata(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(metadata.len(), bytes.len() as u64, "{what}");
    assert_eq!(metadata.mode() & 0o7777, 0o640, "{what}");
    let nanoseconds = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
    assert_eq!(nanoseconds / 1000, 1_234_567_890_123_456, "{what}");
    assert!(std::fs::read(path).unwrap() == bytes, "{what}: the content is another");
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// One context behind the other.
async fn chain(router: &Router, python: &Path, depth: usize) -> Context {
    let mut context = connect(router, python).await;
    for _ in 1..depth {
        context = context.connect(Local::new().python(python.to_string_lossy())).await.expect("a context");
    }
    context
}

const SIZES: [usize; 10] = [0, 1, 65_536, 65_537, 131_045, 131_046, 131_047, 262_092, 1_000_000, 3_000_001];

async fn round_trips(context: &Context, what: &str) {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for size in SIZES {
        for (form, options) in [
            ("plain", TransferOptions::new()),
            ("packed", TransferOptions::new().compress(true).verify(true).sync(false)),
        ] {
            let what = format!("{what}, {size} bytes, {form}");
            let bytes = content(size);
            make(&at("a"), &bytes);
            let put = context.upload_with(at("a"), at("b ü\n"), &options).await;
            let put = put.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((put.bytes, &put.path), (size as u64, &at("b ü\n")), "{what}");
            check(&at("b ü\n"), &bytes, &what);
            let got = context.download_with(at("b ü\n"), at("c"), &options).await;
            let got = got.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((got.bytes, &got.path), (size as u64, &at("c")), "{what}");
            check(&at("c"), &bytes, &what);
            assert_eq!(names(directory.path()), ["a", "b ü\n", "c"], "{what}");
        }
    }
}

#[tokio::test]
async fn every_python_sends_and_receives_every_size() {
    for python in interpreters() {
        let router = Router::new().unwrap();
        let context = connect(&router, &python).await;
        round_trips(&context, &python.display().to_string()).await;
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn depth_changes_nothing() {
    let pythons = interpreters();
    for python in [pythons.first(), pythons.last()].into_iter().flatten() {
        for depth in [2, 4] {
            let router = Router::new().unwrap();
            let context = chain(&router, python, depth).await;
            round_trips(&context, &format!("{} at depth {depth}", python.display())).await;
            router.shutdown().await.unwrap();
        }
    }
}
