//! Files there and back: whatever the size, the name, the depth and the Python, bytes, mode and time stay.

mod common;

use common::{connect, interpreters, names};
use mitogen::{Context, Error, FileErrorKind, Local, Router, TransferOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
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

/// The oldest and the newest interpreter, or all of them where `MITOGEN_ALL_DEPTHS` is set.
fn at_depth() -> Vec<std::path::PathBuf> {
    let mut pythons = interpreters();
    if std::env::var_os("MITOGEN_ALL_DEPTHS").is_none() && pythons.len() > 2 {
        pythons.drain(1..pythons.len() - 1);
    }
    pythons
}

#[tokio::test]
async fn depth_changes_nothing() {
    for python in &at_depth() {
        for depth in [2, 4] {
            let router = Router::new().unwrap();
            let context = chain(&router, python, depth).await;
            round_trips(&context, &format!("{} at depth {depth}", python.display())).await;
            router.shutdown().await.unwrap();
        }
    }
}

/// What a failed transfer says: the kind, and whether the fault is on this machine's side.
#[track_caller]
fn fault<T: std::fmt::Debug>(result: Result<T, Error>) -> (FileErrorKind, bool) {
    match result {
        Err(Error::File(error)) => {
            assert!(!error.message.is_empty());
            (error.kind, error.context.is_none())
        }
        other => panic!("no file's error: {other:?}"),
    }
}

/// A directory in which nothing can be made, not even by root; `None` where there is none.
fn read_only() -> Option<&'static Path> {
    let path = Path::new("/proc");
    path.join("self").exists().then_some(path)
}

#[tokio::test]
async fn what_cannot_be_sent_or_received_is_a_typed_error_and_leaves_nothing() {
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        let router = Router::new().unwrap();
        let context = connect(&router, python).await;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        make(&at("small"), &content(100));
        make(&at("large"), &content(500_000));
        std::fs::create_dir(at("dir")).unwrap();
        std::fs::write(at("old"), "old").unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let before = names(directory.path());

        use FileErrorKind::*;
        for (name, kind) in [("none", NotFound), ("fifo", NotRegular), ("dir", Directory)] {
            assert_eq!(fault(context.upload(at(name), at("new")).await), (kind, true), "up {name}");
            assert_eq!(fault(context.download(at(name), at("new")).await), (kind, false), "down {name}");
        }
        for source in ["small", "large"] {
            for (target, kind) in
                [("nodir/x", NotFound), ("fifo", NotRegular), ("old/x", NotFound), ("dir/no/x", NotFound)]
            {
                assert_eq!(
                    fault(context.upload(at(source), at(target)).await),
                    (kind, false),
                    "up to {target}"
                );
                assert_eq!(
                    fault(context.download(at(source), at(target)).await),
                    (kind, true),
                    "to {target}"
                );
            }
            // Into a directory it goes under its own name.
            let put = context.upload(at(source), at("dir")).await.unwrap();
            assert_eq!(put.path, at("dir").join(source));
            let got = context.download(at(source), at("dir")).await.unwrap();
            assert_eq!(got.path, at("dir").join(source));
            std::fs::remove_file(at("dir").join(source)).unwrap();
            if let Some(path) = read_only() {
                fault(context.upload(at(source), path.join("x")).await);
                fault(context.download(at(source), path.join("x")).await);
            }
            // A full disk.
            assert_eq!(fault(context.upload(at(source), "/dev/full").await), (NoSpace, false));
            assert_eq!(fault(context.download(at(source), "/dev/full").await), (NoSpace, true));
            // What is thrown away, and what is empty.
            assert_eq!(context.upload(at(source), "/dev/null").await.unwrap().bytes, put.bytes);
            assert_eq!(context.download(at(source), "/dev/null").await.unwrap().bytes, put.bytes);
        }
        assert_eq!(names(directory.path()), before);
        assert_eq!(names(&at("dir")), [""; 0]);
        assert_eq!(std::fs::read(at("old")).unwrap(), b"old");
        assert_eq!(context.upload("/dev/null", at("empty")).await.unwrap().bytes, 0);
        assert_eq!(context.download("/dev/null", at("empty2")).await.unwrap().bytes, 0);
        // It still works.
        context.upload(at("large"), at("new")).await.unwrap();
        check(&at("new"), &content(500_000), "after all that");
        assert_eq!(router.files().pending(), 0);
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_kernel_makes_up_arrives_whole() {
    // They say that they are empty, or as long as a page; the last one is longer than what one message holds.
    let made_up = [
        "/proc/cpuinfo",
        "/proc/self/status",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/proc/kallsyms",
    ];
    let made_up: Vec<&Path> = made_up.iter().map(Path::new).filter(|path| path.exists()).collect();
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        let router = Router::new().unwrap();
        let context = connect(&router, python).await;
        let directory = tempfile::tempdir().unwrap();
        let (up, down) = (directory.path().join("up"), directory.path().join("down"));
        for source in &made_up {
            let plain = TransferOptions::new();
            for options in [plain.clone(), plain.clone().resume(true), plain.compress(true).verify(true)] {
                let what = source.display();
                let put = context.upload_with(source, &up, &options).await;
                let put = put.unwrap_or_else(|error| panic!("{what}: {error}"));
                let got = context.download_with(source, &down, &options).await;
                let got = got.unwrap_or_else(|error| panic!("{what}: {error}"));
                for (moved, path) in [(put, &up), (got, &down)] {
                    let content = std::fs::read(path).unwrap();
                    assert!(moved.bytes > 0 && moved.bytes == content.len() as u64, "{what}: {moved:?}");
                    if source.ends_with("status") {
                        // Whose it is depends on who reads it.
                        assert!(content.starts_with(b"Name:") && content.ends_with(b"\n"), "{what}");
                    } else if !source.ends_with("cpuinfo") {
                        assert!(content == std::fs::read(source).unwrap(), "{what}: another content");
                    }
                    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
                    assert_eq!(mode(path), mode(source), "{what}");
                }
                assert_eq!(names(directory.path()), ["down", "up"]);
            }
        }
        router.shutdown().await.unwrap();
    }
}

