//! Whatever dies in the middle of a transfer, and wherever a connection is cut: a typed error, the old file or the
//! new one, and nothing else. `MITOGEN_KILLS` says how often something is killed (default 12).

mod common;

use common::{connect, interpreters, open_descriptors, wait_dead};
use mitogen::{Context, Error, Local, Router, TransferOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const LONG: usize = 3_000_000;

/// One test at a time counts descriptors.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A small generator of numbers: the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) * below) >> 31
    }
}

/// How often something is killed.
fn kills() -> u64 {
    std::env::var("MITOGEN_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
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

    /// Whether somebody was killed between giving the whole file a name and renaming it: the next transfer takes
    /// that away.
    async fn sweep(&self, router: &Router, python: &Path) -> bool {
        let relic = self.directory.path().join("there/.to.mitogen");
        let is_there = relic.exists();
        if is_there {
            assert!(std::fs::read(&relic).unwrap() == self.content, "what has a name is whole");
            let context = connect(router, python).await;
            transfer(&context, self, true).await.unwrap();
            context.shutdown().await.unwrap();
        }
        is_there
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
    transfer_with(context, place, up, &TransferOptions::new().sync(false)).await
}

async fn transfer_with(
    context: &Context,
    place: &Place,
    up: bool,
    options: &TransferOptions,
) -> Result<(), Error> {
    let moved = async {
        match up {
            true => context.upload_with(place.from(), place.to(), options).await,
            false => context.download_with(place.from(), place.to(), options).await,
        }
    };
    tokio::time::timeout(LIMIT, moved).await.expect("a transfer ends").map(drop)
}

#[track_caller]
fn check_error(error: &Error, what: &str) {
    let typed = matches!(error, Error::Lost { .. } | Error::File(_) | Error::Closed | Error::Connect(_));
    assert!(typed, "{what}: {error:?}");
}

/// When something is killed: when so many bytes are under way, and then so much later.
#[derive(Clone, Copy, Debug)]
struct When {
    bytes: u64,
    later: Duration,
}

impl When {
    /// Anywhere between the first byte and the landing.
    fn roll(dice: &mut Dice) -> When {
        let bytes = dice.roll(LONG as u64 * 9 / 8).min(LONG as u64 - 1);
        let most = [1, 300, 3000][dice.roll(3) as usize];
        When { bytes, later: Duration::from_micros(dice.roll(most)) }
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The options of a transfer in whose course a process is killed.
fn deadly(when: When, victim: u32) -> TransferOptions {
    let (told, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if waits.recv().is_ok() {
            std::thread::sleep(when.later);
            kill(victim);
        }
    });
    let told = std::sync::Mutex::new(Some(told));
    TransferOptions::new().sync(false).on_progress(move |progress| {
        if progress.bytes > when.bytes
            && let Some(told) = told.lock().unwrap().take()
        {
            let _ = told.send(());
        }
    })
}

async fn descriptors(context: &Context) -> usize {
    let names: Vec<String> = context.call("os.listdir", ("/proc/self/fd",)).await.unwrap();
    names.len()
}

#[tokio::test]
async fn whoever_is_killed_nothing_is_lost_and_nothing_is_left() {
    let _alone = ALONE.lock().await;
    let pythons = interpreters();
    let place = Place::new();
    let router = Router::new().unwrap();
    let mut dice = Dice(7);
    let (mut sent, mut cut, mut swept) = (0, 0, 0);
    let mut open = None;
    for round in 0..kills() {
        let python = if round % 3 == 0 { pythons.first() } else { pythons.last() }.unwrap();
        let first = connect(&router, python).await;
        let last = first.connect(Local::new().python(python.to_string_lossy())).await.unwrap();
        let mut pids = Vec::new();
        for context in [&first, &last] {
            pids.push(context.call::<u32>("os.getpid", ()).await.unwrap());
            // So that the time of the kill falls into the transfer.
            let _ = context.list_files(place.directory.path()).await.unwrap();
        }
        let before = descriptors(&first).await;
        let (up, victim) = (dice.roll(2) == 0, dice.roll(2) as usize);
        let when = When::roll(&mut dice);
        let what = format!("round {round}, up {up}, {victim} was killed {when:?}");
        let result = transfer_with(&last, &place, up, &deadly(when, pids[victim])).await;
        match &result {
            Ok(()) => sent += 1,
            Err(error) => {
                cut += 1;
                check_error(error, &what);
            }
        }
        wait_dead(pids[victim], LIMIT);
        if victim == 1 {
            assert!(descriptors(&first).await <= before, "{what}: descriptors are left open");
        }
        let _ = first.shutdown().await;
        for pid in pids {
            wait_dead(pid, LIMIT);
        }
        swept += u64::from(place.sweep(&router, python).await);
        place.check(result.is_ok(), &what);
        place.reset();
        assert!(router.contexts().is_empty() && router.files().pending() == 0, "{what}");
        // Once everything that is made at first use is there.
        if round == 4 {
            open = Some(open_descriptors());
        }
        let start = std::time::Instant::now();
        while open.is_some_and(|open| open_descriptors() > open + 4) {
            let names = || std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            let names = || names().map(|entry| std::fs::read_link(entry.path())).collect::<Vec<_>>();
            assert!(start.elapsed() < LIMIT, "{what}: {:?} are open, {open:?} were", names());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    router.shutdown().await.unwrap();
    println!("{sent} were sent, {cut} were cut, {swept} between the last two steps");
    assert_eq!(sent + cut, kills());
}

/// The processes that have this in the environment they were started with.
#[cfg(feature = "cli")]
fn marked(mark: &str) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let has_it = |path: &PathBuf| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes())
    };
    processes.filter(has_it).collect()
}

#[cfg(feature = "cli")]
#[test]
fn a_controller_that_is_killed_leaves_nothing() {
    let _alone = ALONE.blocking_lock();
    let place = Place::new();
    let mut dice = Dice(11);
    let mut cut = 0;
    for round in 0..kills() {
        let up = dice.roll(2) == 0;
        let mark = format!("MITOGEN_TEST_MARK={}-{round}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mitogen"));
        command.env(name, value).args(["-t", "local/local", if up { "put" } else { "get" }, "--no-sync"]);
        command.args([place.from(), place.to()]);
        command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        // When both contexts are there the transfer is about to begin.
        let start = std::time::Instant::now();
        let agents = || marked(&mark).len();
        while agents() < 3 && child.try_wait().unwrap().is_none() && start.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(dice.roll(200_000)));
        let _ = child.kill();
        let ended = child.wait().unwrap();
        cut += u64::from(!ended.success());
        let what = format!("round {round}, up {up}, {ended}");
        let start = std::time::Instant::now();
        while !marked(&mark).is_empty() {
            assert!(start.elapsed() < LIMIT, "{what}: {:?} are left", marked(&mark));
            std::thread::sleep(Duration::from_millis(5));
        }
        let relic = place.directory.path().join("there/.to.mitogen");
        if relic.exists() {
            assert!(std::fs::read(&relic).unwrap() == place.content, "what has a name is whole");
            std::fs::remove_file(relic).unwrap();
        }
        place.check(ended.success(), &what);
        place.reset();
    }
    println!("{cut} of {} were cut", kills());
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
    let _alone = ALONE.lock().await;
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
