//! A UNIX socket on which Python programs of the same user find this router: upstream's `mitogen.unix`.
//!
//! ```text
//!  program: mitogen.unix.connect(path)         this router
//!    connect                                ->  whose process is it?  (of another user: refused)
//!    its process id                         ->  an id of its own
//!                                           <-  that id, ours, our process id
//!    frames, on our authority              <->  a link like any other, unsigned
//! ```

mod age;
mod door;
mod proxy;

pub(crate) use age::Age;

use crate::error::{Error, LostReason};
use crate::link::Stop;
use crate::router::Router;
use crate::service::Service;
use crate::shared::Shared;
use mitogen_transport::UnixListener;
use mitogen_wire::ContextId;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// How many events wait for somebody who is slow to take them.
const WAITING: usize = 1024;

/// A program that uses this router by a [`Listener`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// Its number in the tree.
    pub id: ContextId,
    /// Its process: what the system says, or else it itself.
    pub pid: u32,
    /// Its user, as the system says.
    pub uid: u32,
}

/// Why somebody who connected was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is neither ours nor root's.
    #[error("it is a process of another user")]
    ForeignUser,
    /// It said nothing, or not all, in time.
    #[error("it did not say in time who it is")]
    Silent,
    /// It went before it had said anything.
    #[error("it went before it said who it is")]
    Left,
    /// Others came meanwhile, too many to wait for at once.
    #[error("it had not said who it is when too many others came")]
    Crowd,
    /// As many clients are here as may be.
    #[error("there are as many clients as may be")]
    Full,
    /// The router is being closed, or has no ids left.
    #[error("the router takes nobody in")]
    Closed,
}

/// Something that happened at a [`Listener`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ListenerEvent {
    /// A program was let in.
    Connected(Client),
    /// It is gone.
    Disconnected {
        /// Which one.
        client: Client,
        /// What ended it.
        reason: LostReason,
    },
    /// Somebody was not let in.
    Refused {
        /// Whose process it is, as the system says.
        uid: u32,
        /// Which process, if the system says.
        pid: Option<u32>,
        /// Why.
        why: Refusal,
    },
    /// Whoever reads these was too slow: so many passed by.
    Missed(u64),
}

/// A stream of [`ListenerEvent`]s, from [`Listener::events`].
#[derive(Debug)]
pub struct ListenerEvents(broadcast::Receiver<ListenerEvent>);

impl ListenerEvents {
    /// The next event, in the order in which they happened; `None` when the listener and its clients are gone.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<ListenerEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(ListenerEvent::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Settings of a [`Listener`].
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    handshake_timeout: Duration,
    max_clients: usize,
    queue_limit: usize,
    logs: bool,
}

impl ListenOptions {
    /// The defaults.
    pub fn new() -> ListenOptions {
        ListenOptions {
            handshake_timeout: Duration::from_secs(10),
            max_clients: 1024,
            queue_limit: 64 << 20,
            logs: true,
        }
    }

    /// How long somebody who connects may take to say who it is (default 10 s). At most 256 are waited for at
    /// once; when more come, those that came first are shown out.
    #[must_use]
    pub fn handshake_timeout(mut self, after: Duration) -> ListenOptions {
        self.handshake_timeout = after;
        self
    }

    /// How many clients may be there at once (default 1024).
    #[must_use]
    pub fn max_clients(mut self, count: usize) -> ListenOptions {
        self.max_clients = count;
        self
    }

    /// How many bytes may wait for one client that does not read (default 64 MiB). It is disconnected then.
    #[must_use]
    pub fn queue_limit(mut self, bytes: usize) -> ListenOptions {
        self.queue_limit = bytes;
        self
    }

    /// Whether clients are sent the contexts' log records and output too (default: yes), as if they had started
    /// the contexts themselves. One that does not read misses some.
    #[must_use]
    pub fn logs(mut self, logs: bool) -> ListenOptions {
        self.logs = logs;
        self
    }
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions::new()
    }
}

/// A socket on which programs find this router, from [`Router::listen`]. Dropping it removes the socket and
/// disconnects those that came by it.
pub struct Listener {
    path: PathBuf,
    /// Gone when nobody is let in any more.
    door: Weak<UnixListener>,
    guests: Arc<Guests>,
    /// Ends the task that lets people in when it is dropped.
    _stop: oneshot::Sender<()>,
    /// What clients may ask of this program as of a context.
    _proxy: Option<Service>,
}

