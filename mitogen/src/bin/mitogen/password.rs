//! The login password: from the terminal, with echo off, or from a file. Never from argv or the environment.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};
use zeroize::{Zeroize, Zeroizing};

/// A password; wiped when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// The password itself. Keep it out of logs and errors.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// No password is that long; whatever else the file holds is no password.
const LIMIT: usize = 4096;

/// The first line of a file.
///
/// # Errors
/// What the system said, or what is wrong with the line.
pub(crate) fn from_file(path: &Path) -> io::Result<Password> {
    let mut file = File::open(path)?;
    first_line(|buffer| file.read(buffer))
}

/// Why the terminal gave no password.
#[derive(Debug)]
pub(crate) enum Unasked {
    /// There is no terminal, or it failed.
    Failed(io::Error),
    /// The user pressed Ctrl-C, or a signal came.
    Interrupted,
}

impl std::fmt::Display for Unasked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unasked::Failed(why) => write!(f, "the terminal gave no answer: {why}"),
            Unasked::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Asks on the terminal, without echo. The terminal's settings are restored whatever happens: Ctrl-C and a
/// termination signal included.
pub(crate) async fn ask(prompt: &str) -> Result<Password, Unasked> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(Unasked::Failed)?;
    let mut reader = terminal.try_clone().map_err(Unasked::Failed)?;
    // Set before the echo is off: from here on a signal must not end the process.
    let interrupt = crate::interrupt::any();
    let hidden = Hidden::new(&terminal).map_err(Unasked::Failed)?;
    (&terminal).write_all(prompt.as_bytes()).map_err(Unasked::Failed)?;
    // The read cannot be cancelled; its thread ends with the process.
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || send.send(first_line(|buffer| reader.read(buffer))));
    let answer = tokio::select! {
        answer = receive => match answer {
            Ok(line) => line.map_err(Unasked::Failed),
            Err(_) => Err(Unasked::Failed(io::ErrorKind::BrokenPipe.into())),
        },
        () = interrupt => Err(Unasked::Interrupted),
    };
    drop(hidden);
    // The newline that was typed did not show.
    let _ = (&terminal).write_all(b"\n");
    answer
}

/// A terminal that does not echo; the former settings come back when this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    former: rustix::termios::Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let former = tcgetattr(terminal)?;
        let mut quiet = former.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        // Flush: what was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, former })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ =
            rustix::termios::tcsetattr(self.terminal, rustix::termios::OptionalActions::Now, &self.former);
    }
}

/// Reads up to the first line feed, through a buffer that is wiped.
pub(crate) fn first_line(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Password> {
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    // One buffer of full size: growing would leave copies behind.
    let mut buffer = Zeroizing::new([0u8; LIMIT]);
    let mut length = 0;
    loop {
        if length == LIMIT {
            return Err(invalid("the first line is too long for a password"));
        }
        let count = match read(&mut buffer[length..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        let ended = buffer[length..length + count].iter().position(|&byte| byte == b'\n');
        if let Some(at) = ended {
            length += at;
            break;
        }
        if count == 0 {
            break;
        }
        length += count;
    }
    let line = buffer[..length].strip_suffix(b"\r").unwrap_or(&buffer[..length]);
    if line.is_empty() {
        return Err(invalid("no password in the first line"));
    }
    let text = std::str::from_utf8(line).map_err(|_| invalid("the password is not UTF-8"))?;
    if text.contains('\0') {
        return Err(invalid("the password holds a NUL"));
    }
    if text.contains(|c: char| c.is_control() && c != '\t') {
        return Err(invalid("the password holds a control character, which cannot be typed on a terminal"));
    }
    let password = Password(Arc::new(Zeroizing::new(text.to_owned())));
    buffer.zeroize();
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&str]) -> Result<String, String> {
        let mut chunks = chunks.iter();
        let line = first_line(|buffer| {
            let chunk = chunks.next().copied().unwrap_or("").as_bytes();
            buffer[..chunk.len()].copy_from_slice(chunk);
            Ok(chunk.len())
        });
        line.map(|password| password.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_first_line_counts() {
        assert_eq!(read(&["pass word\n", "more"]).unwrap(), "pass word");
        assert_eq!(read(&["se", "cret\r", "\nmore"]).unwrap(), "secret");
        assert_eq!(read(&["no line end"]).unwrap(), "no line end");
        assert_eq!(read(&[" blanks count "]).unwrap(), " blanks count ");
    }

    #[test]
    fn what_is_no_password_is_refused() {
        assert!(read(&[]).unwrap_err().contains("no password"));
        assert!(read(&["\nsecret\n"]).unwrap_err().contains("no password"));
        assert!(read(&["a\0b\n"]).unwrap_err().contains("NUL"));
        assert!(read(&["a\x03b\n"]).unwrap_err().contains("control character"));
        let long = "x".repeat(1024);
        assert!(read(&[long.as_str(); 5]).unwrap_err().contains("too long"));
    }

    #[test]
    fn a_password_is_not_printed() {
        let password = first_line(|buffer| {
            buffer[..8].copy_from_slice(b"hunter2\n");
            Ok(8)
        });
        assert!(!format!("{:?}", password.unwrap()).contains("hunter2"));
    }
}
