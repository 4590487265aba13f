//! One file to many contexts: where their ways part, a context passes it on.

use super::INLINE;
use super::error::{FileError, FileErrorKind};
use super::open::{self, Opened};
use super::options::{TransferOptions, Transferred};
use super::request::{Begun, ask, check_route, prepare, unexpected};
use super::source::How;
use super::upload::{Receiver, Sending, describe, form, local_error, one};
use crate::context::Context;
use crate::error::Error;
use crate::shared::Shared;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
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
    let mut relays = Relays::new(shared);
    let begun = async {
        let outputs = relays.outputs(stream, &node, &handles).await?;
        let [output] = &outputs[..] else { return Err(unexpected("a relay has no single way in")) };
        let opened = open_again(local).await?;
        let how = How { offset: 0, compress: options.compress, digest: options.verify, holes: true };
        Sending::begin(shared, stream, output.place, local.to_owned(), opened, how, options)
    }
    .await;
    let mut sending = match begun {
        Ok(sending) => sending,
        Err(error) => {
            // One error, for all of them alike.
            let text = error.to_string();
            let each = |(at, receiver): (usize, Receiver)| {
                let kind = FileErrorKind::Cut;
                let error = FileError::new(local, kind, text.clone()).at(receiver.context.info.label());
                (at, Err(Error::from(error)))
            };
            return receivers.into_iter().map(each).collect();
        }
    };
    let (tell, failed) = tokio::sync::watch::channel(None::<FileError>);
    // Those that a relay has lost need not answer any more.
    let (lose, lost) = tokio::sync::watch::channel(BTreeMap::<usize, String>::new());
    let all = receivers.into_iter().map(|(at, mut receiver)| {
        let (mut failed, mut lost) = (failed.clone(), lost.clone());
        async move {
            let result = tokio::select! {
                biased;
                answer = receiver.wait.answer() => receiver.judge(answer),
                error = cause(&mut failed) => Err(error.into()),
                why = loss(&mut lost, at) => Err(FileError::new(local, FileErrorKind::Stalled, why).into()),
            };
            (at, result)
        }
    });
    let all = futures_util::future::join_all(all.collect::<Vec<_>>());
    tokio::pin!(all);
    loop {
        tokio::select! {
            results = &mut all => return results,
            error = sending.fault() => drop(tell.send_replace(Some(error))),
            more = relays.lost() => lose.send_modify(|lost| lost.extend(more)),
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

/// Why a relay has lost a receiver; for ever, if none has.
async fn loss(lost: &mut tokio::sync::watch::Receiver<BTreeMap<usize, String>>, at: usize) -> String {
    match lost.wait_for(|lost| lost.contains_key(&at)).await {
        Ok(lost) => lost.get(&at).cloned().unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}

/// A place to send to, and the receivers that get it by that.
#[derive(Clone)]
struct Way {
    place: (ContextId, Handle),
    receivers: Vec<usize>,
    /// How many relays stand behind each other from there on.
    height: i32,
}

/// What became of a relay, and where it sent to.
type RelayEnd = (Result<Value, Error>, Vec<Way>);

/// The contexts that pass a file on.
struct Relays<'a> {
    shared: &'a Arc<Shared>,
    /// They end with this.
    begun: Vec<Begun>,
    /// What becomes of each, and where it sends to.
    ends: FuturesUnordered<BoxFuture<'a, RelayEnd>>,
}

impl<'a> Relays<'a> {
    fn new(shared: &'a Arc<Shared>) -> Relays<'a> {
        Relays { shared, begun: Vec::new(), ends: FuturesUnordered::new() }
    }

    /// Where what is for a node and all below it must be sent: one place, or a few.
    fn outputs<'b>(
        &'b mut self,
        id: ContextId,
        node: &'b Node,
        handles: &'b BTreeMap<usize, (ContextId, Handle)>,
    ) -> BoxFuture<'b, Result<Vec<Way>, Error>> {
        Box::pin(async move {
            let here = node.here.iter().filter_map(|at| Some((*at, *handles.get(at)?)));
            let mut ways: Vec<Way> =
                here.map(|(at, place)| Way { place, receivers: vec![at], height: 0 }).collect();
            for (below, node) in &node.below {
                ways.extend(self.outputs(*below, node, handles).await?);
            }
            if ways.len() < 2 {
                return Ok(ways);
            }
            let context = self.shared.context(id).ok_or(Error::Closed)?;
            prepare(&context).await?;
            let pairs = ways.iter().map(|Way { place: (context, handle), .. }| {
                Value::Tuple(vec![Value::Int(i64::from(context.0)), Value::Int(i64::from(handle.0))])
            });
            let height = 1 + ways.iter().map(|way| way.height).max().unwrap_or_default();
            // It gives up on a receiver before whoever is above it gives up on it: after 1/2, 3/4, 7/8 of the time.
            let patience = self.shared.settings.file_patience.as_secs_f64() * (1.0 - 0.5_f64.powi(height));
            let options =
                vec![("receivers", Value::List(pairs.collect())), ("patience", Value::Float(patience))];
            let answer = ask(&context, Path::new(RELAY), "relay", options)?.answer().await?;
            let relay = Begun::new(&context, &answer)?;
            let way = Way {
                place: (id, relay.id),
                receivers: ways.iter().flat_map(|way| way.receivers.iter().copied()).collect(),
                height,
            };
            let handle = Value::Int(i64::from(relay.id.0));
            let mut end = ask(&context, Path::new(RELAY), "wait", vec![("id", handle)])?;
            self.ends.push(Box::pin(async move { (end.answer().await, ways) }));
            self.begun.push(relay);
            Ok(vec![way])
        })
    }

    /// Waits for the receivers that a relay has lost, and why; for ever, if there are no more relays.
    async fn lost(&mut self) -> BTreeMap<usize, String> {
        let Some((answer, ways)) = self.ends.next().await else { return std::future::pending().await };
        let lost = answer.ok().and_then(|answer| answer.get("lost")?.as_slice().map(<[_]>::to_vec));
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let mut all = BTreeMap::new();
        for entry in lost.unwrap_or_default() {
            let Some([who, handle, why]) = entry.as_slice() else { continue };
            let place = number(who).zip(number(handle)).map(|(who, handle)| (ContextId(who), Handle(handle)));
            for way in ways.iter().filter(|way| Some(way.place) == place) {
                let why = why.as_str().unwrap_or_default();
                all.extend(way.receivers.iter().map(|&at| (at, why.to_owned())));
            }
        }
        all
    }
}

/// In the place of a path, for errors of relays.
const RELAY: &str = "(relay)";
