//! A client of a listener, made by hand: its frames, byte by byte.

use mitogen::{Client, ListenerEvent, ListenerEvents, LostReason};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Much more than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    (directory, path)
}

/// A client made by hand, from its first word on.
pub(crate) async fn join(path: &Path) -> (UnixStream, u32) {
    let mut stream = UnixStream::connect(path).await.expect("somebody listens");
    stream.write_all(&77_u32.to_be_bytes()).await.expect("it is read");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("twelve bytes");
    let number = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().expect("four"));
    assert_eq!((number(4), number(8)), (0, std::process::id()));
    (stream, number(0))
}

/// An unsigned frame.
pub(crate) fn frame(dst: u32, src: u32, auth: u32, handle: u32, reply_to: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x4d, 0x49];
    for number in [dst, src, auth, handle, reply_to, payload.len() as u32] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

/// The handle and the reply_to of the next frame.
pub(crate) async fn next_frame(stream: &mut UnixStream) -> (u32, u32, Vec<u8>) {
    let mut head = [0; 26];
    stream.read_exact(&mut head).await.expect("a frame");
    let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four"));
    let mut payload = vec![0; number(22) as usize];
    stream.read_exact(&mut payload).await.expect("its payload");
    (number(14), number(18), payload)
}

/// Asks the controller for ids, as any context may: it is served.
pub(crate) async fn is_served(stream: &mut UnixStream, id: u32) {
    stream.write_all(&frame(0, id, id, 105, 1234, b"")).await.expect("it is read");
    let (handle, _, payload) = tokio::time::timeout(LONG, next_frame(stream)).await.expect("in time");
    assert_eq!(handle, 1234);
    assert!(payload.starts_with(b"\x80\x02"), "{payload:?}");
}

pub(crate) async fn event(events: &mut ListenerEvents) -> ListenerEvent {
    tokio::time::timeout(LONG, events.next()).await.expect("in time").expect("the listener lives")
}

pub(crate) async fn gone(events: &mut ListenerEvents) -> (Client, LostReason) {
    loop {
        if let ListenerEvent::Disconnected { client, reason } = event(events).await {
            return (client, reason);
        }
    }
}
