//! The scenario `many-idle`: more contexts in one controller than most descriptor limits have room for.

use super::{Samples, connected};
use mitogen::{Context, Router};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many are started at once: what is measured is what they cost when they are there.
const AT_ONCE: usize = 16;

/// Kibibytes of this process for each idle context. Fails unless all of them answer, and are gone at the end.
pub(crate) async fn idle(router: &Router, count: usize, python: &str) -> Samples {
    // What the first one costs is paid once.
    connected(router, python).await?.shutdown().await?;
    let before = resident()?;
    let mut waiting = tokio::task::JoinSet::new();
    let mut contexts: Vec<Context> = Vec::with_capacity(count);
    for started in 0..count {
        if started >= AT_ONCE
            && let Some(context) = waiting.join_next().await
        {
            contexts.push(context??);
        }
        let (router, python) = (router.clone(), python.to_owned());
        waiting.spawn(async move { connected(&router, &python).await });
    }
    while let Some(context) = waiting.join_next().await {
        contexts.push(context??);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let each = (resident()? - before) / count as f64;
    let mut pids = BTreeSet::new();
    for context in &contexts {
        pids.insert(context.call::<u32>("os.getpid", ()).await?);
    }
    if pids.len() != count {
        return Err(format!("{count} contexts were started, and {} answer", pids.len()).into());
    }
    router.shutdown().await?;
    let left = pids.iter().filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()).count();
    if left > 0 {
        return Err(format!("{left} of {count} contexts are left").into());
    }
    Ok(vec![each])
}

/// This process's resident memory, in kibibytes.
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?.parse()?)
}
