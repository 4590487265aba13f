//! User code reaches contexts by being imported there.

mod common;

use common::interpreters;
use mitogen::{Context, Error, Local, ModuleSource, Router, Value};
use std::path::Path;

/// Writes files below a directory.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }
}

const SHOP: &[(&str, &str)] = &[
    ("shop/__init__.py", "'''The shop.'''\nimport os, json\nfrom shop import base\nVALUE = base.value()\n"),
    (
        "shop/base.py",
        "try:\n    import simplejson\nexcept ImportError:\n    import json\nimport stock\ndef value():\n    return stock.COUNT\n",
    ),
    ("shop/db/__init__.py", ""),
    (
        "shop/db/models.py",
        "# -*- coding: latin-1 -*-\nfrom shop.db.fields import Field\n\ndef fail():\n    # A comment.\n    raise ValueError('no such thing')\n",
    ),
    ("shop/db/fields.py", "from .. import base\nclass Field(object):\n    pass\n"),
    ("shop/data.txt", "some data\n"),
    ("shop/files/a.txt", "a\n"),
    ("stock.py", "COUNT = 7\n"),
    ("broken.py", "x = 1\ny = = 2\n"),
    ("raising.py", "1/0\n"),
    ("space/inner/deep.py", "X = 5\n"),
    (
        "probe.py",
        "\
import sys
def source():
    import inspect, shop.db.models
    return inspect.getsource(shop.db.models.fail)
def members():
    import pkgutil, shop
    return sorted([(str(m[1]), bool(m[2])) for m in pkgutil.iter_modules(shop.__path__, 'shop.')])
def data():
    import pkgutil
    return pkgutil.get_data('shop', 'data.txt').decode()
def resources():
    from importlib import resources
    import shop
    found = [resources.read_text(shop, 'data.txt')] if hasattr(resources, 'read_text') else ['some data\\n']
    found.append(sorted(resources.contents(shop)) if hasattr(resources, 'contents') else [])
    if sys.version_info >= (3, 10):
        files = resources.files('shop')
        found.append(sorted(p.name for p in files.iterdir()))
        found.append((files / 'files' / 'a.txt').read_text())
        with resources.as_file(files / 'data.txt') as path:
            found.append(path.read_text())
    return found
def names():
    import shop.db.models, shop
    return [shop.__name__, shop.__file__, shop.__doc__, shop.db.models.__file__, shop.db.models.__package__]
def absent(name):
    try:
        __import__(name)
    except ImportError:
        return str(sys.exc_info()[1])
    return 'imported'
def attribute(name, attribute):
    __import__(name)
    return getattr(sys.modules[name], attribute)
def known(name):
    import mitogen
    return name in mitogen.econtext.importer.cache
def together(names):
    import threading
    failed = []
    def run(name):
        try:
            __import__(name)
        except Exception:
            failed.append(repr(sys.exc_info()[1]))
    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return failed
",
    ),
];

/// Runs a story on a context of each interpreter.
async fn on_each(router: &Router, story: impl AsyncFn(&Context, bool)) {
    for python in interpreters() {
        let context = common::connect(router, &python).await;
        let old = python.to_string_lossy().contains("2.7");
        eprintln!("{}", python.display());
        story(&context, old).await;
        context.shutdown().await.expect("it ends");
    }
}

fn shop() -> (tempfile::TempDir, Router) {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), SHOP);
    let router = Router::builder().module_path(root.path()).build().expect("a router");
    (root, router)
}

