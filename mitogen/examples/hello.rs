//! Starts a Python process on this machine and asks it who it is.

use mitogen::{Local, Router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), mitogen::Error> {
    let router = Router::new()?;
    let context = router.connect(Local::new()).await?;
    let pid: u32 = context.call("os.getpid", ()).await?;
    let version: String = context.call("platform.python_version", ()).await?;
    println!("process {pid} is {version}; this one is {}", std::process::id());
    router.shutdown().await
}
