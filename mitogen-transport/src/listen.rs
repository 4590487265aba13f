//! A UNIX socket that others of the same user connect to.
//!
//! The socket is nobody else's from its first moment (mode 0600), in a directory where nobody else can
//! put another in its place. What a killed listener left behind is replaced, a living one's never. The
//! system says who is at the far end; what the far end says of itself counts for nothing.

use crate::fd::Fd;
use crate::link::Stream;
use mitogen_wire::{UnixHello, UnixWelcome};
use rustix::fs::{AtFlags, CWD, Mode, Stat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How many connections the system holds ready for us.
const BACKLOG: i32 = 512;
/// How long somebody may take between making a socket and listening on it.
const BIRTH: Duration = Duration::from_millis(50);

/// Why nothing can be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another process has this socket.
    #[error("somebody listens on {} already", .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has this name.
    #[error("{} is there already, and is no socket", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket, or the directory that it is to be in, belongs to somebody else.
    #[error("{} belongs to another user (uid {uid})", .path.display())]
    Foreign {
        /// What belongs to them.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
    },
    /// Others could put a socket of theirs in the place of ours.
    #[error(
        "others can write to the directory {} (mode {mode:03o}): take that away (chmod go-w), or choose another one",
        .path.display()
    )]
    Unsafe {
        /// The directory: the socket's own, or one above it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The system takes no socket of so long a name.
    #[error("{} is too long for the path of a socket, which has at most 107 bytes", .path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}: {source}", .path.display())]
    System {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket that is listened on. Dropping it removes the socket.
#[derive(Debug)]
pub struct UnixListener {
    socket: tokio::net::UnixListener,
    path: PathBuf,
    /// Which file is ours: device and number.
    identity: (u64, u64),
}

impl UnixListener {
    /// Makes the socket. Call it inside a runtime.
    ///
    /// It waits for 50 ms when something is there that may be a dead listener's.
    ///
    /// # Errors
    /// All of [`ListenError`].
    pub fn bind(path: &Path) -> Result<UnixListener, ListenError> {
        let system = |what, source| ListenError::System { what, path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(|source| system("find the directory of", source))?;
        check_directory(&absolute)?;
        let address =
            SocketAddrUnix::new(&absolute).map_err(|_| ListenError::TooLong { path: absolute.clone() })?;
        make_way(&absolute, &address)?;
        let bind = || -> Result<OwnedFd, Errno> {
            let socket = new_socket()?;
            // On Linux the name gets what the socket has; elsewhere the second one counts.
            let mode = Mode::RUSR | Mode::WUSR;
            rustix::fs::fchmod(&socket, mode)?;
            rustix::net::bind(&socket, &address)?;
            rustix::fs::chmodat(CWD, &absolute, mode, AtFlags::empty())?;
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(socket)
        };
        let socket = bind().map_err(|error| match error {
            Errno::ADDRINUSE => ListenError::InUse { path: absolute.clone() },
            error => system("listen on", error.into()),
        })?;
        // Somebody who came at the same time may have taken it for a dead one's.
        let ours = identity(&absolute).map_err(|source| system("find again", source.into()))?;
        let socket = tokio::net::UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))
            .map_err(|source| system("listen on", source))?;
        Ok(UnixListener { socket, path: absolute, identity: ours })
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket, if it is still ours: nobody comes from now on.
    pub fn remove(&self) {
        if identity(&self.path) == Ok(self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// The next one who comes. Cancel-safe.
    ///
    /// # Errors
    /// The system's, such as a lack of descriptors. Wait a moment before trying again.
    pub async fn accept(&self) -> io::Result<Visitor> {
        let (stream, _) = self.socket.accept().await?;
        let who = stream.peer_cred()?;
        let fd = Arc::new(Fd::new(stream.into_std()?.into())?);
        Ok(Visitor { fd, uid: who.uid(), pid: who.pid().and_then(|pid| u32::try_from(pid).ok()) })
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Somebody who has connected and not said anything yet.
#[derive(Debug)]
pub struct Visitor {
    fd: Arc<Fd>,
    uid: u32,
    pid: Option<u32>,
}

impl Visitor {
    /// Whose process it is, as the system says.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Which process connected, as the system says; `None` where it does not.
    pub fn pid(&self) -> Option<u32> {
        self.pid.filter(|&pid| pid != 0)
    }

    /// Whether it is a process of our own user, or of root.
    pub fn is_ours(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }

    /// Waits for its first words, for as long as it takes. Once; not cancel-safe.
    ///
    /// # Errors
    /// `UnexpectedEof` when it goes before it has said them.
    pub async fn hello(&mut self) -> io::Result<UnixHello> {
        let mut bytes = [0; UnixHello::LEN];
        let mut have = 0;
        while have < bytes.len() {
            match self.fd.read(&mut bytes[have..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => have += count,
            }
        }
        Ok(UnixHello::decode(bytes))
    }

    /// Lets it in: frames follow.
    ///
    /// # Errors
    /// It has gone.
    pub async fn welcome(self, welcome: UnixWelcome) -> io::Result<Stream> {
        self.fd.write_all(&welcome.encode()).await?;
        Ok(Stream::new(Arc::clone(&self.fd), self.fd, bytes::Bytes::new()))
    }
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn identity(path: &Path) -> Result<(u64, u64), Errno> {
    look(path).map(|stat| identity_of(&stat))
}

fn look(path: &Path) -> Result<Stat, Errno> {
    rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
}

fn identity_of(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Nobody else can rename what is in this directory, nor the directories that lead there.
fn check_directory(path: &Path) -> Result<(), ListenError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let system = |what, source| ListenError::System { what, path: directory.to_owned(), source };
    let real = directory.canonicalize().map_err(|source| system("find the directory", source))?;
    let own = rustix::process::geteuid().as_raw();
    for directory in real.ancestors() {
        let meta = std::fs::symlink_metadata(directory).map_err(|source| system("look at", source))?;
        if meta.uid() != 0 && meta.uid() != own {
            return Err(ListenError::Foreign { path: directory.to_owned(), uid: meta.uid() });
        }
        // In a sticky directory everybody can only rename what is theirs.
        if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
            return Err(ListenError::Unsafe { path: directory.to_owned(), mode: meta.mode() & 0o777 });
        }
    }
    Ok(())
}

/// Removes what a listener left behind that is no more.
fn make_way(path: &Path, address: &SocketAddrUnix) -> Result<(), ListenError> {
    let stat = match look(path) {
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => {
            let path = path.to_owned();
            return Err(ListenError::System { what: "look at", path, source: error.into() });
        }
        Ok(stat) => stat,
    };
    let path = path.to_owned();
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Socket {
        return Err(ListenError::NotASocket { path });
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(ListenError::Foreign { path, uid: stat.st_uid });
    }
    // Twice: a listener that is just being made refuses too, for a moment.
    let is_dead = || match new_socket().and_then(|socket| rustix::net::connect(&socket, address)) {
        Err(Errno::CONNREFUSED) => true,
        Err(Errno::NOENT) => true,
        Ok(()) | Err(_) => false,
    };
    let dead = is_dead() && {
        std::thread::sleep(BIRTH);
        is_dead()
    };
    if !dead {
        return Err(ListenError::InUse { path });
    }
    set_aside(&path, identity_of(&stat))
}

/// Removes exactly this file: by a name that nobody else uses, so that a new one which took its place
/// meanwhile is noticed, and put back.
fn set_aside(path: &Path, dead: (u64, u64)) -> Result<(), ListenError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let aside = path.with_file_name(name);
    let system = |source: Errno| ListenError::System {
        what: "remove the dead socket",
        path: path.to_owned(),
        source: source.into(),
    };
    match rustix::fs::rename(path, &aside) {
        // Somebody else has removed it.
        Err(Errno::NOENT) => return Ok(()),
        renamed => renamed.map_err(system)?,
    }
    let moved = identity(&aside).map_err(system)?;
    if moved != dead {
        let back = rustix::fs::link(&aside, path);
        let _ = rustix::fs::unlink(&aside);
        back.map_err(system)?;
        return Err(ListenError::InUse { path: path.to_owned() });
    }
    rustix::fs::unlink(&aside).map_err(system)
}
