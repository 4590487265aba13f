//! Who falls silent in the middle of a transfer, or says what it should not: a typed error in bounded time, nothing half
//! written, and the others go on.

mod common;

use common::{connect, define, interpreters, names, wait_for};
use mitogen::{Context, Error, FileErrorKind, Local, Router, TransferOptions};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a silence may be here.
const PATIENCE: Duration = Duration::from_secs(3);
/// What no test needs.
const LIMIT: Duration = Duration::from_secs(60);

fn router() -> Router {
    Router::builder().file_patience(PATIENCE).build().unwrap()
}

/// A file of so many bytes in a directory of its own.
fn place(size: usize) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..size).map(|at| (at * 31 / 7 % 251) as u8).collect();
    let from = directory.path().join("from");
    std::fs::write(&from, bytes).unwrap();
    (directory, from)
}

/// The first and the last interpreter of this machine.
fn pythons() -> Vec<PathBuf> {
    let mut all = interpreters();
    if all.len() > 2 {
        all.drain(1..all.len() - 1);
    }
    all
}

async fn pid(context: &Context) -> Pid {
    Pid::from_raw(context.call("os.getpid", ()).await.unwrap()).unwrap()
}

async fn child(of: &Context, python: &Path) -> Context {
    of.connect(Local::new().python(python.to_string_lossy())).await.unwrap()
}

/// Options by which a process is stopped when the first bytes are under way.
fn stopping(victim: Pid) -> TransferOptions {
    let done = AtomicBool::new(false);
    TransferOptions::new().sync(false).on_progress(move |_| {
        if !done.swap(true, Ordering::Relaxed) {
            kill_process(victim, Signal::STOP).unwrap();
        }
    })
}

async fn ends<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: no end"))
}

#[track_caller]
fn kind<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) -> FileErrorKind {
    match result {
        Err(Error::File(error)) => error.kind,
        other => panic!("{what}: no file's error: {other:?}"),
    }
}

