//! Files change, are swapped, and their receivers fail or fall silent while contexts fetch them on their own account.

mod common;
mod fetching;

use common::{connect, interpreters};
use fetching::{fetch, load, ready, refused};
use mitogen::{Call, Context, Local, Router, Value};
use std::path::Path;
use std::time::Duration;

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
    let start = std::time::Instant::now();
    while router.files().window(neighbour).is_none_or(|(in_flight, size)| in_flight < size) {
        assert!(start.elapsed() < Duration::from_secs(30), "the window is not used");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
            let router = Router::builder().file_patience(Duration::from_secs(4)).build().unwrap();
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
