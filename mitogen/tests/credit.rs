//! A channel's fast sender waits for its slow reader, and for nothing else.

mod common;

use common::{connect, define, interpreters};
use mitogen::{Call, Error, Router, Value};
use std::time::{Duration, Instant};

const WINDOW: usize = 1 << 20;
const PIECE: usize = 64 << 10;

fn piece() -> Value {
    Value::Bytes(vec![b'x'; PIECE].into())
}

const USER: &str = r"
import time
import mitogen.core
from mitogen.core import takes_router

def send(sender, count, size):
    data = mitogen.core.Blob('x'.encode() * size)
    for _ in range(count):
        sender.send(data)
    sender.close()

@takes_router
def open(router):
    global receiver
    receiver = mitogen.core.Receiver(router)
    return receiver.to_sender()

def waiting():
    return receiver.size()

def take(count):
    return sum(len(receiver.get(10).unpickle()) for _ in range(count))

def close():
    receiver.close()

@takes_router
def mute(router):
    def take(msg):
        pass
    return mitogen.core.Sender(router.myself(), router.add_handler(take))
";

#[tokio::test]
async fn a_sender_has_a_window_and_waits_without_losing_anything() {
    let router = Router::new().expect("a router");
    let mut receiver = router.receiver().expect("a receiver");
    let sender = receiver.sender();
    let mut sent = 0;
    let full = loop {
        match sender.try_send(piece()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::NoCredit { .. }), "{full:?}");
    assert!((WINDOW / PIECE..=WINDOW / PIECE + 1).contains(&sent), "{sent}");
    // A clone has no window of its own, and what is given up was not sent.
    let clone = sender.clone();
    assert!(tokio::time::timeout(Duration::from_millis(50), clone.send(1)).await.is_err());
    let waiting = tokio::spawn(async move { sender.send("last").await });
    for _ in 0..sent {
        let incoming = receiver.next().await.expect("a message");
        assert!(!incoming.wants_reply(), "credit is no answer");
        incoming.reply(5).expect("nothing happens");
    }
    waiting.await.expect("no panic").expect("it left");
    assert_eq!(receiver.recv::<String>().await.expect("the next"), "last");
    router.shutdown().await.expect("a shutdown");
    assert!(matches!(clone.send(1).await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_large_message_goes_when_everything_before_it_was_taken() {
    let router = Router::new().expect("a router");
    let mut receiver = router.receiver().expect("a receiver");
    let sender = receiver.sender();
    let large = Value::Bytes(vec![0; 3 * WINDOW].into());
    for _ in 0..3 {
        sender.send(&large).await.expect("it leaves");
        assert!(matches!(sender.try_send(1), Err(Error::NoCredit { .. })));
        receiver.next().await.expect("a message");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_closed_receiver_and_a_lost_context_close_the_sender() {
    let (router, context) = common::one_context().await;
    define(&context, "user", USER).await;
    let receiver = router.receiver().expect("a receiver");
    let sender = receiver.sender();
    sender.send(1).await.expect("it leaves");
    drop(receiver);
    // The first one is told that there is nobody.
    sender.send(2).await.expect("it leaves");
    let closed = sender.send(3).await.expect_err("nobody is there");
    assert!(matches!(closed, Error::ChannelClosed { .. }), "{closed:?}");

    let address = context.call("user.open", ()).await.expect("a sender");
    let sender = router.sender(address);
    let waiting = {
        while sender.try_send(piece()).is_ok() {}
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(1).await })
    };
    context.shutdown().await.expect("a shutdown");
    for error in [waiting.await.expect("no panic"), sender.send(1).await] {
        assert!(matches!(error, Err(Error::Lost { .. })), "{error:?}");
    }
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_receiver_that_never_gives_credit_is_waited_for_once() {
    let (router, context) = common::one_context().await;
    define(&context, "user", USER).await;
    let sender = router.sender(context.call("user.mute", ()).await.expect("a sender"));
    let start = Instant::now();
    for _ in 0..3 * WINDOW / PIECE {
        sender.send(piece()).await.expect("it leaves");
    }
    let elapsed = start.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&elapsed), "{elapsed:?}");
    router.shutdown().await.expect("a shutdown");
}

#[tokio::test]
async fn a_slow_reader_in_a_context_slows_us_down() {
    let router = Router::new().expect("a router");
    for python in interpreters() {
        let context = connect(&router, &python).await;
        define(&context, "user", USER).await;
        let sender = router.sender(context.call("user.open", ()).await.expect("a sender"));
        let count = 5 * WINDOW / PIECE;
        let sending = tokio::spawn(async move {
            for _ in 0..count {
                sender.send(piece()).await.expect("it leaves");
            }
            sender
        });
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let waiting: usize = context.call("user.waiting", ()).await.expect("a count");
            if waiting == last && last > 0 {
                break;
            }
            last = waiting;
        }
        assert!(last * PIECE <= WINDOW + PIECE && !sending.is_finished(), "{last}");
        let taken: usize = context.call("user.take", (count,)).await.expect("a sum");
        assert_eq!(taken, count * PIECE);
        let sender = sending.await.expect("all left");
        let () = context.call("user.close", ()).await.expect("closed");
        // The first of them is told, in time.
        let closed = loop {
            if let Err(closed) = sender.send(1).await {
                break closed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(matches!(closed, Error::ChannelClosed { .. }), "{closed:?}");
        context.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}
#[tokio::test]
async fn a_slow_reader_here_slows_contexts_down() {
    let router = Router::new().expect("a router");
    for python in interpreters() {
        let context = connect(&router, &python).await;
        define(&context, "user", USER).await;
        let mut receiver = router.receiver().expect("a receiver");
        let count = 5 * WINDOW / PIECE;
        let sending =
            context.start::<()>(Call::new("user.send").arg(receiver.sender()).arg(count).arg(PIECE));
        let first = receiver.next().await.expect("the first");
        assert!(!first.wants_reply(), "credit is no answer");
        let mut sending = Box::pin(sending);
        let early = tokio::time::timeout(Duration::from_millis(300), &mut sending).await;
        assert!(early.is_err(), "it sent without waiting");
        let mut taken = 1;
        while let Ok(value) = receiver.recv::<Value>().await {
            assert_eq!(value.as_bytes().map(<[u8]>::len), Some(PIECE));
            taken += 1;
        }
        assert_eq!(taken, count);
        sending.await.expect("it is done");
        context.shutdown().await.expect("a shutdown");
    }
    router.shutdown().await.expect("a shutdown");
}