/// A file system of its own that is soon full; gone when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Small> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(directory.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: nothing can be mounted here");
        }
        mounted.then_some(Small(directory))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_keeps_the_old_file_and_nothing_else() {
    let Some(small) = Small::mount() else { return };
    let there = small.0.path();
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), there.join("to"));
    make(&from, &content(3_000_000));
    std::fs::write(&to, "old").unwrap();
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        let router = Router::new().unwrap();
        let context = connect(&router, python).await;
        assert_eq!(fault(context.upload(&from, &to).await), (FileErrorKind::NoSpace, false));
        assert_eq!(fault(context.download(&from, &to).await), (FileErrorKind::NoSpace, true));
        // Many small ones: what there is room for lands, and the others say why they do not.
        let one = directory.path().join("one");
        make(&one, &content(50_000));
        let targets: Vec<_> = (0..40).map(|number| there.join(number.to_string())).collect();
        let puts = targets.iter().map(|target| context.upload(&one, target));
        let results = futures_util::future::join_all(puts).await;
        for (target, result) in targets.iter().zip(results) {
            match result {
                Ok(_) => check(target, &content(50_000), "a small one"),
                Err(_) => assert_eq!(fault(result), (FileErrorKind::NoSpace, false)),
            }
        }
        let landed = names(there).len() - 1;
        assert!((1..40).contains(&landed), "{landed} have landed");
        targets.iter().for_each(|target| drop(std::fs::remove_file(target)));
        assert_eq!(names(there), ["to"]);
        assert_eq!(std::fs::read(&to).unwrap(), b"old");
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_refused_on_both_sides() {
    let router = Router::new().unwrap();
    let (first, last) = (interpreters().remove(0), interpreters().pop().unwrap());
    for python in [first, last] {
        let context = connect(&router, &python).await;
        for shrink in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let (from, to) = (directory.path().join("from"), directory.path().join("to"));
            let length = 40_000_000;
            let changing = |from: std::path::PathBuf| {
                let done = std::sync::atomic::AtomicBool::new(false);
                TransferOptions::new().sync(false).on_progress(move |progress| {
                    if progress.bytes > 0 && !done.swap(true, std::sync::atomic::Ordering::Relaxed) {
                        let file = std::fs::File::options().write(true).open(&from).unwrap();
                        file.set_len(if shrink { 20_000_000 } else { length + 1 }).unwrap();
                    }
                })
            };
            make(&from, &content(length as usize));
            let result = context.upload_with(&from, &to, &changing(from.clone())).await;
            assert_eq!(fault(result), (FileErrorKind::Changed, true));
            make(&from, &content(length as usize));
            let (kind, _) = fault(context.download_with(&from, &to, &changing(from.clone())).await);
            assert!(matches!(kind, FileErrorKind::Changed | FileErrorKind::Cut), "{kind:?}");
            assert_eq!(names(directory.path()), ["from"]);
        }
    }
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn holes_stay_holes() {
    let pythons = at_depth();
    for (python, depth) in pythons.iter().flat_map(|python| [1, 2, 4].map(|depth| (python, depth))) {
        let router = Router::new().unwrap();
        let context = chain(&router, python, depth).await;
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let size: u64 = 5 << 30;
        let file = std::fs::File::create(at("a")).unwrap();
        file.set_len(size).unwrap();
        use std::os::unix::fs::FileExt;
        file.write_all_at(b"here", 3 << 30).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 0)).unwrap();
        drop(file);
        assert_eq!(context.upload(at("a"), at("b")).await.unwrap().bytes, size);
        assert_eq!(context.download(at("b"), at("c")).await.unwrap().bytes, size);
        for name in ["b", "c"] {
            let metadata = std::fs::metadata(at(name)).unwrap();
            assert_eq!((metadata.len(), metadata.mtime()), (size, 1_234_567_890));
            assert!(metadata.blocks() < 4096, "{name}: {} blocks", metadata.blocks());
            let mut four = [0; 4];
            std::fs::File::open(at(name)).unwrap().read_exact_at(&mut four, 3 << 30).unwrap();
            assert_eq!(&four, b"here");
        }
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn one_push_goes_to_many_and_over_a_shared_link_once() {
    let router = Router::new().unwrap();
    let python = interpreters().pop().unwrap();
    let hop = connect(&router, &python).await;
    let middle = hop.connect(Local::new()).await.unwrap();
    let mut all = vec![hop.clone(), middle.clone()];
    for _ in 0..3 {
        all.push(hop.connect(Local::new()).await.unwrap());
        all.push(middle.connect(Local::new()).await.unwrap());
    }
    all.push(router.connect(Local::new()).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let from = directory.path().join("from");
    let bytes = content(20_000_000);
    make(&from, &bytes);
    // Each has a directory of its own as its working directory.
    for (number, context) in all.iter().enumerate() {
        let own = directory.path().join(number.to_string());
        std::fs::create_dir(&own).unwrap();
        context.call::<()>("os.chdir", (own.to_string_lossy(),)).await.unwrap();
    }
    let read = |context: &Context| {
        let path = "/proc/self/io".to_owned();
        let code = format!("int([l.split()[1] for l in open({path:?}) if l.startswith('rchar')][0])");
        context.start::<u64>(mitogen::Call::new("builtins:eval").arg(code))
    };
    let before = read(&hop).await.unwrap();
    let options = TransferOptions::new().sync(false);
    let results = router.upload_to(&all, &from, "got", &options).await;
    let read = read(&hop).await.unwrap() - before;
    for (number, result) in results.into_iter().enumerate() {
        let what = format!("receiver {number}");
        assert_eq!(result.unwrap_or_else(|error| panic!("{what}: {error}")).bytes, bytes.len() as u64);
        check(&directory.path().join(number.to_string()).join("got"), &bytes, &what);
    }
    assert!(read < 2 * bytes.len() as u64, "the hop read {read} bytes");
    // One of them cannot take it: the others do not suffer.
    std::fs::remove_dir_all(directory.path().join("3")).unwrap();
    let results = router.upload_to(&all, &from, "again", &options).await;
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result.is_ok(), number != 3, "receiver {number}: {result:?}");
    }
    assert_eq!(router.files().pending(), 0);
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_cut_goes_on_where_it_was() {
    for python in [interpreters().first(), interpreters().last()].into_iter().flatten() {
        let router = Router::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let bytes = content(30_000_000);
        make(&at("from"), &bytes);
        for up in [true, false] {
            let context = connect(&router, python).await;
            let half = tokio::sync::Notify::new();
            let half = std::sync::Arc::new(half);
            let told = std::sync::Arc::clone(&half);
            let options = TransferOptions::new().resume(true).sync(false);
            let cut = options.clone().on_progress(move |progress| {
                if progress.bytes > 10_000_000 {
                    told.notify_one();
                }
            });
            let transfer = async {
                match up {
                    true => context.upload_with(at("from"), at("to"), &cut).await,
                    false => context.download_with(at("from"), at("to"), &cut).await,
                }
            };
            tokio::select! {
                _ = transfer => panic!("it was too fast to be cut"),
                () = half.notified() => {}
            }
            // The part is there once the other side has heard of it.
            let start = std::time::Instant::now();
            loop {
                let part = names(directory.path()).into_iter().find(|name| name.ends_with("-part"));
                if let Some(part) = part
                    && std::fs::metadata(at(&part)).unwrap().len() > 1_000_000
                {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(5), "no part: {:?}", names(directory.path()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            let whole = match up {
                true => context.upload_with(at("from"), at("to"), &options).await.unwrap(),
                false => context.download_with(at("from"), at("to"), &options).await.unwrap(),
            };
            assert!(whole.resumed > 1_000_000 && whole.bytes == bytes.len() as u64, "{whole:?}");
            check(&at("to"), &bytes, "resumed");
            assert_eq!(names(directory.path()), ["from", "to"]);
            std::fs::remove_file(at("to")).unwrap();
        }
        router.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_transfer_that_is_dropped_or_loses_its_context_leaves_nothing() {
    let pythons = interpreters();
    let router = Router::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    make(&at("from"), &content(60_000_000));
    std::fs::write(at("to"), "old").unwrap();
    for kill in [true, false] {
        for up in [true, false] {
            let context = chain(&router, pythons.last().unwrap(), 2).await;
            let pid: u32 = context.call("os.getpid", ()).await.unwrap();
            let begun = std::sync::Arc::new(tokio::sync::Notify::new());
            let told = std::sync::Arc::clone(&begun);
            let options = TransferOptions::new().sync(false).on_progress(move |_| told.notify_one());
            let transfer = async {
                match up {
                    true => context.upload_with(at("from"), at("to"), &options).await,
                    false => context.download_with(at("from"), at("to"), &options).await,
                }
            };
            tokio::pin!(transfer);
            tokio::select! {
                result = &mut transfer => panic!("{result:?}"),
                () = begun.notified() => {}
            }
            if kill {
                std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
                let error = transfer.await.expect_err("it was killed");
                assert!(matches!(error, Error::Lost { .. } | Error::File(_)), "{error:?}");
            }
            // Here, dropped at the end of this turn.
        }
    }
    let start = std::time::Instant::now();
    while names(directory.path()) != ["from", "to"] || router.files().pending() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", names(directory.path()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read(at("to")).unwrap(), b"old");
    router.shutdown().await.unwrap();
}
