//! What is imported first runs while the rest of it is still on its way.

mod common;

use common::interpreters;
use mitogen::{Context, Error, Local, Router, Value};
use std::path::Path;

/// Stands before an interpreter: FLAG LIMIT COMMAND... runs the command, and gives it so many bytes of its input; more
/// only when the file FLAG is there.
const GATE: &str = "\
import os, select, subprocess, sys, time
flag, limit = sys.argv[1], int(sys.argv[2])
child = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE)
until = time.monotonic() + 60
while True:
    # The command may share it, and want it so that it does not block.
    while not select.select([0], [], [], .05)[0]:
        if child.poll() is not None:
            sys.exit(child.returncode)
    data = os.read(0, 65536)
    if not data:
        break
    limit -= len(data)
    while limit < 0 and not os.path.exists(flag):
        if time.monotonic() > until:
            child.kill()
            sys.exit('the gate was never opened')
        time.sleep(.002)
    if limit < 0:
        limit = 1 << 60
    while data:
        data = data[os.write(child.stdin.fileno(), data):]
child.stdin.close()
child.wait()
";

/// Modules of this size, of which each is a part of its own and is not shortened by half.
const SIZE: usize = 160 << 10;
const MEMBERS: usize = 8;
/// What passes the gate: the birth of a context, that of one behind it, and the first parts; not all of them.
const LIMIT: usize = 400 << 10;

/// A comment that hardly can be compressed.
fn noise(seed: usize) -> String {
    let mut state = seed as u64;
    let digit = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"[(state >> 58) as usize],
        )
    };
    format!("# {}\n", (0..SIZE).map(digit).collect::<String>())
}

fn write_package(root: &Path, flag: &Path) {
    let members: Vec<String> = (0..MEMBERS).map(|number| format!("m{number}")).collect();
    let package = format!(
        "open({:?}, 'w').close()\nfrom big import {}\ndef total():\n    return sum([{}])\n",
        flag.to_str().expect("UTF-8"),
        members.join(", "),
        members.iter().map(|name| format!("{name}.X")).collect::<Vec<_>>().join(", "),
    );
    std::fs::create_dir(root.join("big")).expect("a directory");
    std::fs::write(root.join("big/__init__.py"), package).expect("a file");
    for (number, name) in members.iter().enumerate() {
        let source = format!("{}X = {number}\n", noise(number));
        std::fs::write(root.join(format!("big/{name}.py")), source).expect("a file");
    }
}

async fn check(context: &Context, flag: &Path) {
    assert!(!flag.exists());
    let total: usize = context.call("big.total", ()).await.expect("it was imported");
    assert_eq!(total, MEMBERS * (MEMBERS - 1) / 2);
    std::fs::remove_file(flag).expect("it ran");
}

#[tokio::test]
async fn the_first_module_runs_before_the_last_part_has_come() {
    let folder = tempfile::tempdir().expect("a directory");
    let (root, flag, gate) =
        (folder.path().join("path"), folder.path().join("flag"), folder.path().join("gate.py"));
    std::fs::create_dir(&root).expect("a directory");
    write_package(&root, &flag);
    std::fs::write(&gate, GATE).expect("a file");
    let pythons = interpreters();
    let newest = pythons.last().expect("an interpreter").to_string_lossy().into_owned();
    let router = Router::builder().module_path(&root).build().expect("a router");
    for python in &pythons {
        eprintln!("{}", python.display());
        let limit = LIMIT.to_string();
        let words = [&*newest, &*gate.to_string_lossy(), &*flag.to_string_lossy(), &*limit];
        let python = python.to_string_lossy();
        let gated = || Local::new().python_argv(words.iter().copied().chain([&*python]));
        let near = router.connect(gated()).await.expect("a context");
        check(&near, &flag).await;
        let stats = near.stats().expect("counters");
        assert_eq!((stats.module_requests, stats.modules_sent), (1, 1 + MEMBERS as u64), "{stats:?}");
        near.shutdown().await.expect("it ends");

        // It flows through a context between as well.
        let hop = router.connect(gated()).await.expect("a hop");
        let leaf = hop.connect(Local::new().python(&*python)).await.expect("a leaf");
        check(&leaf, &flag).await;
        // Who comes later gets all of it from the hop.
        let other = hop.connect(Local::new().python(&*python)).await.expect("another leaf");
        check(&other, &flag).await;
        let stats = hop.stats().expect("counters");
        assert_eq!((stats.module_requests, stats.modules_sent), (1, 1 + MEMBERS as u64), "{stats:?}");
        hop.shutdown().await.expect("it ends");
    }
    router.shutdown().await.expect("it ends");
}

#[tokio::test]
async fn a_module_that_no_message_can_carry_is_said_to_be_absent() {
    let folder = tempfile::tempdir().expect("a directory");
    let huge: String = (0..4).map(noise).collect();
    let files = [
        (
            "large.py",
            "try:\n    import huge\nexcept ImportError:\n    pass\nimport small\ndef f():\n    return small.X\n",
        ),
        ("huge.py", huge.as_str()),
        ("small.py", "X = 3\n"),
    ];
    for (name, source) in files {
        std::fs::write(folder.path().join(name), source).expect("a file");
    }
    let router = Router::builder().module_path(folder.path()).max_message_size(256 << 10).build();
    let router = router.expect("a router");
    for python in interpreters() {
        eprintln!("{}", python.display());
        let context = common::connect(&router, &python).await;
        let value: u32 = context.call("large.f", ()).await.expect("what is small came");
        assert_eq!(value, 3);
        match context.call::<Value>("huge.f", ()).await {
            Err(Error::Call(error)) => assert!(error.message.contains("too large"), "{error:?}"),
            other => panic!("{other:?}"),
        }
        context.shutdown().await.expect("it ends");
    }
    router.shutdown().await.expect("it ends");
}
