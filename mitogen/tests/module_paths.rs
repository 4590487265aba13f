//! Modules are found wherever Python keeps them: directories, archives, virtualenvs, several roots of one package.

mod common;

use common::{connect, interpreters};
use mitogen::{Context, Error, Local, Router, Value};
use std::path::Path;
use std::process::Command;

const PROBE: &str = "\
import sys
def get(name, attribute):
    __import__(name)
    return getattr(sys.modules[name], attribute)
def source(name, function):
    import inspect
    __import__(name)
    return inspect.getsource(getattr(sys.modules[name], function))
def data(package, name):
    import pkgutil
    __import__(package)
    return pkgutil.get_data(package, name).decode()
def members(package):
    import pkgutil
    __import__(package)
    return sorted([str(member[1]) for member in pkgutil.iter_modules(sys.modules[package].__path__)])
def resource(package, name):
    # Python 3.9 has `files`, and asks no loader there.
    if sys.version_info < (3, 10):
        return data(package, name)
    from importlib.resources import files
    return files(package).joinpath(name).read_text()
";

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }
}

fn python3() -> std::path::PathBuf {
    interpreters().pop().expect("an interpreter")
}

/// Packs a directory as packaging tools do; with bytes in front of the archive, as zipped programs have them.
fn pack(folder: &Path, archive: &Path, front: &str) {
    const SCRIPT: &str = "
import os, sys, zipfile
folder, archive, front = sys.argv[1:]
with open(archive, 'wb') as f:
    f.write(front.encode())
    with zipfile.ZipFile(f, 'w', zipfile.ZIP_DEFLATED) as out:
        for place, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                path = os.path.join(place, name)
                out.write(path, os.path.relpath(path, folder))
";
    let output = Command::new(python3()).args(["-c", SCRIPT]).args([folder, archive]).arg(front).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
}

async fn get<T: serde::de::DeserializeOwned>(context: &Context, name: &str, attribute: &str) -> T {
    let got = context.call("probe.get", (name, attribute)).await;
    got.unwrap_or_else(|error| panic!("{name}.{attribute}: {error:?}"))
}

async fn refusal(context: &Context, name: &str) -> String {
    match context.call::<Value>("probe.get", (name, "x")).await {
        Err(Error::Call(error)) => {
            let kind = error.type_name;
            assert!(kind.ends_with("ImportError") || kind.ends_with("ModuleNotFoundError"), "{kind}");
            error.message
        }
        other => panic!("{name}: {other:?}"),
    }
}

const PACKED: &[(&str, &str)] = &[
    ("zpack/__init__.py", "from zpack.inner import deep\n"),
    ("zpack/inner/__init__.py", ""),
    ("zpack/inner/deep.py", "X = 3\ndef f():\n    # In an archive.\n    raise ValueError('deep')\n"),
    ("zpack/data.txt", "data of an archive"),
    ("zspace/leaf.py", "X = 4\n"),
    ("single.py", "X = 5\n"),
    ("zpack-1.0.dist-info/METADATA", "Name: zpack\n"),
];

#[tokio::test]
async fn archives_and_wheels_serve_modules_and_data_files() {
    let root = tempfile::tempdir().expect("a directory");
    let from = root.path().join("from");
    write(&from, PACKED);
    write(root.path(), &[("path/probe.py", PROBE)]);
    for (file, front) in
        [("zpack.zip", ""), ("zpack-1.0-py2.py3-none-any.whl", ""), ("zpack.pyz", "#!/usr/bin/env python\n")]
    {
        let archive = root.path().join(file);
        pack(&from, &archive, front);
        let router = Router::builder().module_path(root.path().join("path")).module_path(&archive);
        let router = router.build().expect("a router");
        for python in interpreters() {
            let context = connect(&router, &python).await;
            assert_eq!(get::<i64>(&context, "zpack.inner.deep", "X").await, 3);
            assert_eq!(get::<i64>(&context, "zspace.leaf", "X").await, 4);
            assert_eq!(get::<i64>(&context, "single", "X").await, 5);
            let path: String = get(&context, "zpack", "__file__").await;
            assert!(path.ends_with(&format!("{file}/zpack/__init__.py")), "{path}");
            let data: String = context.call("probe.data", ("zpack", "data.txt")).await.expect("data");
            assert_eq!(data, "data of an archive");
            let data: String =
                context.call("probe.resource", ("zpack", "data.txt")).await.expect("a resource");
            assert_eq!(data, "data of an archive");
            let members: Vec<String> = context.call("probe.members", ("zpack",)).await.expect("members");
            assert_eq!(members, ["inner"]);
            let source: String =
                context.call("probe.source", ("zpack.inner.deep", "f")).await.expect("a source");
            assert!(source.contains("# In an archive."), "{source}");
            match context.call::<Value>("zpack.inner.deep.f", ()).await {
                Err(Error::Call(error)) => {
                    let traceback = error.traceback.unwrap_or_default();
                    assert!(traceback.contains("deep.py\", line 4, in f"), "{traceback}");
                }
                other => panic!("{other:?}"),
            }
            context.shutdown().await.expect("it ends");
        }
    }
}

