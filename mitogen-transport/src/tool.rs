//! What a tool prints once its context lives: read to the end, and passed on by the line.

use crate::fd::Fd;
use crate::spawn::Terminal;
use mitogen_bootstrap::plan::{Secret, Source};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many lines may wait for their reader; more are dropped, since the tool must not block.
const WAITING_LINES: usize = 256;
/// Where a line without end is cut.
const LONGEST_LINE: usize = 4096;

/// A line that the tool printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolLine {
    /// Where.
    pub source: Source,
    /// What; control characters are replaced by `?`.
    pub text: String,
}

/// The lines that a tool prints once its context lives. They are read whether or not anybody
/// takes them from here.
#[derive(Debug)]
pub struct ToolLines(mpsc::Receiver<ToolLine>);

impl ToolLines {
    /// The next line; `None` when the tool has closed all that it could print to. Cancel-safe.
    pub async fn next(&mut self) -> Option<ToolLine> {
        self.0.recv().await
    }
}

/// The tasks that read; aborted when dropped.
#[derive(Debug, Default)]
pub(crate) struct Drains(Vec<JoinHandle<()>>);

impl Drop for Drains {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Starts reading what is left open beside the comms channel. What was `sent` to the tool shows in no line.
pub(crate) fn drain(
    stderr: Option<Fd>,
    terminal: Option<Terminal>,
    sent: Vec<Secret>,
) -> (ToolLines, Drains) {
    let sent: Arc<[Secret]> = sent.into();
    let (sender, receiver) = mpsc::channel(WAITING_LINES);
    let mut tasks = Vec::new();
    if let Some(fd) = stderr {
        let (sender, sent) = (sender.clone(), Arc::clone(&sent));
        tasks.push(tokio::spawn(async move { read_lines(&fd, Source::Stderr, sender, &sent).await }));
    }
    if let Some(terminal) = terminal {
        tasks.push(tokio::spawn(async move {
            read_lines(&terminal.master, Source::Terminal, sender, &sent).await;
            // A tool opens its terminal to ask, and closes it again: that is all that the end of file
            // means. To close the master now would hang up on the tool, and kill it.
            std::future::pending::<()>().await;
            drop(terminal);
        }));
    }
    (ToolLines(receiver), Drains(tasks))
}

async fn read_lines(fd: &Fd, source: Source, sender: mpsc::Sender<ToolLine>, sent: &[Secret]) {
    let mut buffer = vec![0; 4096];
    let mut line = Vec::new();
    let pass = |line: &mut Vec<u8>| {
        let mut text = String::from_utf8_lossy(line).into_owned();
        for secret in sent.iter().map(Secret::expose).filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "[secret]");
        }
        let text: String = text
            .trim_end_matches('\r')
            .chars()
            .map(|c| if c.is_control() && c != '\t' { '?' } else { c })
            .collect();
        line.clear();
        if !text.trim().is_empty() {
            let _ = sender.try_send(ToolLine { source, text });
        }
    };
    while let Ok(count) = fd.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        for piece in buffer[..count].split_inclusive(|&b| b == b'\n') {
            line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") || line.len() >= LONGEST_LINE {
                pass(&mut line);
            }
        }
    }
    pass(&mut line);
}
