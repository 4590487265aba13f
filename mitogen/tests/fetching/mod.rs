//! Contexts whose user code fetches files of the controller.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part of this

use crate::common::connect;
use mitogen::{Call, Context, Error, Router, Value};
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

pub async fn ready(router: &Router, python: &Path) -> Context {
    let context = connect(router, python).await;
    load(&context).await;
    context
}

pub async fn load(context: &Context) {
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

pub async fn fetch(context: &Context, path: &Path) -> Result<(bool, u64, u64, Value), Error> {
    let path = path.to_str().expect("a path of a test is text");
    let call = Call::new("mitogen:test_fetch").arg(path).timeout(Duration::from_secs(60));
    context.start(call).await
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    match result {
        Err(Error::Call(error)) => assert!(error.to_string().contains(words), "{error}"),
        other => panic!("it was not refused: {other:?}"),
    }
}
