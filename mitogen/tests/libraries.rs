//! Libraries that people use, from PyPI, import and work in contexts that have none of them.
//!
//! `cargo xtask test` installs them, once, into the target directory; nothing here runs their interpreter.

mod common;

use common::interpreters;
use mitogen::{Context, Local, Router, Value};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Each function works with a library and returns its file and what came of the work.
const WORK: &str = r#"
import sys

def work_django():
    import django
    from django.conf import settings
    settings.configure(
        USE_I18N=False, USE_TZ=False,
        DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}})
    django.setup()
    from django.db import connection, models
    class Book(models.Model):
        id = models.AutoField(primary_key=True)
        title = models.CharField(max_length=50)
        class Meta:
            app_label = 'library'
    with connection.schema_editor() as editor:
        editor.create_model(Book)
    for title in 'Emma', 'Persuasion', 'Evelina':
        Book.objects.create(title=title)
    found = Book.objects.filter(title__startswith='E').order_by('title')
    return django.__file__, ','.join([str(book.title) for book in found])

def work_requests():
    import threading
    import requests
    try:
        from http.server import BaseHTTPRequestHandler, HTTPServer
    except ImportError:
        from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = ('{"path": "%s"}' % self.path).encode()
            self.send_response(200)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args):
            pass
    server = HTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.handle_request)
    thread.daemon = True
    thread.start()
    session = requests.Session()
    session.trust_env = False
    answer = session.get('http://127.0.0.1:%d/emma' % server.server_port, timeout=60)
    server.server_close()
    return requests.__file__, str(answer.json()['path'])

def work_jinja2():
    import jinja2
    templates = {
        'base': '<{% block body %}{% endblock %}>',
        'page': '{% extends "base" %}{% block body %}{% for x in xs %}{{ x|upper }}{% if not loop.last %}, {% endif %}{% endfor %}{% endblock %}',
    }
    environment = jinja2.Environment(loader=jinja2.DictLoader(templates), autoescape=True)
    return jinja2.__file__, str(environment.get_template('page').render(xs=['a&b', 'c']))

def work_yaml():
    import yaml
    text = 'a: [1, 2.5, null]\nb: &x {c: "d"}\ne: *x\n'
    value = yaml.safe_load(text)
    assert not yaml.__with_libyaml__ and value['e'] is value['b']
    return yaml.__file__, yaml.safe_dump(value['a'], default_flow_style=True).strip()

def has(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True
"#;

const RESULTS: [(&str, &str); 4] = [
    ("django", "Emma,Evelina"),
    ("requests", "/emma"),
    ("jinja2", "<A&amp;B, C>"),
    ("yaml", "[1, 2.5, null]"),
];

/// The set of libraries for these interpreters, if it was installed.
fn libraries(set: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("xtask").join("libraries").join(set);
    // Written last, when all is there.
    let there = folder.join("packages.txt").exists();
    if !there {
        eprintln!("SKIPPED: the libraries from PyPI ({set}) are not there; `cargo xtask test` installs them");
    }
    there.then_some(folder)
}

/// An interpreter like this one that sees its standard library alone. (Before Python 3 it is taken as it is.)
fn bare(python: &Path, folder: &Path) -> PathBuf {
    if python.to_string_lossy().contains("2.7") {
        return python.to_owned();
    }
    let made = Command::new(python).args(["-m", "venv", "--without-pip"]).arg(folder).output();
    let made = made.expect("it starts");
    assert!(made.status.success(), "{}: {made:?}", python.display());
    folder.join("bin/python")
}

async fn check(context: &Context, depth: usize, python: &Path) {
    let sqlite: bool = context.call("work.has", ("sqlite3",)).await.expect("an answer");
    for (library, expected) in RESULTS {
        if library == "django" && !sqlite {
            eprintln!("SKIPPED: Django: the Python {} has no sqlite3", python.display());
            continue;
        }
        let function = format!("work.work_{library}");
        let (file, result): (String, String) = match context.call(&function, ()).await {
            Ok(outcome) => outcome,
            Err(error) => panic!("{library} on {}, depth {depth}: {error:?}", python.display()),
        };
        assert!(file.starts_with("master:"), "{library} was there already: {file}");
        assert_eq!(result, expected, "{library} on {}, depth {depth}", python.display());
    }
}

async fn work_on(set: &str, versions: &[&str]) {
    let Some(library) = libraries(set) else { return };
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("work.py"), WORK).expect("a file");
    let router = Router::builder().module_path(folder.path()).virtualenv(&library).build().expect("a router");
    for python in interpreters() {
        let name = python.to_string_lossy().into_owned();
        let Some(version) = versions.iter().find(|version| {
            name.contains(&format!("/{version}.")) || name.ends_with(&format!("python{version}"))
        }) else {
            continue;
        };
        let bare = bare(&python, &folder.path().join(version));
        let method = || Local::new().python(bare.to_string_lossy());
        let near = router.connect(method()).await.expect("a context");
        check(&near, 1, &python).await;
        // A chain of others, of which none has anything.
        let first = router.connect(method()).await.expect("the first hop");
        let second = first.connect(method()).await.expect("the second hop");
        let leaf = second.connect(method()).await.expect("a leaf");
        check(&leaf, 3, &python).await;
        // What nobody waited for may still be on its way.
        let sent = |context: &Context| context.stats().expect("a neighbour").modules_sent;
        let deadline = Instant::now() + Duration::from_secs(30);
        while sent(&near) != sent(&first) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(sent(&near), sent(&first), "each crosses the first link once");

        // What one leaf had, another gets from the hop between.
        let other = second.connect(method()).await.expect("another leaf");
        let before = first.stats().expect("a neighbour").module_requests;
        check(&other, 3, &python).await;
        assert_eq!(first.stats().expect("a neighbour").module_requests, before);
        first.shutdown().await.expect("it ends");
        near.shutdown().await.expect("it ends");
    }
    router.shutdown().await.expect("it ends");
}

#[tokio::test]
async fn current_ones_on_current_pythons() {
    work_on("current", &["3.11", "3.12"]).await;
}

#[tokio::test]
async fn current_ones_on_an_older_python() {
    work_on("current", &["3.10"]).await;
}

#[tokio::test]
async fn current_ones_on_the_oldest_and_the_newest_python_they_know() {
    work_on("current", &["3.9", "3.13"]).await;
}

#[tokio::test]
async fn older_ones_on_older_pythons() {
    work_on("python3.6", &["3.6", "3.7", "3.8"]).await;
}

#[tokio::test]
async fn the_last_ones_for_python_2() {
    work_on("python2.7", &["2.7"]).await;
}

#[tokio::test]
async fn a_compiled_part_says_why_it_is_not_there() {
    let Some(library) = libraries("current") else { return };
    let router = Router::builder().virtualenv(&library).build().expect("a router");
    let folder = tempfile::tempdir().expect("a directory");
    for python in interpreters().into_iter().rev().take(1) {
        let python = bare(&python, &folder.path().join("bare"));
        let context = common::connect(&router, &python).await;
        match context.call::<Value>("yaml._yaml.f", ()).await {
            Err(mitogen::Error::Call(error)) => {
                assert!(error.message.contains("extension module"), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}