#[tokio::test]
async fn a_package_is_imported_with_what_it_imports_in_few_requests() {
    let (_root, router) = shop();
    on_each(&router, async |context, old| {
        let value: i64 = context.call("probe.attribute", ("shop", "VALUE")).await.expect("shop");
        assert_eq!(value, 7);
        let stats = context.stats().expect("a neighbour's link");
        assert_eq!((stats.module_requests, stats.modules_sent), (2, 4), "{stats:?}");
        let names: Vec<String> = context.call("probe.names", ()).await.expect("names");
        assert_eq!(names[0], "shop");
        assert!(names[1].starts_with("master:/") && names[1].ends_with("/shop/__init__.py"), "{names:?}");
        assert_eq!(names[2], "The shop.");
        assert_eq!(names[4], "shop.db");
        let stats = context.stats().expect("a neighbour's link");
        let known: bool = context.call("probe.known", ("mitogen.logs",)).await.expect("an answer");
        assert!(known, "what `import logging` makes the agent want was not sent ahead");
        // Python 2 asks for `shop.db` before it tells that it wants a member of that.
        let requests = if old { 4 } else { 3 };
        assert_eq!((stats.module_requests, stats.modules_sent), (requests, 7), "{stats:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_imported_shows_its_source_and_lines() {
    let (_root, router) = shop();
    on_each(&router, async |context, _| {
        let source: String = context.call("probe.source", ()).await.expect("its source");
        assert!(source.contains("# A comment."), "{source}");
        match context.call::<Value>("shop.db.models.fail", ()).await {
            Err(Error::Call(error)) => {
                let traceback = error.traceback.unwrap_or_default();
                assert!(traceback.contains("shop/db/models.py\", line 6, in fail"), "{traceback}");
                assert!(traceback.contains("raise ValueError('no such thing')"), "{traceback}");
            }
            other => panic!("{other:?}"),
        }
        match context.call::<Value>("broken.f", ()).await {
            Err(Error::Call(error)) => {
                assert!(error.type_name.ends_with("SyntaxError"), "{error:?}");
                assert!(error.message.contains("line 2"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        for _ in 0..2 {
            match context.call::<Value>("raising.f", ()).await {
                Err(Error::Call(error)) => {
                    assert!(error.type_name.ends_with("ZeroDivisionError"), "{error:?}")
                }
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn packages_list_their_members_and_give_their_data_files() {
    let (_root, router) = shop();
    on_each(&router, async |context, old| {
        let members: Vec<(String, bool)> = context.call("probe.members", ()).await.expect("members");
        assert_eq!(members, [("shop.base".to_owned(), false), ("shop.db".to_owned(), true)]);
        let data: String = context.call("probe.data", ()).await.expect("data");
        assert_eq!(data, "some data\n");
        let value: i64 =
            context.call("probe.attribute", ("space.inner.deep", "X")).await.expect("a namespace");
        assert_eq!(value, 5);
        if !old {
            let number: i64 = context.call("probe.attribute", ("sys", "hexversion")).await.expect("version");
            let version = [3, number >> 16 & 0xff];
            if version[1] >= 7 {
                let found: Vec<Value> = context.call("probe.resources", ()).await.expect("resources");
                assert_eq!(found[0], Value::Text("some data\n".into()));
                if version[1] >= 10 {
                    assert_eq!(found[3], Value::Text("a\n".into()), "{found:?}");
                    assert_eq!(found[4], Value::Text("some data\n".into()));
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_costs_no_request_once_its_package_is_known() {
    let (_root, router) = shop();
    on_each(&router, async |context, _| {
        let _: Value = context.call("probe.attribute", ("shop", "VALUE")).await.expect("shop");
        let before = context.stats().expect("counters").module_requests;
        for name in ["shop.nosuch", "shop.base.deeper", "simplejson", "nt", "json.nosuch"] {
            let said: String = context.call("probe.absent", (name,)).await.expect("an answer");
            assert!(said.starts_with("No module named"), "{name}: {said}");
        }
        assert_eq!(context.stats().expect("counters").module_requests, before);
        let said: String = context.call("probe.absent", ("nosuch",)).await.expect("an answer");
        assert!(said.starts_with("No module named"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn threads_that_import_the_same_share_one_request() {
    let (_root, router) = shop();
    on_each(&router, async |context, _| {
        let names = ["shop"; 8];
        let failed: Vec<String> = context.call("probe.together", (names,)).await.expect("an answer");
        assert_eq!(failed, [""; 0]);
        assert_eq!(context.stats().expect("counters").module_requests, 2);
    })
    .await;
}

#[tokio::test]
async fn a_program_in_one_file_is_main_up_to_its_guard() {
    let root = tempfile::tempdir().expect("a directory");
    write(
        root.path(),
        &[
            (
                "program.py",
                "import helper\ndef main(x):\n    return helper.twice(x)\nif __name__ == '__main__':\n    raise SystemExit('the controller only')\n",
            ),
            ("helper.py", "def twice(x):\n    return 2 * x\n"),
        ],
    );
    let router = Router::builder().script(root.path().join("program.py")).build().expect("a router");
    on_each(&router, async |context, _| {
        let value: i64 = context.call("__main__.main", (21,)).await.expect("main");
        assert_eq!(value, 42);
        assert_eq!(context.stats().expect("counters").module_requests, 1);
    })
    .await;
}

#[tokio::test]
async fn a_script_without_a_guard_is_refused_with_advice() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), &[("program.py", "def main():\n    return 1\nprint('side effect')\n")]);
    let router = Router::builder().script(root.path().join("program.py")).build().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    match context.call::<Value>("__main__.main", ()).await {
        Err(Error::Call(error)) => assert!(error.message.contains("main guard"), "{error:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn modules_can_be_given_as_text() {
    let router = Router::builder()
        .module(
            ModuleSource::new("given", "from given.inner import X\n").resource("data.bin", &b"\0\x01"[..]),
        )
        .module(ModuleSource::new(
            "given.inner",
            "import pkgutil\nX = 3\ndef data():\n    return len(pkgutil.get_data('given', 'data.bin'))\n",
        ))
        .build()
        .expect("a router");
    on_each(&router, async |context, _| {
        let size: i64 = context.call("given.inner.data", ()).await.expect("data");
        assert_eq!(size, 2);
        assert_eq!(context.stats().expect("counters").modules_sent, 2);
    })
    .await;
}

#[tokio::test]
async fn each_module_crosses_each_link_of_a_chain_once() {
    let (_root, router) = shop();
    for python in interpreters() {
        eprintln!("{}", python.display());
        let method = || Local::new().python(python.to_string_lossy());
        let first = router.connect(method()).await.expect("the first hop");
        let second = first.connect(method()).await.expect("the second hop");
        let leaf = second.connect(method()).await.expect("a leaf");
        let value: i64 = leaf.call("probe.attribute", ("shop", "VALUE")).await.expect("shop");
        assert_eq!(value, 7);
        let stats = first.stats().expect("counters");
        assert_eq!((stats.module_requests, stats.modules_sent), (2, 4), "{stats:?}");
        assert_eq!(leaf.stats(), None);

        // The other leaf has all from the hop, the hop itself too.
        let other = second.connect(method()).await.expect("another leaf");
        let before = first.stats().expect("counters").module_requests;
        for context in [&other, &second, &first] {
            let value: i64 = context.call("probe.attribute", ("shop", "VALUE")).await.expect("shop");
            assert_eq!(value, 7);
        }
        assert_eq!(first.stats().expect("counters").module_requests, before);
        let data: String = leaf.call("probe.data", ()).await.expect("data");
        assert_eq!(data, "some data\n");
        let data: String = other.call("probe.data", ()).await.expect("data");
        assert_eq!(data, "some data\n");
        first.shutdown().await.expect("it ends");
    }
}
