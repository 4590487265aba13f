//! Who comes to the socket, and each client's link from its first word to its end.
//!
//! Whoever has not said who he is has a task of his own, a place among few, and little time: he holds
//! nobody up.

use super::{Age, Client, Guests, ListenerEvent, Refusal};
use crate::info::ContextInfo;
use crate::link::{Ending, Registration, Stop, Wire, is_hangup};
use crate::shared::Shared;
use mitogen_transport::{FrameReader, LinkError, QueueWatch, UnixListener, Visitor};
use mitogen_wire::{ContextId, Direction, FrameFormat, UnixWelcome};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

/// How many may be waited for until they say who they are.
const STRANGERS: usize = 256;
/// How long nobody is let in when the system lacks something.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client that is to go may take to read what is still on its way.
const FAREWELL: Duration = Duration::from_secs(1);

/// Somebody who has not said yet who he is.
struct Stranger {
    task: AbortHandle,
    uid: u32,
    pid: Option<u32>,
}

/// Lets clients in, until that is to end or the router is.
pub(super) async fn keep(
    shared: Arc<Shared>,
    door: Arc<UnixListener>,
    guests: Arc<Guests>,
    mut stopped: oneshot::Receiver<()>,
) {
    let _open = Open(Arc::clone(&shared));
    let closed = shared.living.doors_closed();
    tokio::pin!(closed);
    let mut tasks = JoinSet::new();
    let mut strangers: VecDeque<Stranger> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = &mut closed => break,
            Some(_) = tasks.join_next() => strangers.retain(|stranger| !stranger.task.is_finished()),
            visitor = door.accept() => match visitor {
                Ok(visitor) => {
                    let (uid, pid) = (visitor.uid(), visitor.pid());
                    if !visitor.is_ours() {
                        guests.tell(ListenerEvent::Refused { uid, pid, why: Refusal::ForeignUser });
                        continue;
                    }
                    if strangers.len() >= STRANGERS
                        && let Some(Stranger { task, uid, pid }) = strangers.pop_front()
                        && !task.is_finished()
                    {
                        task.abort();
                        guests.tell(ListenerEvent::Refused { uid, pid, why: Refusal::Crowd });
                    }
                    let task = tasks.spawn(receive(Arc::clone(&shared), Arc::clone(&guests), visitor));
                    strangers.push_back(Stranger { task, uid, pid });
                }
                Err(error) => {
                    tracing::warn!("{}: cannot let anybody in: {error}", door.path().display());
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
}

/// While it is there the socket is.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.living.remove();
    }
}

/// Hears who somebody is, and lets him in.
async fn receive(shared: Arc<Shared>, guests: Arc<Guests>, visitor: Visitor) {
    let (uid, pid) = (visitor.uid(), visitor.pid());
    let heard =
        tokio::time::timeout(guests.options.handshake_timeout, admit(&shared, &guests, visitor)).await;
    if let Err(why) = heard.unwrap_or(Err(Refusal::Silent)) {
        guests.tell(ListenerEvent::Refused { uid, pid, why });
    }
}

async fn admit(shared: &Arc<Shared>, guests: &Arc<Guests>, mut visitor: Visitor) -> Result<(), Refusal> {
    let hello = visitor.hello().await.map_err(|_: io::Error| Refusal::Left)?;
    let id = shared.allocate_id(None).map_err(|_| Refusal::Closed)?;
    let client = Client { id, pid: visitor.pid().unwrap_or(hello.pid), uid: visitor.uid() };
    let place = Place::take(guests, client).ok_or(Refusal::Full)?;
    let welcome = UnixWelcome { id, server: ContextId::CONTROLLER, pid: std::process::id() };
    let stream = visitor.welcome(welcome).await.map_err(|_| Refusal::Left)?;

    let limit = shared.settings.max_message_size;
    let (reader, writer) = stream.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, limit);
    let name: Arc<str> = Arc::from(format!("unix_client.{}", place.client.pid));
    let info = Arc::new(ContextInfo::new(id, Arc::clone(&name), name.to_string(), None));
    let age = Arc::new(Age::default());
    let wire = Wire::to_client(writer, Arc::clone(&age), guests.options.queue_limit);
    let queue = wire.watch();
    let (stop, stopped) = oneshot::channel();
    shared.adopt_client(&info, wire, stop, guests.options.logs).map_err(|_| Refusal::Closed)?;
    guests.tell(ListenerEvent::Connected(place.client.clone()));
    let registration = Registration { shared: Arc::clone(shared), info };
    tokio::spawn(ClientTask { registration, reader, age, queue, place }.run(stopped));
    Ok(())
}

/// A client's place among the guests; given back when it is dropped.
struct Place {
    guests: Arc<Guests>,
    client: Client,
}

impl Place {
    fn take(guests: &Arc<Guests>, client: Client) -> Option<Place> {
        guests.add(&client).then(|| Place { guests: Arc::clone(guests), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.clients().remove(&self.client.id);
    }
}

/// Reads a client's link until it ends.
struct ClientTask {
    registration: Registration,
    reader: FrameReader,
    age: Arc<Age>,
    queue: QueueWatch,
    place: Place,
}

impl ClientTask {
    async fn run(mut self, mut stopped: oneshot::Receiver<Stop>) {
        let ending = tokio::select! {
            biased;
            stop = &mut stopped => Ending::Stopped(stop.unwrap_or(Stop::RouterClosed)),
            ending = self.read() => ending,
        };
        let ClientTask { registration, reader, queue, place, .. } = self;
        // The hub lets go of the writer here: the client sees the end of the stream behind what is queued.
        registration.shared.handle_link_down(&registration.info, ending);
        let reason = registration.info.lost_reason();
        let (guests, client) = (Arc::clone(&place.guests), place.client.clone());
        drop(place);
        guests.tell(ListenerEvent::Disconnected { client, reason });
        let _ = tokio::time::timeout(FAREWELL, queue.flushed()).await;
        reader.hang_up();
    }

    async fn read(&mut self) -> Ending {
        loop {
            match self.reader.next().await {
                Ok(Some(message)) => {
                    self.age.note(&message);
                    self.registration.shared.handle_message(self.registration.info.id, message);
                    // One that sends without end must not keep others, and timers, from their turn.
                    tokio::task::coop::consume_budget().await;
                }
                Ok(None) => return Ending::Closed(None),
                Err(LinkError::Io(error)) if is_hangup(&error) => return Ending::Closed(None),
                Err(error) => return Ending::Failed(error.into()),
            }
        }
    }
}
