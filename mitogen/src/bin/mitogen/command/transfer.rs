//! What `put` and `get` share: options, the progress bar, what is shown of a transfer.

use crate::{
    cli::TransferArgs,
    console::Console,
    json,
    outcome::{Failure, Kind},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use mitogen::{Error, TransferOptions, files::Progress};
use std::{
    fmt, io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How many files of one target are on their way at once.
pub(super) const FILES: usize = 32;

/// One run of `put` or `get`, on all targets.
#[derive(Clone, Debug)]
pub(crate) struct Transfers {
    pub(super) options: TransferOptions,
    pub(super) recursive: bool,
    pub(super) timeout: Option<Duration>,
    /// How many targets there are.
    pub(super) targets: usize,
    bar: ProgressBar,
}

/// What a target's transfers came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) path: PathBuf,
}

impl Transfers {
    pub(super) fn new(
        args: &TransferArgs,
        timeout: Option<Duration>,
        targets: usize,
        console: &Console,
    ) -> Transfers {
        let options = TransferOptions::new()
            .resume(args.resume)
            .compress(args.compress)
            .verify(args.verify)
            .sync(!args.no_sync);
        let bar = ProgressBar::new(0);
        let target = match console.shows_progress() {
            true => ProgressDrawTarget::term_like_with_hz(Box::new(Line::new(console.clone())), 10),
            false => ProgressDrawTarget::hidden(),
        };
        bar.set_draw_target(target);
        let template = "{bar:24} {percent:>3}%  {bytes} of {total_bytes}  {binary_bytes_per_sec}  {left}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let left = |state: &ProgressState, out: &mut dyn fmt::Write| {
                let _ = write!(out, "{} s left", state.eta().as_secs());
            };
            bar.set_style(style.progress_chars("=> ").with_key("left", left));
        }
        Transfers { options, recursive: args.recursive, timeout, targets, bar }
    }

    /// The options of one file, whose progress is counted. `total` bytes are to come.
    pub(super) fn watched(&self, total: Option<u64>) -> TransferOptions {
        let bar = self.bar.clone();
        let announced = Arc::new(AtomicU64::new(0));
        let seen = AtomicU64::new(0);
        if let Some(total) = total {
            bar.inc_length(total);
            announced.store(total, Ordering::Relaxed);
        }
        self.options.clone().on_progress(move |Progress { bytes, total }| {
            let total = total.unwrap_or(bytes);
            let before = announced.fetch_max(total, Ordering::Relaxed);
            bar.inc_length(total.saturating_sub(before));
            let before = seen.fetch_max(bytes, Ordering::Relaxed);
            bar.inc(bytes.saturating_sub(before));
        })
    }

    /// The line is taken away: a result follows.
    pub(super) fn done(&self) {
        if self.targets == 1 {
            self.bar.finish_and_clear();
        }
    }
}

impl Moved {
    /// What people are shown.
    pub(crate) fn text(&self) -> String {
        let files = if self.files == 1 { String::new() } else { format!("{} files, ", self.files) };
        format!("{}: {files}{} bytes", self.path.display(), self.bytes)
    }

    pub(crate) fn write_json(&self, out: &mut String) {
        use std::os::unix::ffi::OsStrExt;
        out.push_str(&format!("{{\"bytes\": {}, \"path\": ", self.bytes));
        json::write_bytes(self.path.as_os_str().as_bytes(), out);
        out.push('}');
    }
}

/// A failure for results, with a deadline for all of it.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    what: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else { return work.await.map_err(|error| Failure::from(&error)) };
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|error| Failure::from(&error)),
        Err(_) => {
            Err(Failure::new(Kind::Timeout, format!("{what}: no end within {} s", limit.as_secs_f64())))
        }
    }
}

/// The console's progress line, as a terminal of one line.
struct Line {
    console: Console,
    text: Mutex<String>,
}

impl Line {
    fn new(console: Console) -> Line {
        Line { console, text: Mutex::default() }
    }

    fn text(&self) -> std::sync::MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl TermLike for Line {
    fn width(&self) -> u16 {
        rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| size.ws_col.max(20))
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.text().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.text().clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *self.text());
        self.console.progress(text.trim_end().trim_start_matches('\r').to_owned());
        Ok(())
    }
}
