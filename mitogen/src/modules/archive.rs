//! Zip archives on the search path: wheels, eggs, zipped programs.
//!
//! Only what packaging tools write is read: no encryption, no parts, no zip64. What is wrong with an archive
//! costs its modules, nothing else.

use super::place::{Kind, LARGEST, Listing, ReadError};
use bytes::Bytes;
use flate2::read::DeflateDecoder;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest archive that is opened, in bytes.
const LARGEST_ARCHIVE: u64 = 1 << 30;

/// An archive, held in memory as it is on disk.
pub(crate) struct Archive {
    path: PathBuf,
    content: Vec<u8>,
    entries: HashMap<String, Entry>,
    /// By directory: empty, or with a slash at its end.
    listings: BTreeMap<String, Arc<Listing>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    method: u16,
    packed: usize,
    len: u64,
    /// Of its local header.
    at: usize,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({})", self.path.display())
    }
}

impl Archive {
    /// Opens an archive and reads what it holds.
    pub(crate) fn open(path: &Path) -> io::Result<Archive> {
        if fs::metadata(path)?.len() > LARGEST_ARCHIVE {
            return Err(io::Error::other("the archive is too large"));
        }
        let content = fs::read(path)?;
        let entries = directory(&content).ok_or_else(|| io::Error::other("it is no zip archive"))?;
        let mut listings: BTreeMap<String, Listing> = BTreeMap::new();
        listings.entry(String::new()).or_default();
        for name in entries.keys() {
            let mut kind = Kind::File;
            let mut rest = name.as_str();
            loop {
                let (folder, last) =
                    rest.rsplit_once('/').map_or(("", rest), |(folder, last)| (folder, last));
                let key = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                listings.entry(key).or_default().insert(last.to_owned(), kind);
                if folder.is_empty() {
                    break;
                }
                (kind, rest) = (Kind::Directory, folder);
            }
        }
        let listings = listings.into_iter().map(|(name, listing)| (name, Arc::new(listing))).collect();
        Ok(Archive { path: path.to_owned(), content, entries, listings })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn list(&self, folder: &str) -> Arc<Listing> {
        self.listings.get(folder).cloned().unwrap_or_default()
    }

    pub(crate) fn len_of(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.len)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Bytes, ReadError> {
        let entry = *self.entries.get(name).ok_or(ReadError::NotAFile)?;
        if entry.len > LARGEST {
            return Err(ReadError::TooLarge(entry.len));
        }
        let broken = || ReadError::Io(io::Error::other("the archive is damaged"));
        let header = self.content.get(entry.at..entry.at.saturating_add(30)).ok_or_else(broken)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(broken());
        }
        let start = entry.at + 30 + u16_at(header, 26) as usize + u16_at(header, 28) as usize;
        let packed = self.content.get(start..start.saturating_add(entry.packed)).ok_or_else(broken)?;
        let mut out = Vec::new();
        match entry.method {
            0 => out.extend_from_slice(packed),
            8 => {
                let decoder = DeflateDecoder::new(packed);
                decoder.take(entry.len.saturating_add(1)).read_to_end(&mut out).map_err(ReadError::Io)?;
            }
            _ => return Err(ReadError::Io(io::Error::other("it is compressed by an unknown method"))),
        }
        if out.len() as u64 != entry.len {
            return Err(broken());
        }
        Ok(out.into())
    }
}

/// The central directory.
fn directory(content: &[u8]) -> Option<HashMap<String, Entry>> {
    // The end record stands at the end, but for a comment of at most 64 KiB.
    let from = content.len().saturating_sub(22 + 0xffff);
    let end =
        (from..=content.len().checked_sub(22)?).rev().find(|&at| content[at..].starts_with(b"PK\x05\x06"))?;
    let count = u16_at(&content[end..], 10);
    let size = u32_at(&content[end..], 12) as usize;
    let start = u32_at(&content[end..], 16) as usize;
    // A program may stand in front of the archive: all offsets count from where the archive begins.
    let begin = end.checked_sub(size)?;
    let shift = begin.checked_sub(start)?;
    let mut entries = HashMap::new();
    let mut at = begin;
    for _ in 0..count {
        let record = content.get(at..at.checked_add(46)?)?;
        if !record.starts_with(b"PK\x01\x02") {
            return None;
        }
        let encrypted = u16_at(record, 8) & 1 != 0;
        let name_len = u16_at(record, 28) as usize;
        let name = content.get(at + 46..at + 46 + name_len)?;
        let entry = Entry {
            method: u16_at(record, 10),
            packed: u32_at(record, 20) as usize,
            len: u64::from(u32_at(record, 24)),
            at: shift.checked_add(u32_at(record, 42) as usize)?,
        };
        if let Ok(name) = std::str::from_utf8(name)
            && !name.ends_with('/')
            && !encrypted
            && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        {
            entries.insert(name.to_owned(), entry);
        }
        at = at + 46 + name_len + u16_at(record, 30) as usize + u16_at(record, 32) as usize;
    }
    Some(entries)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
