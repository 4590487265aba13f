//! A link inside one process, for tests of whatever stands on links.

use crate::fd::Fd;
use crate::link::Stream;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Two streams; what is written to one is read from the other.
///
/// # Errors
/// Those of making a socket pair; none in practice but a lack of descriptors.
pub fn pair() -> io::Result<(Stream, Stream)> {
    let (a, b) = UnixStream::pair()?;
    let stream = |socket: UnixStream| -> io::Result<Stream> {
        let fd = Arc::new(Fd::new(socket.into())?);
        Ok(Stream::new(Arc::clone(&fd), fd, bytes::Bytes::new()))
    };
    Ok((stream(a)?, stream(b)?))
}
