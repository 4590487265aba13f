//! What a context asks for is not trusted, nor are the files on the path: each gets the answer that Python users
//! expect, and costs nothing lasting.

mod common;

use common::interpreters;
use mitogen::{Context, Error, Local, Router, Value};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PROBE: &str = "\
import sys
# The agent's own names may be shortened: the method that takes a name and waits is found by what it does.
def find_fetch():
    kind = type(importer_of())
    for name in dir(kind):
        code = getattr(getattr(kind, name), '__code__', None)
        if code and code.co_argcount == 2 and 'setdefault' in code.co_names:
            return name
def fetch(name):
    importer = importer_of()
    asked = getattr(importer, find_fetch())(name)
    return asked[1], asked[1] is None and asked[2] or None
def importer_of():
    import mitogen
    return mitogen.econtext.importer
def resource(package, name):
    content = [f for f in [getattr(h, '__self__', None) for h in sys.path_hooks] if hasattr(f, 'get_resource_reader')][0].resource(package, name)
    return content is not None and len(content)
def flood(count, size):
    # What an importer would never do.
    import mitogen
    from mitogen.core import Message
    for number in range(count):
        name = ('yy%d' % number) + 'x' * size
        mitogen.econtext.parent.send(Message(handle=100, data=name.encode()))
def ask_again(names):
    failed = 0
    for name in names:
        try:
            __import__(name)
        except (ImportError, ValueError):
            # Python 2 has a ValueError for a name that is too long.
            failed += 1
    return failed
def long_name():
    return ask_again(['q' * 10000000] * 2)
def many(count):
    return len([i for i in range(count) if fetch('zz%d' % i)[0]])
";

fn write(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
    std::fs::write(path, content).expect("a file");
}

async fn failure(context: &Context, function: &str) -> (String, String) {
    match context.call::<Value>(function, ()).await {
        Err(Error::Call(error)) => (error.type_name, error.message),
        other => panic!("{function}: {other:?}"),
    }
}

#[tokio::test]
async fn names_lead_to_modules_on_the_path_or_nowhere() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("path");
    write(&path, "probe.py", PROBE.as_bytes());
    write(&path, "pack/__init__.py", b"");
    write(&path, "pack/data/inner.txt", b"inner");
    write(&path, "secret.py", b"KEY = 1\n");
    write(&path, "notes.txt", b"no module");
    write(root.path(), "outside.py", b"KEY = 2\n");
    write(root.path(), "outside.txt", b"outside");
    std::os::unix::fs::symlink(root.path().join("outside.py"), path.join("link.py")).expect("a link");
    std::os::unix::fs::symlink(root.path().join("outside.txt"), path.join("pack/link.txt")).expect("a link");
    std::os::unix::fs::symlink(root.path(), path.join("up")).expect("a link");
    let router = Router::builder().module_path(&path).block_module("secret").build().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    let fetch = async |name: &str| -> (Value, Value) {
        context.call("probe.fetch", (name,)).await.unwrap_or_else(|error| panic!("{name:.20}: {error}"))
    };
    let absent = [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "a/b",
        "pack/../probe",
        "nul\0probe",
        "probe\0",
        "up.outside",
        "notes.txt",
        "\u{ff50}robe",
        "prob\u{435}",
        "pack.data.inner",
        "pack.__init__",
        "",
        ".",
    ];
    for name in absent.into_iter().filter(|name| !name.is_empty()) {
        assert_eq!(fetch(name).await.0, Value::None, "{name:?}");
    }
    let long = "x".repeat(60_000);
    assert_eq!(fetch(&long).await.0, Value::None);
    for (name, reason) in [("secret", "blocked"), ("link", "symbolic link")] {
        let (path, said) = fetch(name).await;
        let said = said.as_str().unwrap_or_default().to_owned();
        assert!(path == Value::None && said.contains(reason), "{name}: {said}");
    }
    for (name, found) in [
        ("data/inner.txt", true),
        ("link.txt", false),
        ("../notes.txt", false),
        ("data/../../notes.txt", false),
        ("/etc/passwd", false),
        ("..", false),
    ] {
        let size: Value = context.call("probe.resource", ("pack", name)).await.expect("an answer");
        assert_eq!(size != Value::Bool(false), found, "{name}: {size:?}");
    }
    let found: i64 = context.call("probe.many", (20_000,)).await.expect("an answer");
    assert_eq!(found, 0);
    // All is well after that.
    assert!(matches!(fetch("pack").await.0, Value::Text(_) | Value::Str(_)));
}

