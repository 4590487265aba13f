//! A listener serves those it is for, whatever others do to it, and leaves nothing behind.

mod common;
mod visitor;

use common::{interpreters, one_context};
use mitogen::{
    Error, ListenError, ListenOptions, Listener, ListenerEvent, LostReason, Refusal, Router, blocking,
};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use visitor::{LONG, event, frame, gone, is_served, join, next_frame, place};

#[tokio::test]
async fn the_socket_is_its_users_alone_and_goes_with_its_listener() {
    let (_directory, path) = place();
    let router = Router::new().unwrap();
    let listener = router.listen(&path).unwrap();
    let meta = std::fs::symlink_metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert_eq!(listener.path(), path);
    let (mut stream, id) = join(&path).await;
    is_served(&mut stream, id).await;
    let [client] = &listener.clients()[..] else { panic!("{listener:?}") };
    assert_eq!(
        (client.id.0, client.pid),
        (id, std::process::id()),
        "the system's word counts, not the client's"
    );
    drop(listener);
    assert!(!path.exists());
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "its clients are disconnected");

    // With its router too, in good order or not.
    let listener = router.listen(&path).unwrap();
    let (mut stream, _) = join(&path).await;
    router.shutdown().await.unwrap();
    assert!(!path.exists());
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(matches!(router.listen(&path), Err(Error::Closed)));
    drop(listener);

    let router = Router::new().unwrap();
    let listener = router.listen(&path).unwrap();
    let (mut stream, _) = join(&path).await;
    drop(router);
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    common::wait_for("the socket is gone", || !path.exists() || listener.clients().is_empty());
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_dead_listeners_socket_is_replaced_and_nothing_else_is() {
    let (directory, path) = place();
    let router = Router::new().unwrap();
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = router.listen(&path).unwrap();
    let (mut stream, id) = join(&path).await;
    let second = router.listen(&path);
    assert!(
        matches!(&second, Err(Error::Listen(why)) if matches!(**why, ListenError::InUse { .. })),
        "{second:?}"
    );
    is_served(&mut stream, id).await;
    // Somebody else's socket in its place is left alone.
    std::fs::remove_file(&path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(other);

    let file = directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for taken in [&file, &link] {
        let refused = router.listen(taken);
        assert!(
            matches!(&refused, Err(Error::Listen(why)) if matches!(**why, ListenError::NotASocket { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let entries: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(entries.len(), 3, "{entries:?}");
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_place_where_others_could_put_a_socket_of_theirs_is_refused() {
    let (directory, _) = place();
    let router = Router::new().unwrap();
    let open = directory.path().join("open");
    std::fs::create_dir_all(open.join("below")).unwrap();
    let refused = |path: PathBuf| match router.listen(path) {
        Err(Error::Listen(why)) => *why,
        other => panic!("{other:?}"),
    };
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    for path in [open.join("socket"), open.join("below/socket")] {
        let why = refused(path);
        assert!(matches!(&why, ListenError::Unsafe { mode: 0o777, .. }), "{why}");
        assert!(why.to_string().contains("chmod go-w"), "{why}");
    }
    // Nobody can rename what is another's in a sticky one.
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o1777)).unwrap();
    drop(router.listen(open.join("socket")).unwrap());
    let why = refused(directory.path().join("x".repeat(200)));
    assert!(matches!(why, ListenError::TooLong { .. }), "{why}");
    let why = refused(directory.path().join("none/socket"));
    assert!(matches!(why, ListenError::System { .. }), "{why}");
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_holds_nobody_up_and_is_shown_out() {
    let (_directory, path) = place();
    let router = Router::new().unwrap();
    let options = ListenOptions::new().handshake_timeout(Duration::from_millis(300));
    let listener = router.listen_with(&path, options).unwrap();
    let mut events = listener.events();
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        // Some say a part of it.
        stream.write_all(&[0; 3][..silent.len() % 4]).await.unwrap();
        silent.push(stream);
    }
    let (mut stream, id) = join(&path).await;
    is_served(&mut stream, id).await;
    let mut shown_out = 0;
    while shown_out < silent.len() {
        match event(&mut events).await {
            ListenerEvent::Refused { why: Refusal::Silent, .. } => shown_out += 1,
            ListenerEvent::Connected(client) => assert_eq!(client.id.0, id),
            other => panic!("{other:?}"),
        }
    }
    for mut stream in silent {
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
    drop(UnixStream::connect(&path).await.unwrap());
    assert!(matches!(event(&mut events).await, ListenerEvent::Refused { why: Refusal::Left, .. }));
    is_served(&mut stream, id).await;
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_crowd_of_silent_ones_gives_way_to_those_who_come_later() {
    let (_directory, path) = place();
    let router = Router::new().unwrap();
    let listener = router.listen_with(&path, ListenOptions::new().handshake_timeout(LONG * 10)).unwrap();
    let mut events = listener.events();
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(UnixStream::connect(&path).await.unwrap());
    }
    let (mut stream, id) = join(&path).await;
    is_served(&mut stream, id).await;
    let first = event(&mut events).await;
    assert!(matches!(first, ListenerEvent::Refused { why: Refusal::Crowd, .. }), "{first:?}");
    assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap(), 0, "who came first goes first");
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn there_are_no_more_clients_than_may_be() {
    let (_directory, path) = place();
    let router = Router::new().unwrap();
    let listener = router.listen_with(&path, ListenOptions::new().max_clients(2)).unwrap();
    let mut events = listener.events();
    let (first, _) = join(&path).await;
    let (_second, _) = join(&path).await;
    let mut third = UnixStream::connect(&path).await.unwrap();
    third.write_all(&[0; 4]).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap(), 0);
    drop(first);
    gone(&mut events).await;
    let (mut third, id) = join(&path).await;
    is_served(&mut third, id).await;
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_no_frame_or_not_its_own_costs_a_client_its_link_or_its_message_and_nobody_else_anything() {
    let (_directory, path) = place();
    let (router, context) = one_context().await;
    let listener = router.listen(&path).unwrap();
    let mut events = listener.events();
    let (mut good, good_id) = join(&path).await;

    for garbage in [&[0xff; 64][..], &frame(0, 9, 9, 105, 1, b"")[..1], &[0x4d, 0x49, 0, 0]] {
        let (mut bad, id) = join(&path).await;
        bad.write_all(garbage).await.unwrap();
        bad.shutdown().await.unwrap();
        let (client, reason) = gone(&mut events).await;
        assert_eq!(client.id.0, id);
        assert!(matches!(reason, LostReason::Corrupt(_)), "{reason}");
        assert_eq!(bad.read(&mut [0; 1]).await.unwrap(), 0);
    }
    // A frame that announces more than may be.
    let (mut bad, _) = join(&path).await;
    let mut huge = frame(0, 9, 9, 105, 1, b"");
    huge[22..26].copy_from_slice(&u32::MAX.to_be_bytes());
    bad.write_all(&huge).await.unwrap();
    assert!(matches!(gone(&mut events).await.1, LostReason::Corrupt(_)));

    // In another's name, or on another's authority: dropped in silence, and the link lives on.
    let (mut forger, id) = join(&path).await;
    let victim = context.id().0;
    for (src, auth) in [(0, 0), (victim, victim), (good_id, good_id), (id, 0), (id, good_id), (victim, id)] {
        forger.write_all(&frame(0, src, auth, 105, 4321, b"")).await.unwrap();
        forger.write_all(&frame(victim, src, auth, 106, 0, b"")).await.unwrap();
    }
    // Bodies that cannot be read, to everything that listens here.
    for handle in (100..=113).chain([200, 201, 202, 203, 204, 999, 1000, 1001]) {
        for body in [&b""[..], b"\x80\x02.", b"\x80\x02}.", &[0xff; 100]] {
            forger.write_all(&frame(0, id, id, handle, 4321, body)).await.unwrap();
        }
    }
    is_served_among_refusals(&mut forger, id).await;
    is_served(&mut good, good_id).await;
    let alive: u32 = context.call("os.getpid", ()).await.unwrap();
    assert!(alive > 0, "a forged order to end was obeyed");
    assert_eq!(router.contexts().len(), 1, "clients are no contexts");
    router.shutdown().await.unwrap();
}

async fn is_served_among_refusals(stream: &mut UnixStream, id: u32) {
    stream.write_all(&frame(0, id, id, 105, 1234, b"")).await.unwrap();
    while tokio::time::timeout(LONG, next_frame(stream)).await.expect("in time").0 != 1234 {}
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_its_bytes_are_forgotten() {
    let (_directory, path) = place();
    let (router, context) = one_context().await;
    let listener = router.listen_with(&path, ListenOptions::new().queue_limit(4 << 20)).unwrap();
    let mut events = listener.events();
    let (stream, id) = join(&path).await;
    let (mut good, good_id) = join(&path).await;
    // A context sends it more than it reads.
    let code = "[__import__('sys').modules['mitogen.core'].router.route(__import__('sys').modules['mitogen.core']\
                .Message(dst_id=number, handle=1000, data=b'x' * 100000)) for _ in range(200)] and None";
    let names = std::collections::BTreeMap::from([("number", id)]);
    let sent = context.call::<()>("builtins:eval", (code, names)).await;
    let (client, reason) = gone(&mut events).await;
    assert_eq!(client.id.0, id, "{sent:?}");
    assert!(matches!(reason, LostReason::Backlog { .. }), "{reason}");
    is_served(&mut good, good_id).await;
    drop(stream);
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_can_be_shown_out() {
    let (_directory, path) = place();
    let router = Router::new().unwrap();
    let listener = router.listen(&path).unwrap();
    let mut events = listener.events();
    let (mut stream, id) = join(&path).await;
    assert!(listener.disconnect(mitogen::ContextId(id)));
    let (client, reason) = gone(&mut events).await;
    assert_eq!(client.id.0, id);
    assert!(matches!(reason, LostReason::ShutDown), "{reason}");
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(!listener.disconnect(mitogen::ContextId(id)));
    router.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_process_of_another_user_is_refused_even_where_the_sockets_mode_lets_it_in() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: optional: only root can become another user");
    }
    let (directory, path) = place();
    let router = Router::new().unwrap();
    let listener = router.listen(&path).unwrap();
    let mut events = listener.events();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let code = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                try:\n s.sendall(b'\\0\\0\\0\\1')\n print(len(s.recv(12)))\nexcept OSError:\n print(0)\n";
    let Some(python) = ["/usr/bin/python3", "/usr/local/bin/python3"].iter().find(|p| Path::new(p).exists())
    else {
        return eprintln!("skipped: optional: no Python that others can run");
    };
    let mut command = std::process::Command::new(python);
    command.args(["-c", code]).arg(&path).uid(65534).gid(65534).current_dir("/");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0", "{output:?}");
    let refused = event(&mut events).await;
    assert!(
        matches!(refused, ListenerEvent::Refused { uid: 65534, why: Refusal::ForeignUser, .. }),
        "{refused:?}"
    );
    let (mut stream, id) = join(&path).await;
    is_served(&mut stream, id).await;
    router.shutdown().await.unwrap();
}

#[test]
fn programs_that_wait_have_the_same_listener() {
    let (_directory, path) = place();
    let router = blocking::Router::new().unwrap();
    let listener: blocking::Listener = router.listen(&path).unwrap();
    let mut events = listener.events();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, &[0, 0, 0, 9]).unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 12]).unwrap();
    assert!(matches!(events.next(), Some(ListenerEvent::Connected(_))));
    assert_eq!(listener.clients().len(), 1);
    drop(stream);
    let left = events.next_within(LONG);
    assert!(matches!(left, Some(Some(ListenerEvent::Disconnected { .. }))), "{left:?}");
    drop(listener);
    assert!(!path.exists());
    router.shutdown().unwrap();
}

#[test]
fn nothing_of_a_listener_stays_open() {
    let _ = interpreters();
    let (_directory, path) = place();
    let router = blocking::Router::new().unwrap();
    let visit = |_| {
        let listener = router.listen(&path).unwrap();
        let mut stream = std::os::unix::net::UnixStream::connect(listener.path()).unwrap();
        std::io::Write::write_all(&mut stream, &[0, 0, 0, 9]).unwrap();
        std::io::Read::read_exact(&mut stream, &mut [0; 12]).unwrap();
        let silent = std::os::unix::net::UnixStream::connect(listener.path()).unwrap();
        drop((stream, listener, silent));
    };
    (0..3).for_each(visit);
    let sockets = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        let own = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        own.filter(|to| to.to_string_lossy().starts_with("socket:")).count()
    };
    (0..20).for_each(visit);
    // Other tests of this file run beside it, with sockets of theirs.
    common::wait_for("the sockets are closed", || sockets() < 20 * 2);
    router.shutdown().unwrap();
}

/// The guard can be sent elsewhere: this compiles.
const _: fn() = || {
    fn sendable<T: Send + Sync + 'static>() {}
    sendable::<Listener>();
};
