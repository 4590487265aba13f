//! Contexts fetch files on their own account, by upstream's protocol: what was registered, and nothing else.

mod common;

use common::{connect, interpreters};
use mitogen::{Call, Context, Error, Local, Router, Value};
use std::path::Path;
use std::time::Duration;

/// Functions for a context, as a user would write them.
const CODE: &str = r"
import sys
import mitogen
import mitogen.core
import mitogen.service
import mitogen.api
from mitogen.core import Kwargs, Message

class Sink(object):
    size = 0
    sum = 0
    def write(self, data):
        self.size += len(data)
        self.sum = (self.sum * 31 + sum(bytearray(data[:1] + data[-1:]))) % 1000003

def fetch(path):
    sink = Sink()
    master = mitogen.core.router.context_by_id(0)
    ok, metadata = mitogen.service.FileService.get(master, path, sink)
    return ok, sink.size, sink.sum, metadata

def fetch_slowly(path):
    import time
    sink = Sink()
    write = sink.write
    def slowly(data):
        time.sleep(.005)
        write(data)
    sink.write = slowly
    ok, metadata = mitogen.service.FileService.get(mitogen.core.router.context_by_id(0), path, sink)
    return ok, sink.size, metadata['size']

def fetch_into(path, target):
    out = open(target, 'wb', 0)
    try:
        return mitogen.service.FileService.get(mitogen.core.router.context_by_id(0), path, out)[0]
    finally:
        out.close()

def last_word():
    # What became of the fetches whose bytes nobody takes.
    while 1:
        msg = mitogen.kept.get(timeout=30, throw_dead=False)
        if msg.is_dead:
            return mitogen.core.to_text(msg.data)

def let_go():
    tell('cancel', {'sender': mitogen.kept.to_sender()})

def ask(method, kwargs):
    return mitogen.core.router.context_by_id(0).call_service('mitogen.service.FileService', method, **dict(Kwargs(kwargs)))

def tell(method, kwargs):
    # As upstream's client acknowledges: no answer comes.
    mitogen.core.router.context_by_id(0).call_service_async('mitogen.service.FileService', method, **dict(Kwargs(kwargs)))

def many(path, count):
    # Fetches whose bytes nobody takes.
    master = mitogen.core.router.context_by_id(0)
    receiver = mitogen.api.Receiver(mitogen.core.router)
    mitogen.kept = receiver
    sender = receiver.to_sender()
    answers = [master.call_service_async('mitogen.service.FileService', 'fetch', path=path, sender=sender) for _ in range(count)]
    done = refused = 0
    for answer in answers:
        try:
            answer.get().unpickle()
            done += 1
        except mitogen.core.CallError:
            refused += 1
    return done, refused

def foreign(path, context_id):
    # A sender that leads to somebody else.
    sender = mitogen.core.Sender(mitogen.core.router.context_by_id(context_id), 1234)
    return ask('fetch', {'path': path, 'sender': sender})

for function in fetch, fetch_slowly, fetch_into, last_word, let_go, ask, tell, many, foreign:
    setattr(mitogen, 'test_' + function.__name__, function)
";

async fn ready(router: &Router, python: &Path) -> Context {
    let context = connect(router, python).await;
    load(&context).await;
    context
}

async fn load(context: &Context) {
    let builtin = if context.call::<String>("platform.python_version", ()).await.unwrap().starts_with('2') {
        // `exec` is no function there.
        "code:InteractiveInterpreter"
    } else {
        "builtins:exec"
    };
    if builtin == "builtins:exec" {
        let globals = std::collections::BTreeMap::from([("__name__", "x")]);
        context.call::<()>(builtin, (CODE, globals)).await.unwrap();
    } else {
        let code = format!(
            "__import__('code').InteractiveInterpreter({{'__name__': 'x'}}).runcode(compile({CODE:?}, 'x', 'exec'))"
        );
        context.call::<()>("__builtin__:eval", (code,)).await.unwrap();
    }
}

