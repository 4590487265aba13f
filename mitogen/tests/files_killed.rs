//! Whatever dies in the middle of a transfer, and wherever a connection is cut: a typed error, the old file or the
//! new one, and nothing else. `MITOGEN_KILLS` says how often something is killed (default 12).

mod common;

use common::{connect, interpreters, wait_dead};
use mitogen::{Context, Error, Local, Router, TransferOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const LONG: usize = 3_000_000;

/// A small generator of numbers: the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) * below) >> 31
    }
}

/// A directory with a file to send and an older one in the place where it goes.
struct Place {
    directory: tempfile::TempDir,
    content: Vec<u8>,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..LONG).map(|at| (at * 31 / 7 % 251) as u8).collect();
        std::fs::write(directory.path().join("from"), &content).unwrap();
        std::fs::create_dir(directory.path().join("there")).unwrap();
        let place = Place { directory, content };
        place.reset();
        place
    }

    fn from(&self) -> PathBuf {
        self.directory.path().join("from")
    }

    fn to(&self) -> PathBuf {
        self.directory.path().join("there/to")
    }

    fn reset(&self) {
        std::fs::write(self.to(), "old").unwrap();
    }

    /// Nothing but the old file or the whole new one is there.
    #[track_caller]
    fn check(&self, sent: bool, what: &str) {
        let there = self.directory.path().join("there");
        let names: Vec<_> =
            std::fs::read_dir(there).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["to"], "{what}");
        let now = std::fs::read(self.to()).unwrap();
        assert!(now == self.content || !sent && now == b"old", "{what}: {} bytes are there", now.len());
    }
}

async fn transfer(context: &Context, place: &Place, up: bool) -> Result<(), Error> {
    let options = TransferOptions::new().sync(false);
    let moved = async {
        match up {
            true => context.upload_with(place.from(), place.to(), &options).await,
            false => context.download_with(place.from(), place.to(), &options).await,
        }
    };
    tokio::time::timeout(LIMIT, moved).await.expect("a transfer ends").map(drop)
}

#[track_caller]
fn check_error(error: &Error, what: &str) {
    let typed = matches!(error, Error::Lost { .. } | Error::File(_) | Error::Closed | Error::Connect(_));
    assert!(typed, "{what}: {error:?}");
}

#[tokio::test]
async fn whoever_is_killed_nothing_is_lost_and_nothing_is_left() {
    let Some(python) = interpreters().pop() else { return };
    let kills: u64 = std::env::var("MITOGEN_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let place = Place::new();
    let router = Router::new().unwrap();
    let mut dice = Dice(7);
    let (mut sent, mut cut) = (0, 0);
    for round in 0..kills {
        place.reset();
        let first = connect(&router, &python).await;
        let last = first.connect(Local::new().python(python.to_string_lossy())).await.unwrap();
        let mut pids = Vec::new();
        for context in [&first, &last] {
            pids.push(context.call::<u32>("os.getpid", ()).await.unwrap());
            // So that the time of the kill falls into the transfer.
            let _ = context.list_files(place.directory.path()).await.unwrap();
        }
        let (up, victim) = (dice.roll(2) == 0, pids[dice.roll(2) as usize]);
        let after = Duration::from_micros(dice.roll(40_000));
        let what = format!("round {round}, up {up}, killed after {after:?}");
        let kill = async {
            tokio::time::sleep(after).await;
            let pid = rustix::process::Pid::from_raw(victim as i32).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        };
        let (result, ()) = tokio::join!(transfer(&last, &place, up), kill);
        match &result {
            Ok(()) => sent += 1,
            Err(error) => {
                cut += 1;
                check_error(error, &what);
            }
        }
        let _ = first.shutdown().await;
        for pid in pids {
            wait_dead(pid, LIMIT);
        }
        place.check(result.is_ok(), &what);
    }
    router.shutdown().await.unwrap();
    println!("{sent} were sent, {cut} were cut");
    assert_eq!(sent + cut, kills);
}

/// Passes bytes on between us and an interpreter, and ends after so many in one direction.
const SCISSORS: &str = r#"
import os, subprocess, sys, threading
child = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def pump(source, sink, left):
    while 1:
        data = os.read(source, 65536)
        if len(data) > left:
            data = data[:left]
        left -= len(data)
        while data:
            data = data[os.write(sink, data):]
        if left <= 0:
            os._exit(0)
        if not data and not left:
            return
threading.Thread(target=pump, args=(0, child.stdin.fileno(), int(sys.argv[1]))).start()
pump(child.stdout.fileno(), 1, int(sys.argv[2]))
"#;

#[tokio::test]
async fn a_connection_that_is_cut_at_any_chunk_leaves_nothing() {
    let Some(python) = interpreters().pop() else { return };
    let place = Place::new();
    let script = place.directory.path().join("scissors.py");
    std::fs::write(&script, SCISSORS).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut cuts = 0;
    for up in [true, false] {
        for step in 0..=24 {
            // In the middle of each chunk.
            let after = 100_000 + 131_092 * step;
            let what = format!("up {up}, cut after {after} bytes");
            place.reset();
            let router = Router::new().unwrap();
            let limits = if up { [after, usize::MAX >> 1] } else { [usize::MAX >> 1, after] };
            let argv =
                [path(&python), path(&script), limits[0].to_string(), limits[1].to_string(), path(&python)];
            let context = router.connect(Local::new().python_argv(argv)).await.expect(&what);
            let pid: u32 = context.call("os.getpid", ()).await.expect(&what);
            let result = transfer(&context, &place, up).await;
            if let Err(error) = &result {
                cuts += 1;
                check_error(error, &what);
            }
            let _ = router.shutdown().await;
            wait_dead(pid, LIMIT);
            place.check(result.is_ok(), &what);
        }
    }
    // All but the last ones, which leave room for the whole of it.
    assert!(cuts > 40, "{cuts}");
}
