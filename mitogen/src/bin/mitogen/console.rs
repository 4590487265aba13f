//! The terminal: results on stdout, everything else on stderr, and one progress line that gives way to both.

use crate::cli::When;
use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Both output streams and the progress line. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    shared: Arc<Mutex<Shared>>,
    /// Colours for stdout.
    pub(crate) out: Paint,
    /// Colours for stderr.
    pub(crate) err: Paint,
    quiet: bool,
    progress: bool,
}

#[derive(Debug)]
struct Shared {
    /// What stands on stderr's last line and has to be wiped before anything else is written.
    progress: String,
}

/// Colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        match self.0 && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn name(self, text: &str) -> String {
        self.wrap("36", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn is_on(self) -> bool {
        self.0
    }
}

impl Console {
    /// A console with the colours and the noise that were asked for.
    pub(crate) fn new(color: When, quiet: bool) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let wanted = |terminal: bool| match color {
            When::Always => true,
            When::Never => false,
            When::Auto => {
                let is = |name: &str, dumb: &str| std::env::var_os(name).is_some_and(|value| value == *dumb);
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                terminal && !no_color && !is("TERM", "dumb")
            }
        };
        Self {
            shared: Arc::new(Mutex::new(Shared { progress: String::new() })),
            out: Paint(wanted(out)),
            err: Paint(wanted(err)),
            quiet,
            progress: err && !quiet,
        }
    }

    /// Whether only results and errors are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Writes a piece of a result.
    ///
    /// # Errors
    /// Whatever stdout says; `BrokenPipe` when its reader has gone.
    pub(crate) fn result(&self, bytes: &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            check_stdout()?;
        }
        let shared = self.lock();
        wipe(&shared);
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        draw(&shared);
        Ok(())
    }

    /// Writes anything else. Nobody can be told when even that fails.
    pub(crate) fn note(&self, bytes: &[u8]) {
        let shared = self.lock();
        wipe(&shared);
        let _ = io::stderr().lock().write_all(bytes);
        draw(&shared);
    }

    /// Writes an error of our own.
    pub(crate) fn error(&self, text: &str) {
        self.note(format!("{} {text}\n", self.err.bad("mitogen:")).as_bytes());
    }

    /// Whether there is a progress line.
    pub(crate) fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Replaces the progress line; an empty text removes it.
    pub(crate) fn progress(&self, text: String) {
        if self.progress {
            let mut shared = self.lock();
            if shared.progress != text {
                wipe(&shared);
                shared.progress = text;
                draw(&shared);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Errors
/// Standard output was closed when we were started (`>&-`): what is written there is lost.
pub(crate) fn check_stdout() -> io::Result<()> {
    match mitogen::was_closed(1) {
        true => Err(io::Error::other("standard output is closed")),
        false => Ok(()),
    }
}

fn wipe(shared: &Shared) {
    if !shared.progress.is_empty() {
        let _ = io::stderr().lock().write_all(b"\r\x1b[K");
    }
}

fn draw(shared: &Shared) {
    if !shared.progress.is_empty() {
        let _ = io::stderr().lock().write_all(shared.progress.as_bytes());
    }
}

/// Makes remote text fit for one line of a terminal: control characters become `?`, tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_there_only_when_wanted() {
        assert_eq!(Paint(true).bad("x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Paint(false).bad("x"), "x");
    }

    #[test]
    fn remote_text_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\td"), "a?[2Jb?c\td");
    }
}
