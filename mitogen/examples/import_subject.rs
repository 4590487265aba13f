//! Imports modules in fresh contexts and says what that cost: the subject of `cargo xtask bench`'s scenario `import`.
//!
//! Arguments: SCENARIO LIBRARY MODULE PYTHON... Each scenario prints lines of JSON:
//! `hops-1`, `hops-3`: one cold and two warm imports in a context so many hops away, and what went by the first link;
//! with three hops a second leaf behind the same hop imports the module too.
//! `index`: LIBRARY is a directory, and MODULE imports one module from each of its packages.

use mitogen::{Call, Context, LinkStats, Local, Router, Value};
use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [scenario, library, module, python @ ..] = &args[..] else {
        return Err("arguments: SCENARIO LIBRARY MODULE PYTHON...".into());
    };
    let (hops, states) = match scenario.as_str() {
        "hops-3" => (3, &["cold", "warm", "warm"][..]),
        "index" => (1, &["cold"][..]),
        _ => (1, &["cold", "warm", "warm"][..]),
    };
    let router = match Path::new(library).join("lib").is_dir() {
        true => Router::builder().virtualenv(library).build()?,
        false => Router::builder().module_path(library).build()?,
    };
    for state in states {
        let first = router.connect(Local::new().python_argv(python)).await?;
        let mut hop = first.clone();
        for _ in 2..hops {
            hop = hop.connect(Local::new().python_argv(python)).await?;
        }
        let leaf = match hops {
            1 => first.clone(),
            _ => hop.connect(Local::new().python_argv(python)).await?,
        };
        let mut line = import(&first, &leaf, module).await?;
        line["state"] = json!(state);
        if hops > 1 {
            let second = hop.connect(Local::new().python_argv(python)).await?;
            line["second"] = import(&first, &second, module).await?;
        }
        println!("{line}");
        first.shutdown().await?;
    }
    Ok(router.shutdown().await?)
}

/// Imports the module in a context, and says what that did to the first link on the way.
async fn import(first: &Context, leaf: &Context, module: &str) -> Result<serde_json::Value, Box<dyn Error>> {
    // What the measured call itself needs.
    let _: Value = leaf.call("importlib.import_module", ("importlib",)).await.unwrap_or(Value::None);
    let before = first.stats().unwrap_or_default();
    let child = leaf.call::<f64>("time.process_time", ()).await?;
    let (start, cpu) = (Instant::now(), cpu_ms());
    // The module cannot be pickled: that it was imported is what the failure says.
    let result = leaf.start::<Value>(Call::new("importlib.__import__").arg(module)).await;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_ms() - cpu);
    if let Err(error) = result
        && !error.to_string().to_lowercase().contains("pickle")
    {
        return Err(error.into());
    }
    let after = first.stats().unwrap_or_default();
    let child = leaf.call::<f64>("time.process_time", ()).await? - child;
    let grown = |counter: fn(&LinkStats) -> u64| counter(&after) - counter(&before);
    Ok(json!({
        "seconds": seconds,
        "child_cpu": child,
        "controller_cpu_ms": cpu,
        "controller_ms": (after.module_time - before.module_time).as_secs_f64() * 1e3,
        "requests": grown(|stats| stats.module_requests),
        "modules": grown(|stats| stats.modules_sent),
        "messages": grown(|stats| stats.module_messages),
        "bytes": grown(|stats| stats.module_bytes),
    }))
}

/// The processor time that this process has used, all threads together.
fn cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
