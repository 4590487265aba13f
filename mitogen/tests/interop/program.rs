//! A Python program on our listener plays the scenarios (`client.py`).

use crate::player::{Complaints, modules};
use mitogen::{LogLevel, Router};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// The longest that it may take.
const DEADLINE: Duration = Duration::from_secs(240);

/// Has a program with this package play, by this interpreter, which its contexts have too.
pub(crate) fn play(package: &Path, python: &Path, folder: &Path) -> Complaints {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let router = Router::builder().log_level(LogLevel::Info).module_path(modules()).build();
        let router = router.expect("a router");
        let listener = router.listen(folder.join("socket")).expect("a listener");
        let mut complaints = run(package, python, listener.path()).await;
        drop(listener);
        if let Err(error) = router.shutdown().await {
            complaints.push(format!("the end of the router: {error}"));
        }
        complaints
    })
}

async fn run(package: &Path, python: &Path, socket: &Path) -> Complaints {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let mut program = tokio::process::Command::new(python);
    program.arg(here.join("client.py")).args([socket, &here, python]);
    for name in ["PYTHONHOME", "PYTHONSTARTUP", "MITOGEN_LOG_LEVEL"] {
        program.env_remove(name);
    }
    program.env("PYTHONPATH", package).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONIOENCODING", "utf-8");
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = program.spawn().expect("the interpreter runs");
    let Ok(output) = tokio::time::timeout(DEADLINE, child.wait_with_output()).await else {
        return vec![format!("it has not ended within {DEADLINE:?}")];
    };
    let output = output.expect("it was ours to wait for");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (mut complaints, mut played) = (Complaints::new(), None);
    for line in out.lines() {
        match line.strip_suffix(" steps played") {
            Some(count) => played = count.parse::<u32>().ok(),
            None => complaints.push(line.to_owned()),
        }
    }
    if !output.status.success() || played.is_none_or(|count| count < 50) {
        complaints.push(format!("{}, {played:?} steps played: {err}", output.status));
    }
    complaints
}
