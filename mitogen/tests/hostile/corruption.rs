//! Frames that are not what was signed, or no frames at all.

use crate::stage::Stage;
use mitogen::LostReason;

#[tokio::test]
async fn a_stream_that_was_tampered_with_is_cut_off() {
    let kinds = [
        "mac",
        "payload",
        "replayed",
        "reordered",
        "reflected",
        "dropped",
        "unsigned",
        "truncated",
        "oversize",
        "magic",
    ];
    for kind in kinds {
        let stage = Stage::set("corrupt", &[kind]).await;
        let sleeping = stage.bystander.start::<()>(mitogen::Call::new("time.sleep").arg(0.1));
        let reason = stage.how_it_ended().await;
        assert!(matches!(reason, LostReason::Corrupt(_)), "{kind}: {reason:?}");
        sleeping.await.expect("others work");
        assert!(!stage.hostile.is_connected());
        stage.end().await;
    }
}
