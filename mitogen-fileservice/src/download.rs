//! The receiving end: is what comes what was announced, all of it and nothing else?

use mitogen_wire::ContextId;
use sha2::{Digest, Sha256};

/// One file on its way here. Whatever goes wrong, it stays wrong: what came must be discarded.
#[derive(Debug)]
pub struct Download {
    /// The only context whose word counts.
    from: ContextId,
    /// What was announced; `None` for a stream whose end will say it.
    size: Option<u64>,
    /// What came, or was there already. Invariant: at most `size`.
    received: u64,
    hasher: Option<Sha256>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Receiving,
    Done,
    Failed(DownloadError),
}

/// Why a download is to be discarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// It came from somebody else. The download itself goes on.
    #[error("context {from} sent what context {expected} was to send")]
    Stranger {
        /// Who sent it.
        from: ContextId,
        /// Who was to.
        expected: ContextId,
    },
    /// More came than was announced.
    #[error("{announced} bytes were announced, and more came")]
    TooLong {
        /// The announced size.
        announced: u64,
    },
    /// The end came early: the file shrank, its reader failed, or the server was shut down.
    #[error("{announced} bytes were announced, {received} came")]
    Short {
        /// The announced size.
        announced: u64,
        /// How much came.
        received: u64,
    },
    /// Every byte came, but not every byte is right.
    #[error("the content does not have the digest that its sender computed")]
    WrongDigest,
    /// Nothing was to come after the end.
    #[error("something came after the end")]
    AfterEnd,
}

impl Download {
    /// A download of this size from this context, of which so many bytes are there already (and were
    /// compared by digest).
    pub fn new(from: ContextId, size: Option<u64>, have: u64) -> Download {
        Download { from, size, received: have, hasher: None, state: State::Receiving }
    }

    /// The same, with the content's digest computed as it comes; of a whole file only.
    #[must_use]
    pub fn hashed(mut self) -> Download {
        self.hasher = (self.received == 0).then(Sha256::new);
        self
    }

    /// How many bytes are there.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// What was announced.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether the end came, and all was well.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes came. When this succeeds they may be written.
    ///
    /// # Errors
    /// [`DownloadError::Stranger`], [`DownloadError::TooLong`], [`DownloadError::AfterEnd`].
    pub fn handle_chunk(&mut self, from: ContextId, bytes: &[u8]) -> Result<(), DownloadError> {
        self.advance(from, bytes.len() as u64)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(())
    }

    /// So many zeros follow.
    ///
    /// # Errors
    /// As [`Download::handle_chunk`].
    pub fn handle_hole(&mut self, from: ContextId, length: u64) -> Result<(), DownloadError> {
        self.advance(from, length)?;
        if let Some(hasher) = &mut self.hasher {
            let zeros = [0; 4096];
            let mut left = length;
            while left > 0 {
                let now = left.min(zeros.len() as u64);
                hasher.update(&zeros[..now as usize]);
                left -= now;
            }
        }
        Ok(())
    }

    /// The sender says that this was all: how much, and with which digest, if it says so.
    ///
    /// # Errors
    /// What is wrong with the whole of it, now or since earlier.
    pub fn handle_end(
        &mut self,
        from: ContextId,
        total: Option<u64>,
        digest: Option<&[u8]>,
    ) -> Result<(), DownloadError> {
        self.check(from)?;
        if let (Some(announced), Some(total)) = (self.size, total)
            && announced != total
        {
            return self.fail(match total > announced {
                true => DownloadError::TooLong { announced },
                false => DownloadError::Short { announced, received: total },
            });
        }
        let announced = self.size.or(total).unwrap_or(self.received);
        if self.received != announced {
            return self.fail(DownloadError::Short { announced, received: self.received });
        }
        if let (Some(hasher), Some(digest)) = (self.hasher.take(), digest)
            && hasher.finalize().as_slice() != digest
        {
            return self.fail(DownloadError::WrongDigest);
        }
        self.state = State::Done;
        Ok(())
    }

    fn advance(&mut self, from: ContextId, length: u64) -> Result<(), DownloadError> {
        self.check(from)?;
        let received = self.received.saturating_add(length);
        if let Some(announced) = self.size
            && received > announced
        {
            return self.fail(DownloadError::TooLong { announced });
        }
        self.received = received;
        Ok(())
    }

    fn check(&self, from: ContextId) -> Result<(), DownloadError> {
        if from != self.from {
            return Err(DownloadError::Stranger { from, expected: self.from });
        }
        match &self.state {
            State::Receiving => Ok(()),
            State::Done => Err(DownloadError::AfterEnd),
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn fail<T>(&mut self, error: DownloadError) -> Result<T, DownloadError> {
        self.state = State::Failed(error.clone());
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: ContextId = ContextId(3);

    #[test]
    fn all_of_it_and_nothing_else_is_a_download() {
        let mut whole = Download::new(FROM, Some(5), 0).hashed();
        whole.handle_chunk(FROM, b"ab").unwrap();
        whole.handle_hole(FROM, 2).unwrap();
        whole.handle_chunk(FROM, b"c").unwrap();
        whole.handle_end(FROM, Some(5), Some(&Sha256::digest(b"ab\0\0c"))).unwrap();
        assert!(whole.is_done());
        assert_eq!(whole.handle_chunk(FROM, b"x"), Err(DownloadError::AfterEnd));

        let mut empty = Download::new(FROM, Some(0), 0);
        assert_eq!(empty.handle_end(FROM, None, None), Ok(()));
        let mut stream = Download::new(FROM, None, 0);
        stream.handle_chunk(FROM, b"abc").unwrap();
        assert_eq!(stream.handle_end(FROM, Some(3), None), Ok(()));
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        let short = DownloadError::Short { announced: 5, received: 2 };
        let mut cut = Download::new(FROM, Some(5), 0);
        cut.handle_chunk(FROM, b"ab").unwrap();
        assert_eq!(cut.handle_end(FROM, None, None), Err(short.clone()));
        assert_eq!(cut.handle_chunk(FROM, b"cde"), Err(short.clone()));
        assert_eq!(cut.handle_end(FROM, None, None), Err(short));

        let mut long = Download::new(FROM, Some(1), 0);
        assert_eq!(long.handle_chunk(FROM, b"ab"), Err(DownloadError::TooLong { announced: 1 }));
        assert!(long.handle_end(FROM, None, None).is_err());
        let mut less = Download::new(FROM, Some(1), 0);
        less.handle_chunk(FROM, b"a").unwrap();
        assert_eq!(
            less.handle_end(FROM, Some(0), None),
            Err(DownloadError::Short { announced: 1, received: 0 })
        );
        let mut hole = Download::new(FROM, Some(1), 0);
        assert!(hole.handle_hole(FROM, u64::MAX).is_err());

        let mut wrong = Download::new(FROM, Some(1), 0).hashed();
        wrong.handle_chunk(FROM, b"a").unwrap();
        assert_eq!(wrong.handle_end(FROM, None, Some(&[0; 32])), Err(DownloadError::WrongDigest));
    }

    #[test]
    fn a_stranger_is_not_heard_and_does_no_harm() {
        let mut download = Download::new(FROM, Some(2), 0);
        let stranger = ContextId(4);
        let refused = DownloadError::Stranger { from: stranger, expected: FROM };
        assert_eq!(download.handle_chunk(stranger, b"abc"), Err(refused.clone()));
        assert_eq!(download.handle_end(stranger, None, None), Err(refused));
        download.handle_chunk(FROM, b"ab").unwrap();
        assert_eq!(download.handle_end(FROM, None, None), Ok(()));
    }
}
