//! Measures calls of a trivial function: `latency [COUNT [PYTHON]]`.

use mitogen::{Local, blocking};
use std::time::Instant;

fn local() -> Local {
    match std::env::args().nth(2) {
        Some(python) => Local::new().python(python),
        None => Local::new(),
    }
}

fn main() -> Result<(), mitogen::Error> {
    let count: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5000);
    for signed in [true, false] {
        let router = blocking::Router::from_builder(mitogen::Router::builder().signed(signed))?;
        let start = Instant::now();
        let context = router.connect(local())?;
        let connected = start.elapsed();
        let _: u32 = context.call("os.getpid", ())?;
        let first = start.elapsed();
        let mut times: Vec<_> = (0..count)
            .map(|_| {
                let start = Instant::now();
                context.call::<u32>("os.getpid", ()).map(|_| start.elapsed())
            })
            .collect::<Result<_, _>>()?;
        times.sort();
        println!(
            "blocking signed={signed} connect {connected:?} first call {first:?} best tenth {:?} median {:?} p99 {:?}",
            times[times.len() / 10],
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
        router.shutdown()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = mitogen::Router::new()?;
        let context = router.connect(local()).await?;
        let mut times = Vec::new();
        for _ in 0..count {
            let start = Instant::now();
            context.call::<u32>("os.getpid", ()).await?;
            times.push(start.elapsed());
        }
        times.sort();
        println!(
            "async signed best tenth {:?} median {:?} p99 {:?}",
            times[times.len() / 10],
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
        let mut leaf = context.clone();
        for hops in 2..=4 {
            leaf = leaf.connect(local()).await?;
            let mut times = Vec::new();
            for _ in 0..count {
                let start = Instant::now();
                leaf.call::<u32>("os.getpid", ()).await?;
                times.push(start.elapsed());
            }
            times.sort();
            println!(
                "async signed, {hops} hops: best tenth {:?} median {:?} p99 {:?}",
                times[times.len() / 10],
                times[times.len() / 2],
                times[times.len() * 99 / 100]
            );
        }
        let start = Instant::now();
        let calls: Vec<_> =
            (0..count).map(|_| context.start::<u32>(mitogen::Call::new("os.getpid"))).collect();
        for call in calls {
            call.await?;
        }
        println!("pipelined {:.0} calls/s", f64::from(count) / start.elapsed().as_secs_f64());
        router.shutdown().await
    })
}
