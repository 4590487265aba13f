//! A non-blocking descriptor of any kind: socket, pipe or pty.

use bytes::{BufMut, BytesMut};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// How long a writer waits before it tries again when the system has no descriptor left that would
/// tell it when.
const RETRY: Duration = Duration::from_millis(10);

/// It is watched for reading alone: were it for writing too, a socket would wake us each time that
/// the far end has taken a frame.
#[derive(Debug)]
pub(crate) struct Fd {
    fd: AsyncFd<OwnedFd>,
    /// Whether a read that does not fill its buffer has emptied the descriptor: so with sockets and
    /// pipes. Ptys give a line at a time.
    drains: bool,
}

impl Fd {
    /// Takes over our end of a channel and makes it non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Fd> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Fd::watch(fd)
    }

    /// Takes over a descriptor as it is, to be told when it can be read.
    pub(crate) fn watch(fd: OwnedFd) -> io::Result<Fd> {
        let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
        let drains = matches!(kind, FileType::Socket | FileType::Fifo);
        Ok(Fd { fd: register(fd, Interest::READABLE)?, drains })
    }

    /// Waits until there is something to read, without taking note of it: whatever makes it ready
    /// is expected to last. Cancel-safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.fd.readable().await.map(drop)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }

    /// Waits for bytes; 0 is the end. Cancel-safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        loop {
            let mut ready = self.fd.readable().await?;
            if let Ok(result) = ready.try_io(|fd| pty_end(rustix::io::read(fd, &mut *buffer))) {
                self.note_read(&mut ready, &result, room);
                return result;
            }
        }
    }

    /// Waits for bytes and appends them to `buffer`, as many as it has room for; 0 is the end.
    /// Cancel-safe.
    pub(crate) async fn read_more(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let room = buffer.spare_capacity_mut().len();
        loop {
            let mut ready = self.fd.readable().await?;
            let result = ready.try_io(|fd| {
                pty_end(rustix::io::read(fd, buffer.spare_capacity_mut()).map(|(new, _)| new.len()))
            });
            if let Ok(result) = result {
                self.note_read(&mut ready, &result, room);
                let count = result?;
                // SAFETY: the read has just initialised that many bytes of the spare capacity.
                #[allow(unsafe_code)]
                unsafe {
                    buffer.advance_mut(count);
                }
                return Ok(count);
            }
        }
    }

    /// Spares the next read the question whether there is more, when it is known that there is not.
    fn note_read(&self, ready: &mut AsyncFdReadyGuard<'_, OwnedFd>, result: &io::Result<usize>, room: usize) {
        if self.drains && matches!(result, Ok(count) if (1..room).contains(count)) {
            // What comes from now on makes it ready again, and an end that was seen stays seen.
            ready.clear_ready();
        }
    }

    /// Writes what can be written now.
    ///
    /// # Errors
    /// `WouldBlock` when that is nothing.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match rustix::io::writev(self.fd.get_ref(), slices) {
                Err(Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    /// Waits until `attempt` no longer answers `WouldBlock`. Cancel-safe.
    pub(crate) async fn when_writable<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        // What is watched while we wait is a copy of the descriptor.
        let mut copy = None;
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if copy.is_none() {
                copy = self.fd.get_ref().try_clone().and_then(|fd| register(fd, Interest::WRITABLE)).ok();
            }
            match &copy {
                Some(copy) => {
                    let mut ready = copy.writable().await?;
                    if let Ok(result) = ready.try_io(|_| attempt()) {
                        return result;
                    }
                }
                None => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.when_writable(|| self.try_write(&[IoSlice::new(bytes)])).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// How many bytes a local socket was given to hold for a far end that does not read; `None` of anything else.
    pub(crate) fn send_buffer(&self) -> Option<usize> {
        let local = rustix::net::getsockname(self.fd.get_ref()).ok()?;
        if local.address_family() != rustix::net::AddressFamily::UNIX {
            return None;
        }
        let told = sockopt::socket_send_buffer_size(self.fd.get_ref()).ok()?;
        // Linux tells twice what it was given.
        Some(if cfg!(target_os = "linux") { told / 2 } else { told })
    }

    /// Has a socket hold so many.
    pub(crate) fn set_send_buffer(&self, bytes: usize) {
        // What is refused stays as it was.
        let _ = sockopt::set_socket_send_buffer_size(self.fd.get_ref(), bytes);
    }

    /// Ends a socket in both directions.
    pub(crate) fn shut_down(&self) {
        let _ = rustix::net::shutdown(self.fd.get_ref(), rustix::net::Shutdown::Both);
    }

    /// Tells the far end of a socket that nothing more will come. Pipes and ptys have no such
    /// thing; they end when they are closed.
    pub(crate) fn shut_down_write(&self) {
        let _ = rustix::net::shutdown(self.fd.get_ref(), rustix::net::Shutdown::Write);
    }
}

fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, and nobody but the
    // `AsyncFd` can drop it.
    #[allow(unsafe_code)]
    let fd = unsafe { AsyncFd::register_with_interest(fd, interest) }?;
    Ok(fd)
}

/// A pty's master says EIO when the last slave is closed: its way to say end of file.
fn pty_end(result: Result<usize, Errno>) -> io::Result<usize> {
    match result {
        Err(Errno::IO) => Ok(0),
        other => other.map_err(io::Error::from),
    }
}
