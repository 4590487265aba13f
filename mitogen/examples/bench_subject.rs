//! What `cargo xtask bench` measures of this project: `bench_subject SCENARIO COUNT PYTHON` prints `{"samples":[...]}`.
//!
//! It uses the public API as a user would, with the defaults of a user (frames are signed). Its brothers, the peers, are
//! `xtask/peers/*.py`. A scenario that it does not know ends with status 3.

#[path = "support/files.rs"]
mod files;
#[path = "support/many.rs"]
mod many;
#[path = "support/relay.rs"]
mod relay;

use std::error::Error;
use std::time::{Duration, Instant};

use mitogen::{Call, Context, Local, Router, Select};

/// Calls made before time is taken.
const WARM_UP: usize = 50;
/// How often a process measures what is sent ahead: a single one of so few tenths of a second says little.
const BATCHES: usize = 3;

type Samples = Result<Vec<f64>, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [scenario, count, python] = args.as_slice() else {
        return Err("usage: bench_subject SCENARIO COUNT PYTHON".into());
    };
    let count: usize = count.parse()?;
    let mut told = relay::run(scenario, count).await;
    if told.is_none() {
        told = files::run(scenario, count, python).await;
    }
    if let Some(samples) = told {
        println!("{}", serde_json::json!({ "samples": samples? }));
        return Ok(());
    }
    let router = Router::builder().signed(scenario != "latency-unsigned").build()?;
    let samples = match scenario.as_str() {
        "latency" | "latency-unsigned" => latency(&router, count, python).await?,
        "pipelined" => pipelined(&router, count, python).await?,
        "connect" => connect(&router, count, python).await?,
        "connect-many" => connect_many(&router, count, python).await?,
        "hops-2" => hops(&router, 2, count, python).await?,
        "hops-4" => hops(&router, 4, count, python).await?,
        "scatter" => scatter(&router, count, python).await?,
        "many" => many(&router, count, python).await?,
        "many-idle" => many::idle(&router, count, python).await?,
        "rss" => memory(&router, count, python, "Rss").await?,
        "pss" => memory(&router, count, python, "Pss").await?,
        "shutdown" => shutdown(&router, count, python).await?,
        _ => std::process::exit(3),
    };
    router.shutdown().await?;
    println!("{}", serde_json::json!({ "samples": samples }));
    Ok(())
}

/// A context counts as connected when it has answered its first call.
async fn connected(router: &Router, python: &str) -> Result<Context, mitogen::Error> {
    let context = router.connect(Local::new().python(python)).await?;
    let _pid: u32 = context.call("os.getpid", ()).await?;
    Ok(context)
}

/// One call after the other; microseconds each.
async fn latency(router: &Router, count: usize, python: &str) -> Samples {
    calls(connected(router, python).await?, count).await
}

/// The same through `depth` contexts, each a child of the one before.
async fn hops(router: &Router, depth: usize, count: usize, python: &str) -> Samples {
    let mut context = connected(router, python).await?;
    for _ in 1..depth {
        context = context.connect(Local::new().python(python)).await?;
    }
    calls(context, count).await
}

async fn calls(context: Context, count: usize) -> Samples {
    let mut samples = Vec::with_capacity(count);
    for i in 0..WARM_UP + count {
        let start = Instant::now();
        let _pid: u32 = context.call("os.getpid", ()).await?;
        if i >= WARM_UP {
            samples.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(samples)
}

/// All calls sent before the first answer is awaited; calls per second.
async fn pipelined(router: &Router, count: usize, python: &str) -> Samples {
    let context = connected(router, python).await?;
    for _ in 0..WARM_UP {
        let _pid: u32 = context.call("os.getpid", ()).await?;
    }
    let mut samples = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let start = Instant::now();
        let pending: Vec<_> = (0..count).map(|_| context.start::<u32>(Call::new("os.getpid"))).collect();
        for answer in pending {
            answer.await?;
        }
        samples.push(count as f64 / start.elapsed().as_secs_f64());
    }
    Ok(samples)
}

/// So many contexts, 200 calls in each, answers taken as they come; calls per second.
async fn scatter(router: &Router, count: usize, python: &str) -> Samples {
    const CALLS: usize = 200;
    let contexts = connect_all(router, count, python).await?;
    let mut samples = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let start = Instant::now();
        let mut select: Select<'_, usize, u32> = Select::new();
        for (key, context) in contexts.iter().enumerate() {
            for _ in 0..CALLS {
                select.add(key, context.start(Call::new("os.getpid")));
            }
        }
        while let Some((_, answer)) = select.next().await {
            answer?;
        }
        samples.push((count * CALLS) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(samples)
}

/// A life of many contexts: connected at once, called, shut down; milliseconds.
async fn many(router: &Router, count: usize, python: &str) -> Samples {
    let start = Instant::now();
    connect_all(router, count, python).await?;
    router.shutdown().await?;
    Ok(vec![start.elapsed().as_secs_f64() * 1e3])
}

/// Start and first call; milliseconds each.
async fn connect(router: &Router, count: usize, python: &str) -> Samples {
    connected(router, python).await?;
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let context = connected(router, python).await?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
        context.shutdown().await?;
    }
    Ok(samples)
}

/// All at once; milliseconds until the last has answered its first call.
async fn connect_many(router: &Router, count: usize, python: &str) -> Samples {
    let start = Instant::now();
    connect_all(router, count, python).await?;
    Ok(vec![start.elapsed().as_secs_f64() * 1e3])
}

async fn connect_all(router: &Router, count: usize, python: &str) -> Result<Vec<Context>, Box<dyn Error>> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (router, python) = (router.clone(), python.to_owned());
        tasks.spawn(async move { connected(&router, &python).await });
    }
    let mut contexts = Vec::with_capacity(count);
    while let Some(context) = tasks.join_next().await {
        contexts.push(context??);
    }
    Ok(contexts)
}

/// Memory of idle children, KiB, by its name in `smaps_rollup`.
async fn memory(router: &Router, count: usize, python: &str, field: &str) -> Samples {
    let mut pids = Vec::with_capacity(count);
    for _ in 0..count {
        let pid: u32 = connected(router, python).await?.call("os.getpid", ()).await?;
        pids.push(pid);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    pids.into_iter().map(|pid| resident(pid, field)).collect()
}

fn resident(pid: u32, field: &str) -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).ok_or("no such line in smaps_rollup")?;
    Ok(kib.parse()?)
}

/// Until every child has ended and was reaped; milliseconds.
async fn shutdown(router: &Router, count: usize, python: &str) -> Samples {
    connect_all(router, count, python).await?;
    let start = Instant::now();
    router.shutdown().await?;
    Ok(vec![start.elapsed().as_secs_f64() * 1e3])
}
