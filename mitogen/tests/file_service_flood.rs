//! Contexts that fetch without end; alone in its process, whose memory counts.

mod common;
mod fetching;

use common::interpreters;
use fetching::{fetch, ready};
use mitogen::{Call, Router};
use std::time::Duration;

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn fetches_without_end_neither_stop_others_nor_fill_the_memory() {
    let router = Router::new().unwrap();
    let python = interpreters().pop().unwrap();
    let (greedy, other) = (ready(&router, &python).await, ready(&router, &python).await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, vec![7; 3_000_000]).unwrap();
    router.files().register(&path).unwrap();
    let before = resident();
    // `MITOGEN_FETCHES` says how many are asked for.
    let count = std::env::var("MITOGEN_FETCHES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let call = Call::new("mitogen:test_many").arg(path.to_str().unwrap()).arg(count);
    let (done, refused): (usize, usize) = greedy.start(call).await.unwrap();
    assert_eq!(done + refused, count);
    assert!(refused > 0, "all of them were taken on");
    assert!(router.files().pending() <= 16_384);
    let (in_flight, window) = router.files().window(&greedy).unwrap();
    assert!(in_flight <= window + 131_072 && window <= 8 << 20, "{in_flight} of {window}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    println!("{done} were taken on, {refused} refused, {grown} bytes more");
    // The others do not notice.
    assert_eq!(fetch(&other, &path).await.unwrap().1, 3_000_000);
    greedy.shutdown().await.unwrap();
    let start = std::time::Instant::now();
    while router.files().pending() > 0 {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    router.shutdown().await.unwrap();
}