/// The names in a directory.
#[tokio::test]
async fn a_context_that_is_stopped_ends_its_transfer_and_no_other() {
    for python in pythons() {
        // All of it fits into the window, and far from all.
        for size in [500_000, 20_000_000] {
            for up in [true, false] {
                let what = format!("{}, {size} bytes, up {up}", python.display());
                let router = router();
                let hop = connect(&router, &python).await;
                let (stopped, other) = (child(&hop, &python).await, child(&hop, &python).await);
                let (directory, from) = place(size);
                let to = directory.path().join("to");
                std::fs::write(&to, "old").unwrap();
                let victim = pid(&stopped).await;
                let options = stopping(victim);
                let transfer = async {
                    match up {
                        true => stopped.upload_with(&from, &to, &options).await,
                        false => stopped.download_with(&from, &to, &options).await,
                    }
                };
                let other_to = directory.path().join("other");
                let (result, others) =
                    ends(&what, async { tokio::join!(transfer, other.upload(&from, &other_to)) }).await;
                // What is short may have come before it was stopped.
                let came = !up && size == 500_000 && result.is_ok();
                assert!(came || kind(&what, result) == FileErrorKind::Stalled, "{what}");
                assert_eq!(others.expect(&what).bytes, size as u64);
                // And the other way, meanwhile.
                ends(&what, other.download(&from, &other_to)).await.expect(&what);
                assert_eq!(router.files().pending(), 0, "{what}");
                // It goes on, and hears that there is nothing to go on with.
                kill_process(victim, Signal::CONT).unwrap();
                ends(&what, stopped.list_files(directory.path())).await.expect(&what);
                wait_for(&what, || names(directory.path()) == ["from", "other", "to"]);
                let whole = std::fs::read(&from).unwrap();
                let now = std::fs::read(&to).unwrap();
                // What was in the pipe to its end has arrived since.
                assert!(
                    now == b"old" || (up && size == 500_000 || came) && now == whole,
                    "{what}: {} bytes",
                    now.len()
                );
                ends(&what, stopped.upload(&from, &to)).await.expect(&what);
                assert!(std::fs::read(&to).unwrap() == whole, "{what}");
                router.shutdown().await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_neighbour_that_is_stopped_ends_all_that_is_queued_for_it() {
    let python = pythons().pop().unwrap();
    let router = router();
    let (stopped, other) = (connect(&router, &python).await, connect(&router, &python).await);
    let (directory, from) = place(20_000_000);
    let at = |name: usize| directory.path().join(name.to_string());
    let victim = pid(&stopped).await;
    // Its agent has answered: what is asked of it now is all under way when it is stopped.
    let begun = std::sync::atomic::AtomicUsize::new(0);
    let begun = std::sync::Arc::new(begun);
    let uploads = (0..8).map(|number| {
        let begun = std::sync::Arc::clone(&begun);
        let options = TransferOptions::new().sync(false).on_progress(move |_| {
            if begun.fetch_add(1, Ordering::Relaxed) == 0 {
                kill_process(victim, Signal::STOP).unwrap();
            }
        });
        let (context, from, to) = (stopped.clone(), from.clone(), at(number));
        async move { context.upload_with(from, to, &options).await }
    });
    let uploads = futures_util::future::join_all(uploads);
    let (results, free) = ends("uploads", async { tokio::join!(uploads, other.upload(&from, at(99))) }).await;
    free.unwrap();
    for result in results {
        assert_eq!(kind("queued", result), FileErrorKind::Stalled);
    }
    assert_eq!(router.files().pending(), 0);
    kill_process(victim, Signal::CONT).unwrap();
    ends("it goes on", stopped.upload(&from, at(0))).await.unwrap();
    wait_for("nothing is left", || names(directory.path()) == ["0", "99", "from"]);
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_is_stopped_behind_a_relay_is_lost_to_it_and_the_others_get_theirs() {
    for python in pythons() {
        let router = router();
        let hop = connect(&router, &python).await;
        let middle = child(&hop, &python).await;
        let all = [child(&hop, &python).await, child(&middle, &python).await, child(&middle, &python).await];
        let (directory, from) = place(12_000_000);
        let mut own = Vec::new();
        for (number, context) in all.iter().enumerate() {
            own.push(directory.path().join(number.to_string()));
            std::fs::create_dir(&own[number]).unwrap();
            context.call::<()>("os.chdir", (own[number].to_str().unwrap(),)).await.unwrap();
        }
        let victim = pid(&all[1]).await;
        let options = stopping(victim);
        let pushed = router.upload_to(&all, &from, Path::new("to"), &options);
        let results = ends("a push", pushed).await;
        for (number, result) in results.into_iter().enumerate() {
            if number == 1 {
                assert_eq!(kind("the stopped one", result), FileErrorKind::Stalled);
            } else {
                assert_eq!(result.unwrap().bytes, 12_000_000);
                assert!(std::fs::read(own[number].join("to")).unwrap() == std::fs::read(&from).unwrap());
            }
        }
        kill_process(victim, Signal::CONT).unwrap();
        ends("it goes on", all[1].list_files(".")).await.unwrap();
        wait_for("nothing is left", || names(&own[1]).is_empty());
        assert_eq!(router.files().pending(), 0);
        router.shutdown().await.unwrap();
    }
}

/// Has an agent say something else in the place of acknowledgements.
async fn pervert(context: &Context, acknowledge: &str) {
    let source = format!("import mitogen.transfer\nmitogen.transfer.acknowledge = {acknowledge}\n");
    let _ = context.list_files("/proc/self/fd").await.unwrap();
    define(context, "perverted", &source).await;
}

#[tokio::test]
async fn who_acknowledges_nothing_or_too_much_is_told_so() {
    use FileErrorKind::*;
    for python in pythons() {
        for (acknowledge, expected) in [
            // It reads all that it gets.
            ("lambda msg, count: None", Stalled),
            (
                "lambda msg, count: msg.reply(mitogen.core.Message(data=str(count + (1 << 30)).encode()))",
                Protocol,
            ),
            ("lambda msg, count: msg.reply(mitogen.core.Message(data='nonsense'.encode()))", Protocol),
            ("lambda msg, count: msg.reply(mitogen.core.Message(data='-5'.encode()))", Protocol),
            ("lambda msg, count: msg.reply(mitogen.core.Message(data='0'.encode()))", Stalled),
        ] {
            let what = format!("{}, {acknowledge}", python.display());
            let router = router();
            let hop = connect(&router, &python).await;
            let (hostile, other) = (child(&hop, &python).await, child(&hop, &python).await);
            pervert(&hostile, acknowledge).await;
            let (directory, from) = place(20_000_000);
            let (to, other_to) = (directory.path().join("to"), directory.path().join("other"));
            let both = async { tokio::join!(hostile.upload(&from, &to), other.upload(&from, &other_to)) };
            let (result, others) = ends(&what, both).await;
            assert_eq!(kind(&what, result), expected, "{what}");
            others.expect(&what);
            wait_for(&what, || names(directory.path()) == ["from", "other"]);
            assert_eq!(router.files().pending(), 0);
            // Its agent has heard the end, and serves what needs no acknowledgement.
            ends(&what, hostile.download(&from, &to)).await.expect(&what);
            router.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_sender_that_hears_nonsense_gives_up() {
    for python in pythons() {
        let router = router();
        let context = connect(&router, &python).await;
        let (directory, from) = place(20_000_000);
        let _ = context.list_files(directory.path()).await.unwrap();
        let slow = "import time, mitogen.sending, mitogen.transfer\n\
                    old = mitogen.sending.Outgoing.await_window\n\
                    mitogen.sending.Outgoing.await_window = lambda self: (time.sleep(.02), old(self))\n\
                    handles = lambda: list(mitogen.transfer.transfers)\n";
        define(&context, "slow", slow).await;
        let nonsense = async {
            loop {
                let handles: Vec<u32> = context.call("slow.handles", ()).await.unwrap();
                if let [handle] = handles[..] {
                    let address = mitogen::Address { context: context.id(), handle: mitogen::Handle(handle) };
                    router.sender(address).send("nonsense").await.unwrap();
                    return;
                }
            }
        };
        let to = directory.path().join("to");
        let (result, ()) =
            ends("a download", async { tokio::join!(context.download(&from, &to), nonsense) }).await;
        assert_eq!(kind("nonsense", result), FileErrorKind::Protocol);
        assert_eq!(names(directory.path()), ["from"]);
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn strangers_neither_acknowledge_nor_send() {
    // Numbers, raw bytes, ends and dead messages to all handles that a transfer may have, of both its sides.
    const FLOOD: &str = "
import mitogen.core
def flood(target, low, high):
    core = mitogen.core
    for handle in range(low, high):
        for data in '131046', '99999999999', 'x' * 3000:
            for enc in core.Message(data=data.encode()).enc, core.ENC_BYTES:
                core.router.route(core.Message(dst_id=target, handle=handle, data=data.encode(), enc=enc))
        core.router.route(core.Message.pickled(('end', 5, None), dst_id=target, handle=handle))
        core.router.route(core.Message.dead('over', dst_id=target, handle=handle))
";
    for python in pythons() {
        let router = router();
        let (context, stranger) = (connect(&router, &python).await, connect(&router, &python).await);
        define(&stranger, "stranger", FLOOD).await;
        let (directory, from) = place(30_000_000);
        let (up, down) = (directory.path().join("up"), directory.path().join("down"));
        let flood = async {
            loop {
                for target in [0, context.id().0] {
                    // Its own answer may be among what it spoils.
                    let call = mitogen::Call::new("stranger.flood").arg(target).arg(1000).arg(1060);
                    let _ = stranger.start::<()>(call.timeout(Duration::from_secs(5))).await;
                }
            }
        };
        let options = TransferOptions::new().verify(true);
        let transfers = async {
            tokio::join!(
                context.upload_with(&from, &up, &options),
                context.download_with(&from, &down, &options)
            )
        };
        let (sent, got) = tokio::select! {
            both = ends("transfers", transfers) => both,
            () = flood => unreachable!(),
        };
        sent.unwrap();
        got.unwrap();
        for path in [&up, &down] {
            assert!(std::fs::read(path).unwrap() == std::fs::read(&from).unwrap());
        }
        assert_eq!(names(directory.path()), ["down", "from", "up"]);
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_waits_behind_others_is_not_taken_for_lost() {
    // Its sender is slow, and sends one after the other: the last waits for longer than a silence may be.
    for python in pythons() {
        let router = router();
        let context = connect(&router, &python).await;
        let _ = context.list_files("/proc/self/fd").await.unwrap();
        let slow = "import time, mitogen.sending\n\
                    old = mitogen.sending.Outgoing.await_window\n\
                    mitogen.sending.Outgoing.await_window = lambda self: (time.sleep(.1), old(self))\n";
        define(&context, "slow", slow).await;
        let (directory, from) = place(1_000_000);
        let downloads = (0..6).map(|number| {
            let (context, from, to) =
                (context.clone(), from.clone(), directory.path().join(number.to_string()));
            async move { context.download(from, to).await }
        });
        for result in ends("downloads", futures_util::future::join_all(downloads)).await {
            result.unwrap();
        }
        router.shutdown().await.unwrap();
    }
}
