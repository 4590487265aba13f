//! A non-blocking descriptor of any kind: socket, pipe or pty.

use bytes::{BufMut, BytesMut};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[derive(Debug)]
pub(crate) struct Fd(AsyncFd<OwnedFd>);

impl Fd {
    /// Takes over our end of a channel and makes it non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Fd> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Fd::watch(fd, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes over a descriptor as it is, to be told when it becomes ready.
    pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<Fd> {
        // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped, and nobody but
        // the `AsyncFd` can drop it.
        #[allow(unsafe_code)]
        let fd = unsafe { AsyncFd::register_with_interest(fd, interest) }?;
        Ok(Fd(fd))
    }

    /// Waits until there is something to read, without taking note of it: whatever makes it ready
    /// is expected to last. Cancel-safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }

    /// Waits for bytes; 0 is the end. Cancel-safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(result) = ready.try_io(|fd| pty_end(rustix::io::read(fd, &mut *buffer))) {
                return result;
            }
        }
    }

    /// Waits for bytes and appends them to `buffer`, as many as it has room for; 0 is the end.
    /// Cancel-safe.
    pub(crate) async fn read_more(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let result = ready.try_io(|fd| {
                pty_end(rustix::io::read(fd, buffer.spare_capacity_mut()).map(|(new, _)| new.len()))
            });
            if let Ok(result) = result {
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

    /// Writes what can be written now.
    ///
    /// # Errors
    /// `WouldBlock` when that is nothing.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match rustix::io::writev(self.0.get_ref(), slices) {
                Err(Errno::INTR) => {}
                result => return result.map_err(io::Error::from),
            }
        }
    }

    /// Waits until `attempt` no longer answers `WouldBlock`.
    pub(crate) async fn when_writable<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            let mut ready = self.0.writable().await?;
            if let Ok(result) = ready.try_io(|_| attempt()) {
                return result;
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

    /// Tells the far end of a socket that nothing more will come. Pipes and ptys have no such
    /// thing; they end when they are closed.
    pub(crate) fn shut_down_write(&self) {
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Write);
    }
}

/// A pty's master says EIO when the last slave is closed: its way to say end of file.
fn pty_end(result: Result<usize, Errno>) -> io::Result<usize> {
    match result {
        Err(Errno::IO) => Ok(0),
        other => other.map_err(io::Error::from),
    }
}
