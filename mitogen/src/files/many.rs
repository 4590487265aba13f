//! One file to many contexts: where their ways part, a context passes it on.

use super::INLINE;
use super::error::FileError;
use super::open::{self, Opened};
use super::options::{TransferOptions, Transferred};
use super::request::{Begun, ask, check_route, prepare, unexpected};
use super::source::How;
use super::upload::{Receiver, Sending, describe, form, local_error, one};
use crate::context::Context;
use crate::error::Error;
use crate::shared::Shared;
use mitogen_wire::{ContextId, Handle, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// A context on the way to receivers.
#[derive(Default)]
struct Node {
    /// Its receivers themselves (the same context may be named twice).
    here: Vec<usize>,
    below: BTreeMap<ContextId, Node>,
}

pub(super) async fn many(
    shared: &Arc<Shared>,
    contexts: &[Context],
    local: &Path,
    remote: &Path,
    options: &TransferOptions,
) -> Vec<Result<Transferred, Error>> {
    let mut results: Vec<Option<Result<Transferred, Error>>> = contexts.iter().map(|_| None).collect();
    // Neither a part nor a stream is for many, and a small file goes with its metadata.
    let size = std::fs::metadata(local).map(|metadata| if metadata.is_file() { metadata.len() } else { 0 });
    if contexts.len() < 2 || options.resume || size.is_ok_and(|size| size <= INLINE) {
        let one = contexts.iter().map(|context| one(context, local, remote, options));
        return futures_util::future::join_all(one).await;
    }
    let begin = contexts.iter().map(|context| begin_one(context, local, remote, options));
    let mut receivers: Vec<Option<Receiver>> = Vec::with_capacity(contexts.len());
    for (at, begun) in futures_util::future::join_all(begin).await.into_iter().enumerate() {
        receivers.push(begun.map_err(|error| results[at] = Some(Err(error))).ok());
    }
    let mut roots: BTreeMap<ContextId, Node> = BTreeMap::new();
    for (at, receiver) in receivers.iter().enumerate() {
        let Some(receiver) = receiver else { continue };
        let mut way: Vec<ContextId> = receiver.context.info.ancestors().map(|info| info.id).collect();
        way.reverse();
        way.push(receiver.context.id());
        let mut nodes = &mut roots;
        for (depth, id) in way.iter().enumerate() {
            let node = nodes.entry(*id).or_default();
            if depth + 1 == way.len() {
                node.here.push(at);
                break;
            }
            nodes = &mut node.below;
        }
    }
    let streams = roots.into_iter().map(|(stream, node)| {
        let mut indexes = Vec::new();
        node.indexes(&mut indexes);
        let mine: Vec<(usize, Receiver)> =
            indexes.into_iter().filter_map(|at| Some((at, receivers[at].take()?))).collect();
        send_down(shared, stream, node, mine, local, options)
    });
    let streams: Vec<_> = streams.collect();
    for (at, result) in futures_util::future::join_all(streams).await.into_iter().flatten() {
        results[at] = Some(result);
    }
    results.into_iter().map(|result| result.unwrap_or(Err(Error::Closed))).collect()
}

impl Node {
    fn indexes(&self, all: &mut Vec<usize>) {
        all.extend(&self.here);
        for node in self.below.values() {
            node.indexes(all);
        }
    }
}

async fn begin_one(
    context: &Context,
    local: &Path,
    remote: &Path,
    options: &TransferOptions,
) -> Result<Receiver, Error> {
    check_route(context)?;
    prepare(context).await?;
    let opened = open_again(local).await?;
    let mut put = describe(local, remote, &opened, options);
    put.extend(form(options));
    Receiver::begin(context, remote, put).await
}

async fn open_again(local: &Path) -> Result<Opened, Error> {
    let path = local.to_owned();
    let opened = tokio::task::spawn_blocking(move || open::any(&path)).await;
    Ok(opened.map_err(|error| local_error(local, error))??)
}

/// Over one link: once, whatever lies behind it.
async fn send_down(
    shared: &Arc<Shared>,
    stream: ContextId,
    node: Node,
    receivers: Vec<(usize, Receiver)>,
    local: &Path,
    options: &TransferOptions,
) -> Vec<(usize, Result<Transferred, Error>)> {
    let handles: BTreeMap<usize, (ContextId, Handle)> =
        receivers.iter().map(|(at, receiver)| (*at, (receiver.context.id(), receiver.begun.id))).collect();
    let mut relays = Vec::new();
    let begun = async {
        let outputs = outputs(shared, stream, &node, &handles, &mut relays).await?;
        let [output] = outputs[..] else { return Err(unexpected("a relay has no single way in")) };
        let opened = open_again(local).await?;
        let how = How { offset: 0, compress: options.compress, digest: options.verify, holes: true };
        Sending::begin(shared, stream, output, local.to_owned(), opened, how, options)
    }
    .await;
    let mut sending = match begun {
        Ok(sending) => sending,
        Err(error) => {
            // One error, for all of them alike.
            let text = error.to_string();
            let each = |(at, receiver): (usize, Receiver)| {
                let kind = super::FileErrorKind::Cut;
                let error = FileError::new(local, kind, text.clone()).at(receiver.context.info.label());
                (at, Err(Error::from(error)))
            };
            return receivers.into_iter().map(each).collect();
        }
    };
    let (tell, failed) = tokio::sync::watch::channel(None::<FileError>);
    let all = receivers.into_iter().map(|(at, mut receiver)| {
        let mut failed = failed.clone();
        async move {
            let result = tokio::select! {
                answer = receiver.wait.answer() => receiver.judge(answer),
                error = cause(&mut failed) => Err(error.into()),
            };
            (at, result)
        }
    });
    let all = futures_util::future::join_all(all.collect::<Vec<_>>());
    tokio::pin!(all);
    loop {
        tokio::select! {
            results = &mut all => return results,
            ours = &mut sending.done, if tell.borrow().is_none() => {
                if let Ok(Err(error)) = ours {
                    tell.send_replace(Some(error));
                    continue;
                }
                return all.await;
            }
        }
    }
}

async fn cause(failed: &mut tokio::sync::watch::Receiver<Option<FileError>>) -> FileError {
    match failed.wait_for(Option::is_some).await.ok().and_then(|error| (*error).clone()) {
        Some(error) => error,
        // All was sent: the answer will come.
        None => std::future::pending().await,
    }
}

/// The places to send to, as they become known.
type Outputs<'a> =
    std::pin::Pin<Box<dyn Future<Output = Result<Vec<(ContextId, Handle)>, Error>> + Send + 'a>>;

/// Where what is for a node and all below it must be sent: one place, or a few.
fn outputs<'a>(
    shared: &'a Arc<Shared>,
    id: ContextId,
    node: &'a Node,
    handles: &'a BTreeMap<usize, (ContextId, Handle)>,
    relays: &'a mut Vec<Begun>,
) -> Outputs<'a> {
    Box::pin(async move {
        let mut outs: Vec<(ContextId, Handle)> =
            node.here.iter().filter_map(|at| handles.get(at).copied()).collect();
        for (below, node) in &node.below {
            outs.extend(outputs(shared, *below, node, handles, relays).await?);
        }
        if outs.len() < 2 {
            return Ok(outs);
        }
        let context = shared.context(id).ok_or(Error::Closed)?;
        prepare(&context).await?;
        let pairs = outs.iter().map(|(context, handle)| {
            Value::Tuple(vec![Value::Int(i64::from(context.0)), Value::Int(i64::from(handle.0))])
        });
        let options = vec![("receivers", Value::List(pairs.collect()))];
        let answer = ask(&context, Path::new("(relay)"), "relay", options)?.answer().await?;
        let relay = Begun::new(&context, &answer)?;
        let place = (id, relay.id);
        relays.push(relay);
        Ok(vec![place])
    })
}