impl Router {
    /// Lets Python programs on this machine use this router: `mitogen.unix.connect(path)` of the mitogen package
    /// gives them a router of their own and a context that stands for this program.
    ///
    /// The socket is this user's alone. Whoever connects must be a process of this user or of root, and acts
    /// with all the rights of this program: it can call functions in every context, end them, fetch and register
    /// files, and use services whose policy is [`Policy::this_program`](crate::Policy::this_program). A process
    /// of the same user could have taken these rights anyway. What is *behind* a client, contexts that it has
    /// started itself, has no more rights than any context.
    ///
    /// What this program offers to them is its services ([`Router::serve`]) and files ([`Router::files`]); that
    /// is how they learn which contexts there are, too: a [`ContextRef`](crate::ContextRef) in an answer is a
    /// `mitogen.core.Context` there. Their `router.ssh(via=context)` and the like work with this program and its
    /// contexts as `via`. Modules that contexts miss come from this router's module path, not from the client.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use mitogen::{ListenerEvent, Router};
    ///
    /// let router = Router::new()?;
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("mitogen.sock");
    /// let listener = router.listen(&path)?;
    /// let mut events = listener.events();
    /// # drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
    /// match events.next().await {
    ///     Some(ListenerEvent::Connected(client)) => println!("process {} is here", client.pid),
    ///     other => println!("{other:?}"),
    /// }
    /// drop(listener); // The socket is gone.
    /// # router.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Listen`] when the path is in use, or where others could replace it; [`Error::Closed`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen(&self, path: impl AsRef<Path>) -> Result<Listener, Error> {
        self.listen_with(path, ListenOptions::new())
    }

    /// As [`Router::listen`], with other settings.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn listen_with(&self, path: impl AsRef<Path>, options: ListenOptions) -> Result<Listener, Error> {
        let shared = self.shared();
        shared.apply(|hub| hub.check_open())?;
        let door = Arc::new(UnixListener::bind(path.as_ref()).map_err(Box::new)?);
        let guests = Arc::new(Guests {
            shared: Arc::downgrade(shared),
            options,
            events: broadcast::Sender::new(WAITING),
            clients: Mutex::default(),
        });
        self.files().offer()?;
        let (stop, stopped) = oneshot::channel();
        let listener = Listener {
            path: door.path().to_owned(),
            door: Arc::downgrade(&door),
            guests: Arc::clone(&guests),
            _stop: stop,
            _proxy: proxy::offer(self)?,
        };
        shared.living.add();
        tokio::spawn(door::keep(Arc::clone(shared), door, guests, stopped));
        Ok(listener)
    }
}

impl Listener {
    /// Where the socket is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What happens here from now on.
    pub fn events(&self) -> ListenerEvents {
        ListenerEvents(self.guests.events.subscribe())
    }

    /// Who is connected, in the order of their ids.
    pub fn clients(&self) -> Vec<Client> {
        self.guests.clients().values().cloned().collect()
    }

    /// Disconnects a client; says whether it was there.
    pub fn disconnect(&self, id: ContextId) -> bool {
        let there = self.guests.clients().contains_key(&id);
        if let Some(shared) = self.guests.shared.upgrade().filter(|_| there) {
            shared.apply(|hub| hub.stop(id, Stop::Kill));
        }
        there
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(door) = self.door.upgrade() {
            door.remove();
        }
        let Some(shared) = self.guests.shared.upgrade() else { return };
        let ids: Vec<ContextId> = self.guests.clients().keys().copied().collect();
        shared.apply(|hub| ids.into_iter().for_each(|id| hub.stop(id, Stop::Kill)));
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("path", &self.path).field("clients", &self.clients()).finish()
    }
}

/// Who came by one listener.
struct Guests {
    shared: Weak<Shared>,
    options: ListenOptions,
    events: broadcast::Sender<ListenerEvent>,
    clients: Mutex<BTreeMap<ContextId, Client>>,
}

impl Guests {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<ContextId, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a client, unless there are too many.
    fn add(&self, client: &Client) -> bool {
        let mut clients = self.clients();
        let room = clients.len() < self.options.max_clients;
        if room {
            clients.insert(client.id, client.clone());
        }
        room
    }

    fn tell(&self, event: ListenerEvent) {
        // Fails when nobody listens.
        let _ = self.events.send(event);
    }
}
