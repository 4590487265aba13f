//! Directories and archives, seen as the same thing: listed once, read by names that a list held.
//!
//! Nothing here makes a path from what a context says: whoever asks for a file gets one only if a listing has
//! exactly that name.

use super::archive::Archive;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The largest file that is read, in bytes.
pub(crate) const LARGEST: u64 = 32 << 20;
/// How often a file is opened that is replaced at that moment.
const OPENINGS: usize = 16;

/// A directory, on disk or in an archive.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Disk(PathBuf),
    /// With the path within the archive: empty, or with a slash at its end.
    Archive(Arc<Archive>, String),
}

/// What stands in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
}

/// The entries of a directory, by name.
pub(crate) type Listing = BTreeMap<String, Kind>;

/// Tells one version of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    TooLarge(u64),
    /// A symbolic link leads out of the search path.
    Outside,
    NotAFile,
}

impl ReadError {
    pub(crate) fn why(&self) -> String {
        match self {
            ReadError::Io(error) => format!("it cannot be read: {error}"),
            ReadError::TooLarge(len) => {
                format!("it has {len} bytes, and files of more than {LARGEST} are not sent")
            }
            ReadError::Outside => {
                "a symbolic link leads out of the search path: add the directory that it leads to".to_owned()
            }
            ReadError::NotAFile => "it is no file".to_owned(),
        }
    }
}

/// Directories that were listed, and the roots that none of their files may lie outside of.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Canonical.
    roots: Vec<PathBuf>,
    listings: Mutex<Listings>,
}

#[derive(Debug, Default)]
struct Listings {
    known: HashMap<PathBuf, Listed>,
    /// Counts [`Places::refresh`]; what was looked at since the last is not looked at again.
    turn: u64,
}

#[derive(Debug)]
struct Listed {
    stamp: Option<Stamp>,
    turn: u64,
    listing: Arc<Listing>,
}

impl Places {
    pub(crate) fn new(roots: Vec<PathBuf>) -> Places {
        Places { roots, listings: Mutex::default() }
    }

    /// From now on directories are looked at again.
    pub(crate) fn refresh(&self) {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).turn += 1;
    }

    /// What a directory holds; nothing if it cannot be listed.
    pub(crate) fn list(&self, place: &Place) -> Arc<Listing> {
        let path = match place {
            Place::Archive(archive, inner) => return archive.list(inner),
            Place::Disk(path) => path,
        };
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = listings.turn;
        if let Some(listed) = listings.known.get_mut(path) {
            if listed.turn == turn {
                return Arc::clone(&listed.listing);
            }
            if listed.stamp.is_some() && listed.stamp == stamp_of(path) {
                listed.turn = turn;
                return Arc::clone(&listed.listing);
            }
        }
        let stamp = stamp_of(path);
        let listing = Arc::new(self.read_listing(path));
        let listed = Listed { stamp, turn, listing: Arc::clone(&listing) };
        listings.known.insert(path.clone(), listed);
        listing
    }

    fn read_listing(&self, path: &Path) -> Listing {
        let mut listing = Listing::new();
        let Ok(entries) = fs::read_dir(path) else { return listing };
        for entry in entries.flatten() {
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let kind = if kind.is_symlink() {
                // A file's target is looked at when it is read; a directory must not lead out.
                match fs::metadata(entry.path()) {
                    Ok(target) if target.is_dir() && !self.holds(&entry.path()) => continue,
                    Ok(target) if target.is_dir() => Kind::Directory,
                    Ok(target) if target.is_file() => Kind::File,
                    _ => continue,
                }
            } else if kind.is_dir() {
                Kind::Directory
            } else if kind.is_file() {
                Kind::File
            } else {
                continue;
            };
            listing.insert(name, kind);
        }
        listing
    }

    /// Whether a path leads to something within the search path.
    fn holds(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| self.roots.iter().any(|root| path.starts_with(root)))
    }

    /// The file's version; `None` if there is none.
    pub(crate) fn stamp(&self, place: &Place, name: &str) -> Option<Stamp> {
        match place {
            Place::Disk(path) => stamp_of(&path.join(name)),
            Place::Archive(archive, inner) => {
                let len = archive.len_of(&format!("{inner}{name}"))?;
                Some(Stamp { len, modified: None, inode: 0 })
            }
        }
    }

    /// Reads a file that the place's listing holds.
    pub(crate) fn read(&self, place: &Place, name: &str) -> Result<Bytes, ReadError> {
        let path = match place {
            Place::Archive(archive, inner) => return archive.read(&format!("{inner}{name}")),
            Place::Disk(path) => path.join(name),
        };
        let (file, len) = self.open(&path)?;
        let mut content = Vec::with_capacity(len as usize + 1);
        file.take(LARGEST + 1).read_to_end(&mut content).map_err(ReadError::Io)?;
        if content.len() as u64 > LARGEST {
            return Err(ReadError::TooLarge(content.len() as u64));
        }
        Ok(content.into())
    }

    /// Opens a file that stands within the roots, and says how long it is.
    fn open(&self, path: &Path) -> Result<(File, u64), ReadError> {
        // Whatever stands there by now: a pipe must not hold us up.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        for _ in 0..OPENINGS {
            let file =
                File::options().read(true).custom_flags(nonblocking).open(path).map_err(ReadError::Io)?;
            let opened = file.metadata().map_err(ReadError::Io)?;
            if !opened.is_file() {
                return Err(ReadError::NotAFile);
            }
            if opened.len() > LARGEST {
                return Err(ReadError::TooLarge(opened.len()));
            }
            let target = fs::canonicalize(path).map_err(ReadError::Io)?;
            if !self.roots.iter().any(|root| target.starts_with(root)) {
                return Err(ReadError::Outside);
            }
            // What was opened is what stands there; else it was replaced meanwhile.
            let found = fs::symlink_metadata(&target).map_err(ReadError::Io)?;
            if (found.dev(), found.ino()) == (opened.dev(), opened.ino()) {
                return Ok((file, opened.len()));
            }
        }
        Err(ReadError::Io(io::Error::other("it is replaced again and again")))
    }
}

impl Place {
    /// A directory within this one, by a name of its listing.
    pub(crate) fn inside(&self, name: &str) -> Place {
        match self {
            Place::Disk(path) => Place::Disk(path.join(name)),
            Place::Archive(archive, inner) => Place::Archive(Arc::clone(archive), format!("{inner}{name}/")),
        }
    }

    /// How a file in it is called in tracebacks.
    pub(crate) fn show(&self, name: &str) -> String {
        match self {
            Place::Disk(path) => path.join(name).to_string_lossy().into_owned(),
            Place::Archive(archive, inner) => format!("{}/{inner}{name}", archive.path().display()),
        }
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp { len: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() })
}
