//! How much of what a link carries the system holds.
//!
//! What is in a socket nothing overtakes. Much in it keeps both ends at work, little of it lets who waits for an answer be served soon; so
//! it is much until someone waits.

use crate::fd::Fd;
use std::time::{Duration, Instant};

/// What a socket is given to hold while somebody waits. With less the wait is not shorter: a message that is on its way is always ahead.
const LITTLE: usize = 24 << 10;
/// How long after the last hurry it stays so.
const LASTS: Duration = Duration::from_secs(1);

/// Whether somebody waits, and what it was before.
#[derive(Debug, Default)]
pub(crate) struct Haste {
    hurried: Option<(Instant, usize)>,
}

impl Haste {
    /// Somebody waits for what is sent next; `in_bulk`: much is before it.
    pub(crate) fn hurry(&mut self, fd: &Fd, in_bulk: bool) {
        if let Some((since, _)) = &mut self.hurried {
            *since = Instant::now();
        } else if in_bulk && let Some(before) = fd.send_buffer().filter(|before| *before > LITTLE) {
            fd.set_send_buffer(LITTLE);
            self.hurried = Some((Instant::now(), before));
        }
    }

    /// Nobody may have waited for a while.
    pub(crate) fn relax(&mut self, fd: &Fd) {
        if let Some((since, before)) = self.hurried
            && since.elapsed() >= LASTS
        {
            fd.set_send_buffer(before);
            self.hurried = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn a_socket_holds_little_for_a_while_after_someone_met_bulk() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let fd = Fd::new(ours.into()).unwrap();
        let before = fd.send_buffer().unwrap();
        let mut haste = Haste::default();
        haste.hurry(&fd, false);
        assert_eq!(fd.send_buffer(), Some(before), "nothing was in the way");
        haste.hurry(&fd, true);
        assert_eq!(fd.send_buffer(), Some(LITTLE));
        haste.relax(&fd);
        assert_eq!(fd.send_buffer(), Some(LITTLE), "the next may follow soon");
        haste.hurried.as_mut().unwrap().0 -= LASTS;
        haste.relax(&fd);
        assert_eq!(fd.send_buffer(), Some(before));
    }

    #[tokio::test]
    async fn what_is_no_local_socket_is_left_alone() {
        let (_read, write) = std::io::pipe().unwrap();
        let fd = Fd::new(write.into()).unwrap();
        let mut haste = Haste::default();
        haste.hurry(&fd, true);
        assert!(haste.hurried.is_none());
    }
}
