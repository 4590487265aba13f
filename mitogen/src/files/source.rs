//! Reads a file ahead of its sending, on a thread of its own.

use super::error::{FileError, FileErrorKind};
use super::open::{Opened, is_unchanged};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};
use mitogen_fileservice::CHUNK;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// How many pieces are read ahead.
const AHEAD: usize = 3;

/// What comes next of a file.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes as they are sent, and how many of the file they are.
    Data(Bytes, u64),
    /// So many zeros.
    Hole(u64),
    /// That was all: how much, and its digest in hexadecimal digits if one was wanted.
    End(u64, Option<String>),
    /// It cannot be read further.
    Failed(FileError),
}

/// How it is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// From here on.
    pub(super) offset: u64,
    pub(super) compress: bool,
    pub(super) digest: bool,
    /// Whether the receiver understands holes.
    pub(super) holes: bool,
}

/// Begins to read. Ends by itself when the receiver is dropped.
pub(super) fn read(path: PathBuf, opened: Opened, how: How) -> mpsc::Receiver<Piece> {
    let (send, receive) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut reader = Reader { opened: &opened, path: &path, how, at: how.offset, send: &send };
        if let Err(Some(error)) = reader.run() {
            let _ = send.blocking_send(Piece::Failed(error));
        }
    });
    receive
}

struct Reader<'a> {
    opened: &'a Opened,
    path: &'a Path,
    how: How,
    at: u64,
    send: &'a mpsc::Sender<Piece>,
}

impl Reader<'_> {
    /// `None` as an error: nobody wants more.
    fn run(&mut self) -> Result<(), Option<FileError>> {
        let mut file = &self.opened.file;
        let size = self.opened.size();
        let io_error = |error: &io::Error| Some(FileError::io(self.path, error));
        if self.at > 0 {
            file.seek(SeekFrom::Start(self.at)).map_err(|error| io_error(&error))?;
        }
        let mut digest = self.how.digest.then(Sha256::new);
        let mut compress = self.how.compress.then(|| Compress::new(Compression::fast(), true));
        // Where the next hole begins.
        let sparse = self.how.holes && size.is_some_and(|size| is_sparse(self.opened, size));
        let mut edge = if sparse { self.at } else { size.unwrap_or(u64::MAX) };
        while size.is_none_or(|size| self.at < size) {
            if let Some(size) = size.filter(|_| sparse && self.at == edge) {
                let (start, end) = next_data(file, self.at, size);
                edge = end;
                if start > self.at {
                    if let Some(digest) = &mut digest {
                        zeros(digest, start - self.at);
                    }
                    self.give(Piece::Hole(start - self.at))?;
                    self.at = start;
                    continue;
                }
            }
            // What does not compress gets longer.
            let most = if compress.is_some() { CHUNK / 8 * 7 } else { CHUNK };
            let want = (edge - self.at).min(most as u64);
            let mut data = piece_of(file, want as usize).map_err(|error| io_error(&error))?;
            if data.is_empty() {
                let Some(size) = size else { break };
                return Err(Some(self.changed(&format!("it has shrunk from {size} to {} bytes", self.at))));
            }
            let count = data.len() as u64;
            self.at += count;
            if let Some(digest) = &mut digest {
                digest.update(&data);
            }
            if let Some(compress) = &mut compress {
                data = compressed(compress, &data).map_err(|error| io_error(&error))?;
            }
            self.give(Piece::Data(Bytes::from(data), count))?;
        }
        if size.is_some() {
            let now = file.metadata().map_err(|error| io_error(&error))?;
            if !is_unchanged(&self.opened.metadata, &now) {
                return Err(Some(self.changed("it was changed while it was sent")));
            }
        }
        self.give(Piece::End(self.at, digest.map(|digest| hex(&digest.finalize()))))
    }

    fn give(&self, piece: Piece) -> Result<(), Option<FileError>> {
        self.send.blocking_send(piece).map_err(|_| None)
    }

    fn changed(&self, message: &str) -> FileError {
        FileError::new(self.path, FileErrorKind::Changed, message)
    }
}

/// The next bytes: fewer only at the end. `read_to_end` would read them in ever larger steps.
fn piece_of(mut file: &File, want: usize) -> io::Result<Vec<u8>> {
    let mut data = vec![0; want];
    let mut count = 0;
    while count < want {
        match file.read(&mut data[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    data.truncate(count);
    Ok(data)
}

fn is_sparse(opened: &Opened, size: u64) -> bool {
    use std::os::unix::fs::MetadataExt;
    opened.metadata.blocks() * 512 < size
}

/// Where the next bytes that are no hole begin and end; leaves the file there.
fn next_data(file: &File, at: u64, size: u64) -> (u64, u64) {
    #[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
    {
        use rustix::fs::{SeekFrom, seek};
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return (size, size),
            Err(_) => at,
        };
        let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size);
        let _ = seek(file, SeekFrom::Start(start));
        (start.min(size), end.max(start + 1).min(size))
    }
    #[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
    {
        let _ = file;
        (at, size)
    }
}

fn compressed(compress: &mut Compress, data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() / 2 + 64);
    let before = compress.total_in();
    loop {
        let taken = (compress.total_in() - before) as usize;
        compress.compress_vec(&data[taken..], &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        let taken = (compress.total_in() - before) as usize;
        if taken == data.len() && out.len() < out.capacity() {
            return Ok(out);
        }
        out.reserve(out.capacity().max(1024));
    }
}

pub(super) fn zeros(digest: &mut Sha256, mut count: u64) {
    let block = [0; 4096];
    while count > 0 {
        let now = count.min(block.len() as u64);
        digest.update(&block[..now as usize]);
        count -= now;
    }
}

/// The digest of a file's first bytes; `None` when there are not so many. Leaves the file behind them.
pub(super) fn digest_of(mut file: &File, length: u64) -> io::Result<Option<String>> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut left = length;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let want = left.min(buffer.len() as u64) as usize;
        let count = file.read(&mut buffer[..want])?;
        if count == 0 {
            return Ok(None);
        }
        digest.update(&buffer[..count]);
        left -= count as u64;
    }
    Ok(Some(hex(&digest.finalize())))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
