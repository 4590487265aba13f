//! Sends the pieces of files over a link, as credits come.

use super::server::{Input, Server, lock, words_of};
use super::source::Piece;
use mitogen_fileservice::{Credit, HOLE_COST, JobId, Read};
use mitogen_wire::{ContextId, Encoding, Value};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// Sends over one stream, piece by piece, as credits come.
pub(super) async fn pump(
    server: Weak<Server>,
    stream: ContextId,
    mut turns: mpsc::UnboundedReceiver<(JobId, Credit)>,
) {
    while let Some((job, credit)) = turns.recv().await {
        let watch =
            server.upgrade().and_then(|server| server.shared()).and_then(|shared| shared.queue_of(stream));
        if let Some(watch) = watch {
            // A link that fails says so elsewhere.
            let _ = watch.flushed().await;
        }
        let Some(server) = server.upgrade() else { return };
        let input = {
            let mut state = lock(&server.state);
            state.jobs.get_mut(&job).map(|job| std::mem::replace(&mut job.input, Input::Gone))
        };
        let mut pieces = match input {
            Some(Input::Reading(pieces)) => pieces,
            _ => {
                server.read(stream, job, credit, None, Read::Failed);
                continue;
            }
        };
        let piece = pieces.recv().await;
        let read = server.send(job, piece);
        server.read(stream, job, credit, Some(pieces), read);
    }
}

impl Server {
    /// Sends a piece of a transfer.
    fn send(&self, id: JobId, piece: Option<Piece>) -> Read {
        let Some(shared) = self.shared() else { return Read::Failed };
        let (receiver, handle, plain, options, sent, total) = {
            let mut state = lock(&self.state);
            let Some(job) = state.jobs.get_mut(&id) else { return Read::Failed };
            match &piece {
                Some(Piece::Data(_, bytes)) => job.sent += *bytes,
                Some(Piece::Hole(bytes)) => job.sent += *bytes,
                Some(Piece::Failed(error)) => job.failure = Some(error.clone()),
                _ => {}
            }
            (job.receiver, job.handle, job.plain, job.options.clone(), job.sent, job.total)
        };
        let acks = self.acks.get().copied().filter(|_| !plain);
        let result = match piece {
            Some(Piece::Data(data, _)) => {
                let cost = data.len();
                shared.send_from(acks, receiver, handle, (Encoding::Raw, data));
                Read::Sent(cost)
            }
            Some(Piece::Hole(length)) => {
                let words = [Value::Text("hole".to_owned()), Value::Int(length as i64)];
                shared.send_from(acks, receiver, handle, words_of(words));
                Read::Sent(HOLE_COST)
            }
            Some(Piece::End(total, digest)) => {
                if !plain {
                    let digest = digest.map_or(Value::None, Value::Text);
                    let words = [Value::Text("end".to_owned()), Value::Int(total as i64), digest];
                    shared.send_from(acks, receiver, handle, words_of(words));
                }
                Read::End
            }
            Some(Piece::Failed(_)) | None => Read::Failed,
        };
        options.tell(sent, total);
        result
    }

    fn read(
        self: &Arc<Self>,
        stream: ContextId,
        job: JobId,
        credit: Credit,
        pieces: Option<mpsc::Receiver<Piece>>,
        read: Read,
    ) {
        let now = self.now();
        self.apply(|state| {
            if let (Some(entry), Some(pieces)) = (state.jobs.get_mut(&job), pieces) {
                entry.input = Input::Reading(pieces);
            }
            state.machine.handle_read(now, stream, job, credit, read);
        });
    }
}
