//! Contexts fetch files on their own account, by upstream's protocol: what was registered, and nothing else.

mod common;
mod fetching;

use common::{connect, interpreters};
use fetching::{fetch, load, ready, refused};
use mitogen::{Call, Error, Local, Router, Value};
use std::path::Path;
use std::time::Duration;

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
