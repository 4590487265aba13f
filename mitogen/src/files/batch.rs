//! Requests that are answered at once travel together.
//!
//! ```text
//!  request ─> fewer than two messages under way: it goes at once
//!          ─> else it waits, and goes with all that wait when an answer comes
//! ```
//!
//! So one request alone waits for nothing, and of thousands of small files the agent gets dozens with one message:
//! its threads then wake each other for each message, not for each file, and a directory is synced once for all of them.

use super::error::{FileError, FileErrorKind};
use super::request::{Begun, Fault, ask, judge};
use super::server::lock;
use crate::context::Context;
use crate::error::Error;
use mitogen_fileservice::PATIENCE;
use mitogen_wire::{ContextId, Value};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::oneshot;

/// How many messages are under way to one context: while it works on one the next is on its way.
const UNDER_WAY: usize = 2;
/// How many requests one message holds, and how many bytes that they or their answers carry (one may have more).
const TOGETHER: usize = 64;
const BYTES: usize = 262_144;

/// Bytes per second of a disk that is read, at least.
const SLOWEST: u64 = 10_000_000;

/// The batches of one router, by the context they go to. A context without requests has none.
#[derive(Default)]
pub(super) struct Batches(Mutex<BTreeMap<ContextId, Batch>>);

#[derive(Default)]
struct Batch {
    under_way: usize,
    waiting: VecDeque<Request>,
}

struct Request {
    operation: &'static str,
    options: Vec<(&'static str, Value)>,
    bytes: usize,
    done: oneshot::Sender<Result<Value, Fault>>,
}

/// Asks what is answered at once, with others. `bytes` is how much it or its answer carries; `path` is for errors.
pub(super) async fn ask_together(
    context: &Context,
    path: &Path,
    operation: &'static str,
    options: Vec<(&'static str, Value)>,
    bytes: usize,
) -> Result<Value, Error> {
    let (done, answer) = oneshot::channel();
    let batches = &context.shared.files().batches;
    lock(&batches.0).entry(context.id()).or_default().waiting.push_back(Request {
        operation,
        options,
        bytes,
        done,
    });
    while let Some(requests) = batches.next(context.id()) {
        tokio::spawn(send(context.clone(), requests));
    }
    match answer.await {
        Ok(Ok(answer)) => judge(context, path, answer),
        Ok(Err(Fault::Silent(after))) => {
            let message = format!("it was not answered for {} s", after.as_secs_f64());
            let error = FileError::new(path, FileErrorKind::Stalled, message);
            Err(error.at(context.info.label()).into())
        }
        Ok(Err(fault)) => Err(fault.error(&context.info)),
        Err(_) => Err(Error::Closed),
    }
}

impl Batches {
    /// What is to be sent now.
    fn next(&self, context: ContextId) -> Option<Vec<Request>> {
        let mut batches = lock(&self.0);
        let batch = batches.get_mut(&context)?;
        if batch.under_way >= UNDER_WAY {
            return None;
        }
        let mut requests = Vec::new();
        let mut bytes = 0;
        while let Some(request) = batch.waiting.front()
            && requests.len() < TOGETHER
            && (requests.is_empty() || bytes + request.bytes <= BYTES)
        {
            bytes += request.bytes;
            // Who waits no more is asked for nothing.
            requests.extend(batch.waiting.pop_front().filter(|request| !request.done.is_closed()));
        }
        if !requests.is_empty() {
            batch.under_way += 1;
            return Some(requests);
        }
        if batch.under_way == 0 {
            batches.remove(&context);
        }
        None
    }

    /// Takes all that waits: it would not be answered either.
    fn give_up(&self, context: ContextId) -> Vec<Request> {
        lock(&self.0).get_mut(&context).map(|batch| batch.waiting.drain(..).collect()).unwrap_or_default()
    }

    fn end(&self, context: ContextId) {
        if let Some(batch) = lock(&self.0).get_mut(&context) {
            batch.under_way -= 1;
        }
    }
}

/// For how long an answer may be awaited: many files may be on a slow disk, and what is there of a large one is read
/// before it is gone on with.
fn patience(one: Duration, requests: &[Request]) -> Duration {
    let option = |request: &Request, name| {
        let mut options = request.options.iter();
        options.find(|(key, _)| *key == name).map(|(_, value)| value.clone())
    };
    let digested = |request: &Request| {
        let resumed = option(request, "resume") == Some(Value::Bool(true));
        option(request, "size").filter(|_| resumed).and_then(|size| size.as_u64()).unwrap_or_default()
    };
    let bytes: u64 = requests.iter().map(digested).sum();
    one * PATIENCE + Duration::from_secs(bytes / SLOWEST)
}

/// Sends requests, and then those that came meanwhile, until there are no more.
async fn send(context: Context, mut requests: Vec<Request>) {
    let files = context.shared.files();
    let batches = &files.batches;
    loop {
        let limit = patience(files.clock.patience, &requests);
        let mut waiting = Vec::with_capacity(requests.len());
        let mut all = Vec::with_capacity(requests.len());
        for Request { operation, options, done, .. } in requests {
            let options =
                options.into_iter().map(|(key, value)| (Value::Text(key.to_owned()), value)).collect();
            all.push(Value::Tuple(vec![Value::Text(operation.to_owned()), Value::Dict(options)]));
            waiting.push(done);
        }
        let answers = match ask(&context, Path::new(""), "all", vec![("requests", Value::List(all))]) {
            Ok(mut asked) => tokio::select! {
                outcome = asked.outcome() => outcome,
                () = files.clock.silence(limit, || 0) => Err(Fault::Silent(limit)),
            },
            Err(error) => Err(Fault::Unreadable(error.to_string())),
        };
        if let Err(fault @ Fault::Silent(_)) = &answers {
            for request in batches.give_up(context.id()) {
                let _ = request.done.send(Err(fault.clone()));
            }
        }
        batches.end(context.id());
        let answers =
            answers.map(|answers| answers.get("answers").and_then(Value::as_slice).map(<[_]>::to_vec));
        let mut answers = answers.map(|answers| answers.unwrap_or_default().into_iter());
        for done in waiting {
            let answer = match &mut answers {
                Ok(answers) => {
                    answers.next().ok_or_else(|| Fault::Unreadable("an answer is missing".to_owned()))
                }
                Err(fault) => Err(fault.clone()),
            };
            if let Err(Ok(answer)) = done.send(answer) {
                // Nobody waits for what was begun: dropped at once, it is given up there.
                drop(Begun::new(&context, &answer));
            }
        }
        match batches.next(context.id()) {
            Some(more) => requests = more,
            None => return,
        }
    }
}
