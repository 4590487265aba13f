//! How files take their place: what a killed process leaves behind is swept away, what somebody else is at work on is
//! not, and what is not what was announced does not land.

mod common;

use common::{connect, define, interpreters, names, wait_dead, wait_for};
use mitogen::{Context, Error, FileErrorKind, Router, TransferOptions};
use rustix::fs::{FlockOperation, flock};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first and the last interpreter of this machine.
fn pythons() -> Vec<PathBuf> {
    let mut all = interpreters();
    if all.len() > 2 {
        all.drain(1..all.len() - 1);
    }
    all
}

/// A directory with a file to send, `from`, and an older one in its place, `to`.
struct Place(tempfile::TempDir);

impl Place {
    fn new(size: usize) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::write(place.at("from"), vec![7; size]).unwrap();
        std::fs::write(place.at("to"), "old").unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        names(self.0.path())
    }

    /// Whether the old file is there as it was, and nothing more.
    #[track_caller]
    fn check_old(&self, what: &str) {
        assert_eq!(self.names(), ["from", "to"], "{what}");
        assert_eq!(std::fs::read(self.at("to")).unwrap(), b"old", "{what}");
    }
}

async fn transfer(
    context: &Context,
    place: &Place,
    up: bool,
    options: &TransferOptions,
) -> Result<(), Error> {
    let (from, to) = (place.at("from"), place.at("to"));
    let moved = async {
        match up {
            true => context.upload_with(from, to, options).await,
            false => context.download_with(from, to, options).await,
        }
    };
    tokio::time::timeout(Duration::from_secs(60), moved).await.expect("a transfer ends").map(drop)
}

#[track_caller]
fn kind(what: &str, result: Result<(), Error>) -> FileErrorKind {
    match result {
        Err(Error::File(error)) => error.kind,
        other => panic!("{what}: no file's error: {other:?}"),
    }
}

/// Makes an agent ready for files, and has it run this.
async fn pervert(context: &Context, source: &str) {
    let _ = context.list_files("/nonexistent").await;
    let modules = "import os, mitogen.files, mitogen.landing, mitogen.sending, mitogen.transfer\n";
    define(context, "perverted", &format!("{modules}{source}\n")).await;
}

