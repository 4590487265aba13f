//! Output of remote commands as it comes: no more of it is held here than one piece, or one line, of each target.
//!
//! A reader of ours that is slow (`mitogen exec ... | less`) holds the remote commands up, and neither the links nor
//! Ctrl-C: what may block is written on threads of its own, and not under the console's lock.

use crate::{
    console::{Console, check_stdout},
    report::prefixed,
};
use mitogen::Printed;
use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::Arc,
};
use tokio::sync::{Mutex, mpsc};

/// A line that is longer becomes several, where lines carry names.
const LONGEST: usize = 64 << 10;

/// Where output goes as it comes. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    console: Console,
    /// Whether lines carry names.
    several: bool,
    out: Place,
    err: Place,
    /// Held while something is written: lines stay whole.
    turn: Mutex<()>,
    /// Hears that our output can no longer be written.
    broken: mpsc::UnboundedSender<io::Error>,
}

/// One of our streams.
#[derive(Debug)]
enum Place {
    /// Where a progress line may have to give way.
    Terminal,
    /// Without any buffer of ours.
    File(File),
}

impl Live {
    /// For one target or `several`; `broken` hears when nothing can be written any more.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub(crate) fn new(
        console: &Console,
        several: bool,
        broken: mpsc::UnboundedSender<io::Error>,
    ) -> io::Result<Self> {
        let (out, err) = (place(&io::stdout())?, place(&io::stderr())?);
        let shared = Shared { console: console.clone(), several, out, err, turn: Mutex::new(()), broken };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The output of one target.
    pub(crate) fn target(&self, name: &str) -> Lines {
        let console = &self.shared.console;
        let names = self.shared.several.then(|| [console.out.name(name), console.err.name(name)]);
        Lines { shared: Arc::clone(&self.shared), names, rests: [Vec::new(), Vec::new()] }
    }
}

fn place(stream: &(impl AsFd + IsTerminal)) -> io::Result<Place> {
    match stream.is_terminal() {
        true => Ok(Place::Terminal),
        false => Ok(Place::File(stream.as_fd().try_clone_to_owned()?.into())),
    }
}

/// What one target prints.
pub(crate) struct Lines {
    shared: Arc<Shared>,
    /// In front of its lines, on either stream; none if it is the only target.
    names: Option<[String; 2]>,
    /// The lines that have not ended; shorter than [`LONGEST`] when lines carry names, else empty.
    rests: [Vec<u8>; 2],
}

impl Lines {
    /// Shows a piece, and waits until it is written. Never ready again when it cannot be.
    pub(crate) async fn show(&mut self, printed: Printed) {
        let (at, bytes) = match printed {
            Printed::Stdout(bytes) => (0, bytes),
            Printed::Stderr(bytes) => (1, bytes),
        };
        let Some(names) = &self.names else { return self.write(at, bytes.to_vec()).await };
        let rest = &mut self.rests[at];
        rest.extend_from_slice(&bytes);
        let end = match rest.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if rest.len() >= LONGEST => rest.len(),
            None => return,
        };
        let left = rest.split_off(end);
        let text = prefixed(&names[at], &std::mem::replace(rest, left));
        self.write(at, text).await;
    }

    /// Shows last lines that were not ended.
    pub(crate) async fn finish(&mut self) {
        for at in 0..2 {
            let rest = std::mem::take(&mut self.rests[at]);
            if let (Some(names), false) = (&self.names, rest.is_empty()) {
                let text = prefixed(&names[at], &rest);
                self.write(at, text).await;
            }
        }
    }

    async fn write(&self, at: usize, bytes: Vec<u8>) {
        let _turn = self.shared.turn.lock().await;
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || match (at, [&shared.out, &shared.err][at]) {
            (_, Place::File(file)) => {
                let mut file = file;
                if at == 0 { check_stdout() } else { Ok(()) }.and_then(|()| file.write_all(&bytes))
            }
            (0, Place::Terminal) => shared.console.result(&bytes),
            (_, Place::Terminal) => {
                shared.console.note(&bytes);
                Ok(())
            }
        });
        // As everywhere, nobody can be told when standard error fails, but what nobody reads need not go on; and without
        // its thread the run is over.
        if let Ok(Err(error)) = written.await
            && (at == 0 || error.kind() == io::ErrorKind::BrokenPipe)
        {
            let _ = self.shared.broken.send(error);
            std::future::pending().await
        }
    }
}
