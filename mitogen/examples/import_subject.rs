//! Imports a module in fresh contexts and says what that cost: the subject of `cargo xtask bench`'s scenario `import`.
//!
//! Arguments: VIRTUALENV MODULE PYTHON HOPS. One line of JSON for each of a cold and a warm import.

use mitogen::{Local, Router, Value};
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [virtualenv, module, python, hops] = &args[..] else {
        return Err("arguments: VIRTUALENV MODULE PYTHON HOPS".into());
    };
    let hops: usize = hops.parse()?;
    let router = Router::builder().virtualenv(virtualenv).build()?;
    for state in ["cold", "warm", "warm"] {
        let first = router.connect(Local::new().python(python)).await?;
        let mut leaf = first.clone();
        for _ in 1..hops {
            leaf = leaf.connect(Local::new().python(python)).await?;
        }
        let _: Value = leaf.call("importlib.import_module", ("importlib",)).await.unwrap_or(Value::None);
        let before = first.stats().unwrap_or_default();
        let (start, cpu) = (Instant::now(), cpu_ms());
        let call = mitogen::Call::new("importlib.__import__").arg(module.as_str());
        // The module cannot be pickled: that it was imported is what the failure says.
        let result = leaf.start::<Value>(call).await;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_ms() - cpu);
        if let Err(error) = result
            && !error.to_string().to_lowercase().contains("pickle")
        {
            return Err(error.into());
        }
        let after = first.stats().unwrap_or_default();
        println!(
            "{{\"state\":\"{state}\",\"seconds\":{seconds:.4},\"controller_cpu_ms\":{cpu},\"requests\":{},\"modules\":{},\"messages\":{},\"bytes\":{},\"link_bytes\":{}}}",
            after.module_requests - before.module_requests,
            after.modules_sent - before.modules_sent,
            after.module_messages - before.module_messages,
            after.module_bytes - before.module_bytes,
            after.bytes_sent - before.bytes_sent,
        );
        first.shutdown().await?;
    }
    Ok(router.shutdown().await?)
}

/// The processor time that this process has used, in steps of 10 ms.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}
