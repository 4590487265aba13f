//! A peer that does not speak frames costs its own link, with an error that says what was wrong.

mod common;

use mitogen::{Call, Error, FrameError, Local, LostReason, Router, Value};
use std::time::{Duration, Instant};

/// A "context" that is a shell script: it is born as the handshake wants it, and then says
/// whatever the story needs.
fn impostor(script: &str) -> Local {
    Local::new().python_argv(["sh", "-c", &format!("printf 'EC1\\nEC2\\n'; {script}")])
}

async fn how_it_ends(script: &str, signed: bool) -> LostReason {
    let router = Router::builder().signed(signed).max_message_size(1 << 20).build().expect("a router");
    let context = router.connect(impostor(script)).await.expect("it is born");
    let start = Instant::now();
    let error = context.start::<Value>(Call::new("os.getpid")).await.expect_err("it does not answer");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let Error::Lost { reason, .. } = error else { panic!("{error:?}") };
    router.shutdown().await.expect("a shutdown");
    assert_eq!(common::children(), [] as [u32; 0], "{script}");
    reason
}

/// One test, because each part looks for left-over children of the whole process.
#[tokio::test]
async fn every_kind_of_corruption_is_named() {
    let garbage = "sleep 0.3; echo this is certainly no frame at all and long enough to be one; sleep 60";
    let reason = how_it_ends(garbage, false).await;
    assert!(matches!(reason, LostReason::Corrupt(FrameError::BadMagic { .. })), "{reason:?}");

    let unsigned = r"sleep 0.3; printf 'MI\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\146\0\0\0\0\0\0\0\0';
        printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'; sleep 60";
    let reason = how_it_ends(unsigned, true).await;
    assert!(matches!(reason, LostReason::Corrupt(_)), "{reason:?}");

    let too_long = r"sleep 0.3; printf 'MI\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\146\0\0\0\0\177\0\0\0'; sleep 60";
    let reason = how_it_ends(too_long, false).await;
    assert!(matches!(reason, LostReason::Corrupt(FrameError::TooLong { .. })), "{reason:?}");

    let reason = how_it_ends(r"sleep 0.3; printf 'MI\0\0\0\0'", false).await;
    assert!(matches!(reason, LostReason::Corrupt(FrameError::Truncated { have: 6 })), "{reason:?}");

    let reason = how_it_ends("sleep 0.3; exit 7", true).await;
    assert!(
        matches!(&reason, LostReason::Ended { status: Some(status) } if status.contains('7')),
        "{reason:?}"
    );
}