#[tokio::test]
async fn what_a_process_left_that_was_killed_before_its_last_step_is_swept_away() {
    for python in pythons() {
        let router = Router::new().unwrap();
        for size in [1000, 500_000] {
            let place = Place::new(size);
            let context = connect(&router, &python).await;
            let pid: u32 = context.call("os.getpid", ()).await.unwrap();
            // It has linked the new file beside the old one; the next thing would be to rename it.
            pervert(&context, "os.rename = lambda old, new: os.kill(os.getpid(), 9)").await;
            let error = transfer(&context, &place, true, &TransferOptions::new()).await.unwrap_err();
            assert!(matches!(error, Error::Lost { .. }), "{error:?}");
            wait_dead(pid, Duration::from_secs(30));
            assert_eq!(place.names(), [".to.mitogen", "from", "to"], "{}", python.display());
            assert_eq!(std::fs::read(place.at("to")).unwrap(), b"old");
            // Whoever comes there next, from whichever side, takes it away.
            let relic = std::fs::read(place.at(".to.mitogen")).unwrap();
            assert!(relic == std::fs::read(place.at("from")).unwrap(), "what has a name is whole");
            let next = connect(&router, &python).await;
            for up in [true, false] {
                std::fs::write(place.at(".to.mitogen"), &relic).unwrap();
                transfer(&next, &place, up, &TransferOptions::new()).await.unwrap();
                assert_eq!(place.names(), ["from", "to"], "up {up}");
                assert!(std::fs::read(place.at("to")).unwrap() == relic, "up {up}");
            }
        }
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_somebody_else_is_about_to_rename_stays() {
    for python in pythons() {
        let router = Router::new().unwrap();
        let context = connect(&router, &python).await;
        let place = Place::new(1000);
        std::fs::write(place.at(".to.mitogen"), "another's").unwrap();
        let another = std::fs::File::open(place.at(".to.mitogen")).unwrap();
        flock(&another, FlockOperation::NonBlockingLockExclusive).unwrap();
        for up in [true, false] {
            transfer(&context, &place, up, &TransferOptions::new()).await.unwrap();
            assert_eq!(place.names(), [".to.mitogen", "from", "to"], "up {up}");
            assert_eq!(std::fs::read(place.at(".to.mitogen")).unwrap(), b"another's");
            assert_eq!(std::fs::read(place.at("to")).unwrap().len(), 1000);
        }
        drop(another);
        // A link of that name leads nowhere.
        std::fs::remove_file(place.at(".to.mitogen")).unwrap();
        std::fs::write(place.at("precious"), "precious").unwrap();
        std::os::unix::fs::symlink("precious", place.at(".to.mitogen")).unwrap();
        for up in [true, false] {
            transfer(&context, &place, up, &TransferOptions::new()).await.unwrap();
            assert_eq!(std::fs::read(place.at("precious")).unwrap(), b"precious");
        }
        router.shutdown().await.unwrap();
    }
}

/// A file system of its own, gone when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Mounted> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Mounted::mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], directory.path());
        if !mounted {
            eprintln!("SKIPPED: nothing can be mounted here");
        }
        mounted.then_some(Mounted(directory))
    }

    fn mount(options: &[&str], place: &Path) -> bool {
        let output = std::process::Command::new("mount").args(options).arg(place).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_read_only_target_is_left_as_it_is() {
    let Some(mounted) = Mounted::new() else { return };
    let there = mounted.0.path();
    std::fs::write(there.join("to"), "old").unwrap();
    assert!(Mounted::mount(&["-o", "remount,ro"], there));
    for python in pythons() {
        let router = Router::new().unwrap();
        let context = connect(&router, &python).await;
        for size in [1000, 500_000] {
            let place = Place::new(size);
            for name in ["to", "new"] {
                for resume in [false, true] {
                    let what = format!("{name}, {size} bytes, resume {resume}");
                    let options = TransferOptions::new().resume(resume);
                    let (from, to) = (place.at("from"), there.join(name));
                    let up = context.upload_with(&from, &to, &options).await.map(drop);
                    assert_eq!(kind(&what, up), FileErrorKind::ReadOnly, "{what}");
                    let down = context.download_with(&from, &to, &options).await.map(drop);
                    assert_eq!(kind(&what, down), FileErrorKind::ReadOnly, "{what}");
                }
            }
        }
        assert_eq!(
            (names(there), std::fs::read(there.join("to")).unwrap()),
            (vec!["to".to_owned()], b"old".to_vec())
        );
        assert_eq!(router.files().pending(), 0);
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_what_was_announced_does_not_land() {
    use FileErrorKind::*;
    let lie = |size: &str| {
        format!(
            "old = mitogen.files.describe\n\
             def describe(info):\n    \
                 result = old(info)\n    \
                 result['size'] {size}\n    \
                 return result\n\
             mitogen.files.describe = describe"
        )
    };
    let end = |words: &str| {
        format!(
            "old = mitogen.sending.Outgoing.say\n\
             def say(self, *words):\n    \
                 if words[0] == 'end':\n        \
                     words = {words}\n    \
                 old(self, *words)\n\
             mitogen.sending.Outgoing.say = say"
        )
    };
    for python in pythons() {
        // A sender that sends more or less than it said, another content, or nothing after all; and a receiver in
        // which another content arrives.
        for (up, source, expected) in [
            (false, lie("+= 1"), WrongSize),
            (false, lie("-= 1"), WrongSize),
            (false, lie("= 1 << 62"), WrongSize),
            (false, end("('end', words[1] - 1, None)"), WrongSize),
            (false, end("('end', words[1] + 1, words[2])"), WrongSize),
            (false, end("('end', words[1], '00' * 32)"), WrongDigest),
            (false, end("('nonsense', 5)"), Protocol),
            (false, end("('hole', 1 << 62)"), WrongSize),
            (
                true,
                "import mitogen.core\n\
                 old = mitogen.transfer.Incoming.keep\n\
                 mitogen.transfer.Incoming.keep = lambda self, pieces: \
                 old(self, [data[:-1] + data[:1] + data[:1] for data in map(mitogen.core.BytesType, pieces)])"
                    .to_owned(),
                WrongSize,
            ),
            (
                true,
                "import mitogen.core\n\
                 old = mitogen.transfer.Incoming.keep\n\
                 mitogen.transfer.Incoming.keep = lambda self, pieces: \
                 old(self, [data[:-1] for data in map(mitogen.core.BytesType, pieces)])"
                    .to_owned(),
                WrongSize,
            ),
            (
                true,
                "import mitogen.core\n\
                 old = mitogen.transfer.Incoming.keep\n\
                 mitogen.transfer.Incoming.keep = lambda self, pieces: \
                 old(self, [data[1:] + 'x'.encode() for data in map(mitogen.core.BytesType, pieces)])"
                    .to_owned(),
                WrongDigest,
            ),
        ] {
            let what = format!("{}, up {up}, {source}", python.display());
            let router = Router::builder().file_patience(Duration::from_secs(5)).build().unwrap();
            let context = connect(&router, &python).await;
            pervert(&context, &source).await;
            let place = Place::new(500_000);
            let options = TransferOptions::new().verify(expected == WrongDigest);
            let result = transfer(&context, &place, up, &options).await;
            assert_eq!(kind(&what, result), expected, "{what}");
            wait_for(&what, || place.names() == ["from", "to"]);
            place.check_old(&what);
            assert_eq!(router.files().pending(), 0);
            router.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_part_of_another_content_is_of_no_use() {
    for python in pythons() {
        let router = Router::new().unwrap();
        let context = connect(&router, &python).await;
        for up in [true, false] {
            let place = Place::new(3_000_000);
            let options = TransferOptions::new().resume(true);
            // As long as a part can be, and longer than the whole; and of the right content.
            let then = Duration::from_secs(1_234_567_890);
            let from = std::fs::File::options().write(true).open(place.at("from")).unwrap();
            from.set_modified(std::time::SystemTime::UNIX_EPOCH + then).unwrap();
            let mark = then.as_nanos();
            let part = place.at(&format!(".to.{:x}.{mark:x}.mitogen-part", 3_000_000));
            for (content, resumed) in
                [(vec![8; 2_000_000], 0), (vec![8; 4_000_000], 0), (vec![7; 2_000_000], 2_000_000)]
            {
                std::fs::write(&part, content).unwrap();
                let (from, to) = (place.at("from"), place.at("to"));
                let moved = match up {
                    true => context.upload_with(&from, &to, &options).await.unwrap(),
                    false => context.download_with(&from, &to, &options).await.unwrap(),
                };
                assert_eq!((moved.bytes, moved.resumed), (3_000_000, resumed), "up {up}");
                assert!(std::fs::read(to).unwrap() == std::fs::read(from).unwrap(), "up {up}");
                assert_eq!(place.names(), ["from", "to"], "up {up}");
            }
        }
        router.shutdown().await.unwrap();
    }
}