async fn fetch(context: &Context, path: &Path) -> Result<(bool, u64, u64, Value), Error> {
    let path = path.to_str().expect("a path of a test is text");
    let call = Call::new("mitogen:test_fetch").arg(path).timeout(Duration::from_secs(60));
    context.start(call).await
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    match result {
        Err(Error::Call(error)) => assert!(error.to_string().contains(words), "{error}"),
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_registered_comes_with_what_it_really_is() {
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        let router = Router::new().unwrap();
        let context = ready(&router, python).await;
        let directory = tempfile::tempdir().unwrap();
        for size in [0, 1, 131_045, 131_046, 131_047, 5_000_000] {
            let path = directory.path().join(size.to_string());
            std::fs::write(&path, vec![7; size]).unwrap();
            router.files().register(&path).unwrap();
            let (ok, got, _, metadata) = fetch(&context, &path).await.unwrap();
            assert!(ok && got == size as u64, "{size}: {got}");
            let owner = rustix::process::geteuid().is_root().then_some("root");
            if owner.is_some() {
                assert_eq!(metadata.get("owner").and_then(Value::as_str), owner);
            }
            let mode = metadata.get("mode").and_then(Value::as_i64).unwrap();
            assert_eq!(mode & 0o170_000, 0o100_000);
            assert!(metadata.get("mtime").and_then(Value::as_f64).unwrap() > 1e9);
        }
        // Deeper, and below a directory.
        let deep = context.connect(Local::new().python(python.to_string_lossy())).await.unwrap();
        load(&deep).await;
        router.files().register_prefix(directory.path()).unwrap();
        let late = directory.path().join("late");
        std::fs::write(&late, vec![1; 300_000]).unwrap();
        assert_eq!(fetch(&deep, &late).await.unwrap().1, 300_000);
        assert_eq!(router.files().pending(), 0);
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_registered_is_refused_whatever_way_is_tried() {
    let router = Router::new().unwrap();
    let context = ready(&router, &interpreters()[0]).await;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let (open, secret) = (root.join("open"), root.join("secret"));
    std::fs::create_dir(&open).unwrap();
    std::fs::write(&secret, "secret").unwrap();
    std::fs::write(open.join("good"), "good").unwrap();
    std::os::unix::fs::symlink("../secret", open.join("link")).unwrap();
    std::fs::create_dir(open.join("dir")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, open.join("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    router.files().register_prefix(&open).unwrap();
    assert_eq!(fetch(&context, &open.join("good")).await.unwrap().1, 4);
    let words = "is not registered with FileService.";
    refused(fetch(&context, &secret).await, words);
    refused(fetch(&context, Path::new("/etc/passwd")).await, words);
    refused(fetch(&context, &open.join("../secret")).await, "..");
    refused(fetch(&context, &open.join("link")).await, "leads out");
    refused(fetch(&context, &open.join("dir")).await, "is a directory");
    refused(fetch(&context, &open.join("fifo")).await, "is not a regular file.");
    refused(fetch(&context, &open.join("none")).await, "No such file");
    // A registered file that was swapped for a link.
    let swapped = root.join("swapped");
    std::fs::write(&swapped, "good").unwrap();
    router.files().register(&swapped).unwrap();
    assert_eq!(fetch(&context, &swapped).await.unwrap().1, 4);
    std::fs::remove_file(&swapped).unwrap();
    std::os::unix::fs::symlink(&secret, &swapped).unwrap();
    refused(fetch(&context, &swapped).await, "leads out");

    let ask = |method: &str, options: Value| {
        context.start::<Value>(Call::new("mitogen:test_ask").arg(method).arg(options))
    };
    let path = |path: &Path| (Value::Text("path".into()), Value::Text(path.to_str().unwrap().into()));
    let register = ask("register", Value::Dict(vec![path(&secret)])).await;
    refused(register, "not authorized");
    refused(ask("register_prefix", Value::Dict(vec![path(&root)])).await, "not authorized");
    refused(ask("nonsense", Value::Dict(vec![])).await, "No such method");
    refused(ask("fetch", Value::Dict(vec![path(&open.join("good"))])).await, "sender");
    refused(fetch(&context, &secret).await, words);
    let other = connect(&router, &interpreters()[0]).await;
    let foreign =
        Call::new("mitogen:test_foreign").arg(open.join("good").to_str().unwrap()).arg(other.id().0);
    refused(context.start::<Value>(foreign).await, "sender= kwarg context must match requestee context");
    // Acknowledging what was never sent changes nothing.
    let size = (Value::Text("size".into()), Value::Int(1 << 40));
    let acknowledge = Call::new("mitogen:test_tell").arg("acknowledge").arg(Value::Dict(vec![size]));
    context.start::<Value>(acknowledge).await.unwrap();
    assert_eq!(fetch(&context, &open.join("good")).await.unwrap().1, 4);
    router.shutdown().await.unwrap();
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn fetches_without_end_neither_stop_others_nor_fill_the_memory() {
    let router = Router::new().unwrap();
    let python = interpreters().pop().unwrap();
    let (greedy, other) = (ready(&router, &python).await, ready(&router, &python).await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, vec![7; 3_000_000]).unwrap();
    router.files().register(&path).unwrap();
    let before = resident();
    // `MITOGEN_FETCHES` says how many are asked for.
    let count = std::env::var("MITOGEN_FETCHES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let call = Call::new("mitogen:test_many").arg(path.to_str().unwrap()).arg(count);
    let (done, refused): (usize, usize) = greedy.start(call).await.unwrap();
    assert_eq!(done + refused, count);
    assert!(refused > 0, "all of them were taken on");
    assert!(router.files().pending() <= 16_384);
    let (in_flight, window) = router.files().window(&greedy).unwrap();
    assert!(in_flight <= window + 131_072 && window <= 8 << 20, "{in_flight} of {window}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    println!("{done} were taken on, {refused} refused, {grown} bytes more");
    // The others do not notice.
    assert_eq!(fetch(&other, &path).await.unwrap().1, 3_000_000);
    greedy.shutdown().await.unwrap();
    let start = std::time::Instant::now();
    while router.files().pending() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    router.shutdown().await.unwrap();
}

/// Waits until bytes are on their way to a neighbour.
async fn under_way(router: &Router, neighbour: &Context) {
    let start = std::time::Instant::now();
    while router.files().window(neighbour).is_none_or(|(in_flight, _)| in_flight == 0) {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A registered file of so many bytes.
fn registered(router: &Router, size: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap().join("file");
    std::fs::write(&path, vec![7; size as usize]).unwrap();
    router.files().register(&path).unwrap();
    (directory, path)
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_fetched_is_not_taken_for_whole() {
    const SIZE: u64 = 30_000_000;
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        for change in [SIZE / 2, SIZE + 1] {
            let router = Router::new().unwrap();
            let context = ready(&router, python).await;
            let (_directory, path) = registered(&router, SIZE);
            let slowly = Call::new("mitogen:test_fetch_slowly").arg(path.to_str().unwrap());
            let changing = async {
                under_way(&router, &context).await;
                std::fs::File::options().write(true).open(&path).unwrap().set_len(change).unwrap();
            };
            let fetched = context.start::<(bool, u64, u64)>(slowly.timeout(Duration::from_secs(60)));
            let (result, ()) = tokio::join!(fetched, changing);
            let (whole, got, announced) = result.unwrap();
            assert!(!whole && got <= SIZE && announced == SIZE, "{change}: {whole}, {got} of {announced}");
            assert_eq!(router.files().pending(), 0);
            router.shutdown().await.unwrap();
        }
    }
}

/// Has a context fetch a file whose bytes it does not take: its link is busy from then on.
async fn hold(router: &Router, holder: &Context, neighbour: &Context, path: &Path) {
    let call = Call::new("mitogen:test_many").arg(path.to_str().unwrap()).arg(1);
    assert_eq!(holder.start::<(usize, usize)>(call).await.unwrap(), (1, 0));
    under_way(router, neighbour).await;
}

async fn idle(router: &Router) {
    let start = std::time::Instant::now();
    while router.files().pending() > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "a transfer is stuck");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two contexts behind one.
async fn family(router: &Router, python: &Path) -> [Context; 3] {
    let hop = connect(router, python).await;
    let mut children = Vec::new();
    for _ in 0..2 {
        let child = hop.connect(Local::new().python(python.to_string_lossy())).await.unwrap();
        load(&child).await;
        children.push(child);
    }
    let [one, other] = children.try_into().unwrap();
    [hop, one, other]
}

#[tokio::test]
async fn a_file_that_is_swapped_while_it_waits_for_its_turn_is_not_sent() {
    let router = Router::new().unwrap();
    let [hop, holder, waiter] = family(&router, &interpreters().pop().unwrap()).await;
    let (directory, long) = registered(&router, 30_000_000);
    let root = directory.path().canonicalize().unwrap();
    let (waiting, secret) = (root.join("waiting"), root.join("secret"));
    for link in [true, false] {
        let _ = std::fs::remove_file(&waiting);
        // As long, and last written at the same time: which file it is tells them apart, and nothing else.
        for path in [&waiting, &secret] {
            std::fs::write(path, vec![1; 1000]).unwrap();
            let then = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
        }
        router.files().register(&waiting).unwrap();
        hold(&router, &holder, &hop, &long).await;
        let swap = async {
            while router.files().pending() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            std::fs::remove_file(&waiting).unwrap();
            match link {
                true => std::os::unix::fs::symlink(&secret, &waiting).unwrap(),
                false => std::fs::rename(&secret, &waiting).unwrap(),
            }
            holder.call::<()>("mitogen:test_let_go", ()).await.unwrap();
        };
        let (fetched, ()) = tokio::join!(fetch(&waiter, &waiting), swap);
        let (whole, got, ..) = fetched.unwrap();
        assert_eq!((whole, got), (false, 0), "link {link}");
        idle(&router).await;
    }
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_fetch_that_fails_at_its_receiver_holds_up_nobody() {
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        let router = Router::new().unwrap();
        let [_hop, one, other] = family(&router, python).await;
        let (_directory, path) = registered(&router, 30_000_000);
        let into =
            |target: &str| Call::new("mitogen:test_fetch_into").arg(path.to_str().unwrap()).arg(target);
        refused(one.start::<bool>(into("/dev/full")).await, "No space left");
        // Long before the silence could be noticed.
        assert_eq!(fetch(&other, &path).await.unwrap().1, 30_000_000);
        assert!(one.start::<bool>(into("/dev/null")).await.unwrap());
        idle(&router).await;
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn who_fetches_and_acknowledges_nothing_or_too_much_is_told_so() {
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        for (more, word) in [(None, "stopped acknowledging"), (Some(1_i64 << 40), "acknowledged more")] {
            let router = Router::builder().file_patience(Duration::from_secs(1)).build().unwrap();
            let [hop, one, other] = family(&router, python).await;
            let (_directory, path) = registered(&router, 30_000_000);
            hold(&router, &one, &hop, &path).await;
            // Whom nothing is owed acknowledges nothing.
            let tell = |size: i64| {
                let size = Value::Dict(vec![(Value::Text("size".into()), Value::Int(size))]);
                Call::new("mitogen:test_tell").arg("acknowledge").arg(size)
            };
            let before = router.files().window(&hop);
            other.start::<Value>(tell(1 << 20)).await.unwrap();
            if more.is_some() {
                assert_eq!(router.files().window(&hop), before);
            }
            let waiting = fetch(&other, &path);
            let ended = async {
                if let Some(size) = more {
                    one.start::<Value>(tell(size)).await.unwrap();
                }
                one.call::<String>("mitogen:test_last_word", ()).await.unwrap()
            };
            let (fetched, told) = tokio::join!(waiting, ended);
            assert!(told.contains(word), "{told}");
            assert!(fetched.unwrap().0, "the other one waits in vain");
            idle(&router).await;
            router.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn shutting_down_ends_every_transfer() {
    let router = Router::new().unwrap();
    let context = ready(&router, &interpreters().pop().unwrap()).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::File::create(&path).unwrap().set_len(4 << 30).unwrap();
    router.files().register(&path).unwrap();
    let fetching = fetch(&context, &path);
    tokio::pin!(fetching);
    tokio::select! {
        result = &mut fetching => panic!("too fast: {result:?}"),
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    let (result, ended) = tokio::join!(fetching, router.shutdown());
    ended.unwrap();
    // Its receiver saw the end, or went with its context.
    match result {
        Ok((ok, ..)) => assert!(!ok),
        Err(error) => assert!(matches!(error, Error::Lost { .. } | Error::Closed), "{error:?}"),
    }
}