#[tokio::test]
async fn a_damaged_archive_costs_its_own_modules_only() {
    let root = tempfile::tempdir().expect("a directory");
    let from = root.path().join("from");
    write(&from, PACKED);
    write(root.path(), &[("path/probe.py", PROBE), ("path/sound.py", "x = 1\n"), ("no.zip", "no archive")]);
    let whole = root.path().join("whole.zip");
    pack(&from, &whole, "");
    let content = std::fs::read(&whole).expect("an archive");
    std::fs::write(root.path().join("cut.zip"), &content[..content.len() / 2]).expect("a file");
    // The directory is as it was, what it leads to is not.
    let mut broken = content;
    let end = broken.len() / 2;
    broken[40..end].fill(0x55);
    std::fs::write(root.path().join("broken.zip"), broken).expect("a file");
    let mut router = Router::builder().module_path(root.path().join("path"));
    for file in ["no.zip", "cut.zip", "broken.zip", "nosuch.zip", "nosuch"] {
        router = router.module_path(root.path().join(file));
    }
    let router = router.build().expect("a router");
    let context = connect(&router, &python3()).await;
    assert_eq!(get::<i64>(&context, "sound", "x").await, 1);
    let said = refusal(&context, "single").await;
    assert!(said.contains("cannot be read"), "{said}");
    refusal(&context, "nosuch").await;
}

#[tokio::test]
async fn a_virtualenv_gives_what_is_in_it_and_what_its_pth_files_add() {
    let root = tempfile::tempdir().expect("a directory");
    let site = "venv/lib/python3.11/site-packages";
    write(
        root.path(),
        &[
            ("venv/lib/python3.11/site-packages/inside.py", "X = 1\n"),
            (
                "venv/lib/python3.11/site-packages/more.pth",
                "# A comment.\nimport os\n/no/such/place\n../../../../project/src\n\n",
            ),
            ("project/src/developed/__init__.py", "X = 2\n"),
            ("path/probe.py", PROBE),
        ],
    );
    assert!(root.path().join(site).is_dir());
    let router = Router::builder().module_path(root.path().join("path"));
    let router = router.virtualenv(root.path().join("venv")).build().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    assert_eq!(get::<i64>(&context, "inside", "X").await, 1);
    assert_eq!(get::<i64>(&context, "developed", "X").await, 2);
}

#[tokio::test]
async fn an_interpreters_own_path_is_asked_of_it() {
    let root = tempfile::tempdir().expect("a directory");
    let venv = root.path().join("venv");
    let made = Command::new(python3()).args(["-m", "venv", "--without-pip"]).arg(&venv).output();
    assert!(made.expect("it starts").status.success());
    let question = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let output = Command::new(venv.join("bin/python")).args(["-c", question]).output().expect("it runs");
    let site = String::from_utf8(output.stdout).expect("a path").trim().to_owned();
    write(
        Path::new(&site),
        &[("installed.py", "X = 6\n"), ("probe.py", PROBE), ("ours.pth", "../../../../elsewhere\n")],
    );
    write(root.path(), &[("elsewhere/added.py", "X = 7\n")]);
    let router = Router::builder().modules_of(venv.join("bin/python")).build().expect("a router");
    for python in interpreters() {
        let context = connect(&router, &python).await;
        assert_eq!(get::<i64>(&context, "installed", "X").await, 6);
        assert_eq!(get::<i64>(&context, "added", "X").await, 7);
        context.shutdown().await.expect("it ends");
    }
    // One that is not there costs its modules, and nothing else.
    write(root.path(), &[("path/probe.py", PROBE)]);
    let router = Router::builder().module_path(root.path().join("path"));
    let router = router.modules_of(root.path().join("nosuch")).build().expect("a router");
    let context = router.connect(Local::new()).await.expect("a context");
    refusal(&context, "installed").await;
}

#[tokio::test]
async fn a_namespace_package_has_its_members_in_several_places() {
    let root = tempfile::tempdir().expect("a directory");
    write(
        root.path(),
        &[
            ("a/space/one.py", "X = 1\n"),
            ("b/space/two/__init__.py", "from space.one import X\n"),
            ("b/probe.py", PROBE),
            ("b/empty/notes.txt", "no module"),
        ],
    );
    let router = Router::builder().module_path(root.path().join("a")).module_path(root.path().join("b"));
    let router = router.build().expect("a router");
    for python in interpreters() {
        let context = connect(&router, &python).await;
        assert_eq!(get::<i64>(&context, "space.two", "X").await, 1);
        let members: Vec<String> = context.call("probe.members", ("space",)).await.expect("members");
        assert_eq!(members, ["one", "two"]);
        refusal(&context, "empty").await;
        context.shutdown().await.expect("it ends");
    }
}

#[tokio::test]
async fn only_what_is_allowed_is_sent() {
    let root = tempfile::tempdir().expect("a directory");
    write(
        root.path(),
        &[
            ("wanted/__init__.py", "try:\n    import other\nexcept ImportError:\n    X = 1\n"),
            ("wanted/inner.py", "X = 2\n"),
            ("other.py", "X = 3\n"),
            ("probe.py", PROBE),
        ],
    );
    let router = Router::builder().module_path(root.path()).only_module("wanted").only_module("probe");
    let router = router.build().expect("a router");
    for python in interpreters() {
        let context = connect(&router, &python).await;
        assert_eq!(get::<i64>(&context, "wanted", "X").await, 1);
        assert_eq!(get::<i64>(&context, "wanted.inner", "X").await, 2);
        let said = refusal(&context, "other").await;
        assert!(said.contains("not among the overrides"), "{said}");
        context.shutdown().await.expect("it ends");
    }
}