#[tokio::test]
async fn broken_sources_fail_as_they_do_at_home() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), "bad_syntax.py", b"x = 1\n\ndef f(:\n");
    write(root.path(), "bad_cookie.py", b"# -*- coding: no-such-codec -*-\nx = 1\n");
    write(root.path(), "nulls.py", b"x = 1\n\0\n");
    write(root.path(), "marked.py", b"\xef\xbb\xbfdef f():\n    return 4\n");
    write(root.path(), "dos.py", b"def f():\r\n    return 5\r\n");
    write(root.path(), "unended.py", b"def f():\n    return 6");
    write(root.path(), "ring_a.py", b"import ring_b\ndef f():\n    return ring_b.g()\n");
    write(root.path(), "ring_b.py", b"import ring_a\ndef g():\n    return 7\n");
    write(root.path(), "raises.py", b"raise RuntimeError('on purpose')\n");
    let huge = std::fs::File::create(root.path().join("huge.py")).expect("a file");
    huge.set_len(50 << 20).expect("50 MiB");
    write(root.path(), "fast.cpython-311-x86_64-linux-gnu.so", b"\x7fELF");
    for python in interpreters() {
        let router = Router::builder().module_path(root.path()).build().expect("a router");
        let context = common::connect(&router, &python).await;
        eprintln!("{}", python.display());
        for (function, value) in [("marked.f", 4), ("dos.f", 5), ("unended.f", 6), ("ring_a.f", 7)] {
            let got: i64 =
                context.call(function, ()).await.unwrap_or_else(|error| panic!("{function}: {error}"));
            assert_eq!(got, value, "{function}");
        }
        let (kind, message) = failure(&context, "bad_syntax.f").await;
        assert!(kind.ends_with("SyntaxError") && message.contains("line 3"), "{kind}: {message}");
        let (kind, message) = failure(&context, "bad_cookie.f").await;
        assert!(kind.ends_with("SyntaxError") && message.contains("no-such-codec"), "{kind}: {message}");
        let (kind, _) = failure(&context, "nulls.f").await;
        assert!(["SyntaxError", "ValueError", "TypeError"].iter().any(|end| kind.ends_with(end)), "{kind}");
        let (kind, message) = failure(&context, "raises.f").await;
        assert!(kind.ends_with("RuntimeError") && message.contains("on purpose"), "{kind}: {message}");
        for (function, reason) in [("huge.f", "52428800 bytes"), ("fast.f", "extension module")] {
            let (kind, message) = failure(&context, function).await;
            assert!(
                kind.ends_with("ImportError") && message.contains(reason),
                "{function}: {kind}: {message}"
            );
        }
        context.shutdown().await.expect("it ends");
    }
}

#[tokio::test]
async fn a_flood_of_names_and_names_without_end_cost_nothing_lasting() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), "probe.py", PROBE.as_bytes());
    write(root.path(), "sound.py", b"def f():\n    return 8\n");
    let router = Router::builder().module_path(root.path()).build().expect("a router");
    let mut pythons = interpreters();
    let oldest = pythons.swap_remove(0);
    for python in [Some(oldest), pythons.pop()].into_iter().flatten() {
        let context = common::connect(&router, &python).await;
        let failed: i64 = context.call("probe.long_name", ()).await.expect("an answer");
        assert_eq!(failed, 2, "{}", python.display());
        // The second flood has names of ten million letters.
        for (count, size) in [(5_000, 0), (2, 10_000_000)] {
            let _: Value = context.call("probe.flood", (count, size)).await.expect("they are sent");
        }
        let stats = context.stats().expect("counters");
        assert!(stats.modules_sent == 1, "{stats:?}");
        let got: i64 = context.call("sound.f", ()).await.expect("all is well after that");
        assert_eq!(got, 8);
        context.shutdown().await.expect("it ends");
    }
}

#[tokio::test]
async fn what_vanishes_or_changes_is_what_it_is_when_it_is_read() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), "pack/__init__.py", b"");
    for number in 0..20 {
        write(root.path(), &format!("pack/m{number}.py"), b"def f():\n    return 1\n");
    }
    let router = Router::builder().module_path(root.path()).build().expect("a router");
    let place = |name: &str| root.path().join("pack").join(name);
    for python in interpreters().into_iter().rev().take(2) {
        write(root.path(), "pack/m0.py", b"def f():\n    return 1\n");
        let context = common::connect(&router, &python).await;
        let one: i64 = context.call("pack.m0.f", ()).await.expect("the first");
        assert_eq!(one, 1);
        // The context knows these names, and they lead to something else by now.
        for name in ["m1.py", "m2.py", "m3.py"] {
            let _ = std::fs::remove_file(place(name));
        }
        std::fs::create_dir_all(place("m2.py")).expect("a directory");
        rustix::fs::mkfifoat(rustix::fs::CWD, place("m3.py"), rustix::fs::Mode::RUSR).expect("a pipe");
        write(root.path(), "pack/m4.py", b"def f():\n    return 400\n");
        for function in ["pack.m1.f", "pack.m2.f", "pack.m3.f"] {
            let (kind, message) = failure(&context, function).await;
            assert!(
                kind.ends_with("ImportError") || kind.ends_with("ModuleNotFoundError"),
                "{function}: {kind}: {message}"
            );
        }
        let changed: i64 = context.call("pack.m4.f", ()).await.expect("what is there now");
        assert_eq!(changed, 400);

        // One version or the other, never a mixture.
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, folder) = (Arc::clone(&stop), root.path().to_owned());
        let writer = std::thread::spawn(move || {
            let mut version = 0;
            while !seen.load(Ordering::Relaxed) {
                version += 1;
                let text = format!("def f():\n    return {}\n", [7, 7_000_000][version % 2]);
                for number in 5..20 {
                    write(&folder, "new", text.as_bytes());
                    let old = folder.join(format!("pack/m{number}.py"));
                    std::fs::rename(folder.join("new"), old).expect("it is replaced");
                }
            }
        });
        for number in 5..20 {
            let function = format!("pack.m{number}.f");
            let value: i64 = context.call(&function, ()).await.expect("a version");
            assert!([1, 7, 7_000_000].contains(&value), "{value}");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("it ends");
        std::fs::remove_dir(place("m2.py")).expect("it is removed");
        context.shutdown().await.expect("it ends");
    }
}
