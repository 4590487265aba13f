//! The scenarios `files` and `stream`: bulk data there and back.

use super::{Samples, connected};
use mitogen::files::Sizing;
use mitogen::{Call, Context, Local, Router, TransferOptions, Value};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Runs a scenario of this file; `None` when it is none.
pub(crate) async fn run(scenario: &str, count: usize, python: &str) -> Option<Samples> {
    let (name, signed) = match scenario.strip_suffix("-unsigned") {
        Some(name) => (name, false),
        None => (scenario, true),
    };
    let mut builder = Router::builder().signed(signed);
    if name == "files-delay-fixed" {
        builder = builder.file_window(Sizing::Fixed(1 << 20));
    }
    let router = match builder.build() {
        Ok(router) => router,
        Err(error) => return Some(Err(error.into())),
    };
    let samples = match name {
        "files-1" => bulk(&router, 1, count, python, true).await,
        "files-2" => bulk(&router, 2, count, python, true).await,
        "files-4" => bulk(&router, 4, count, python, true).await,
        "files-get" => bulk(&router, 1, count, python, false).await,
        "files-small" => small(&router, count, python).await,
        "files-ssh" => over_ssh(&router, count, python, false).await,
        "files-ssh-small" => over_ssh(&router, count, python, true).await,
        "files-delay" | "files-delay-fixed" => delayed(&router, count, python).await,
        "files-call" => calls_meanwhile(&router, count, python).await,
        "files-memory" => memory(&router, count, python).await,
        "files-two" => two(&router, count, python).await,
        "stream" => stream(&router, count, python, false).await,
        "stream-memory" => stream(&router, count, python, true).await,
        _ => return None,
    };
    let ended = router.shutdown().await;
    Some(samples.and_then(|samples| ended.map(|()| samples).map_err(Into::into)))
}

/// Where no disk is measured, if there is such a place. Removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Place> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("mitogen-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Place(path))
    }

    fn file(&self, name: &str, mebibytes: usize) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut file = std::fs::File::create(&path)?;
        for _ in 0..mebibytes {
            std::io::Write::write_all(&mut file, &block)?;
        }
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn at_depth(router: &Router, depth: usize, python: &str) -> Result<Context, mitogen::Error> {
    let mut context = connected(router, python).await?;
    for _ in 1..depth {
        context = context.connect(Local::new().python(python)).await?;
        let _pid: u32 = context.call("os.getpid", ()).await?;
    }
    Ok(context)
}

/// To the testbed's host: one large file, MB/s, or many small ones, files/s.
async fn over_ssh(router: &Router, count: usize, python: &str, many: bool) -> Samples {
    // Without a testbed there is nothing to be measured.
    let Some(testbed) = std::env::var_os("MITOGEN_TESTBED") else { std::process::exit(3) };
    let config = Path::new(&testbed).join("ssh_config");
    let context =
        router.connect(mitogen::Ssh::new("root").config(config.to_string_lossy()).python(python)).await?;
    match many {
        true => small_to(&context, count).await,
        false => bulk_to(&context, count, true).await,
    }
}

/// One large file; MB/s.
async fn bulk(router: &Router, depth: usize, mebibytes: usize, python: &str, up: bool) -> Samples {
    bulk_to(&at_depth(router, depth, python).await?, mebibytes, up).await
}

async fn bulk_to(context: &Context, mebibytes: usize, up: bool) -> Samples {
    let place = Place::new()?;
    let warm = place.file("warm", 1)?;
    context.upload(&warm, place.0.join("warm2")).await?;
    let from = place.file("from", mebibytes)?;
    let to = place.0.join("to");
    let start = Instant::now();
    if up {
        context.upload(&from, &to).await?;
    } else {
        context.download(&from, &to).await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(vec![(mebibytes << 20) as f64 / 1e6 / seconds])
}

/// Many files of 4 KiB; files per second.
async fn small(router: &Router, count: usize, python: &str) -> Samples {
    small_to(&connected(router, python).await?, count).await
}

async fn small_to(context: &Context, count: usize) -> Samples {
    use futures_util::StreamExt;
    let place = Place::new()?;
    std::fs::create_dir(place.0.join("a"))?;
    std::fs::create_dir(place.0.join("b"))?;
    for number in 0..count {
        std::fs::write(place.0.join(format!("a/{number}")), vec![number as u8; 4096])?;
    }
    // As the others, who sync nothing.
    let options = &TransferOptions::new().sync(false);
    context.upload(place.0.join("a/0"), place.0.join("b/0")).await?;
    let start = Instant::now();
    let mut uploads = futures_util::stream::iter(0..count)
        .map(|number| {
            let (from, to) = (place.0.join(format!("a/{number}")), place.0.join(format!("b/{number}")));
            async move { context.upload_with(from, to, options).await }
        })
        .buffer_unordered(64);
    while let Some(done) = uploads.next().await {
        done?;
    }
    Ok(vec![count as f64 / start.elapsed().as_secs_f64()])
}

/// A pipe that gives each byte later, in front of the interpreter.
const DELAY: &str = r#"
import os, subprocess, sys, threading, time, collections
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def pump(source, sink):
    queue = collections.deque()
    def read():
        while 1:
            data = os.read(source, 262144)
            queue.append((time.time() + .05, data))
            if not data:
                return
    threading.Thread(target=read).start()
    while 1:
        if not queue:
            time.sleep(.001)
            continue
        at, data = queue.popleft()
        time.sleep(max(0, at - time.time()))
        if not data:
            os.close(sink)
            return
        while data:
            data = data[os.write(sink, data):]
a = threading.Thread(target=pump, args=(0, child.stdin.fileno()))
b = threading.Thread(target=pump, args=(child.stdout.fileno(), 1))
a.start()
b.start()
sys.exit(child.wait())
"#;

/// One file behind 50 ms each way; MB/s.
async fn delayed(router: &Router, mebibytes: usize, python: &str) -> Samples {
    let place = Place::new()?;
    let script = place.0.join("delay.py");
    std::fs::write(&script, DELAY)?;
    let argv = [python, script.to_str().ok_or("a path is not text")?, python];
    let context = router.connect(Local::new().python_argv(argv)).await?;
    let warm = place.file("warm", 1)?;
    context.upload(&warm, place.0.join("warm2")).await?;
    let from = place.file("from", mebibytes)?;
    let start = Instant::now();
    context.upload(&from, place.0.join("to")).await?;
    Ok(vec![(mebibytes << 20) as f64 / 1e6 / start.elapsed().as_secs_f64()])
}

async fn median_call(context: &Context, count: usize) -> Result<f64, mitogen::Error> {
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let _pid: u32 = context.call("os.getpid", ()).await?;
        samples.push(start.elapsed().as_secs_f64() * 1e6);
    }
    samples.sort_by(f64::total_cmp);
    Ok(samples[count / 2])
}

/// A small call while a file goes over the same link: how many times an idle one's time it takes, without the time that
/// one chunk of the file takes.
async fn calls_meanwhile(router: &Router, mebibytes: usize, python: &str) -> Samples {
    let place = Place::new()?;
    let context = connected(router, python).await?;
    let from = place.file("from", mebibytes)?;
    context.upload(&from, place.0.join("to")).await?;
    let idle = median_call(&context, 200).await?;
    let start = Instant::now();
    let upload = async {
        context.upload(&from, place.0.join("to")).await?;
        Ok::<f64, mitogen::Error>(start.elapsed().as_secs_f64() * 1e6)
    };
    let calls = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        median_call(&context, 100).await
    };
    let (took, busy) = tokio::join!(upload, calls);
    let (chunk, busy) = (took? / (mebibytes * 8) as f64, busy?);
    eprintln!("idle {idle:.0} us, meanwhile {busy:.0} us, a chunk {chunk:.0} us");
    Ok(vec![(busy - chunk) / idle])
}

fn status(pid: &str, field: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(line.and_then(|rest| rest.split_whitespace().next()).ok_or("no such line")?.parse()?)
}

/// The highest memory of controller and agent above what they have when idle, the larger of the two; KiB.
async fn memory(router: &Router, mebibytes: usize, python: &str) -> Samples {
    let place = Place::new()?;
    let context = connected(router, python).await?;
    let pid: u32 = context.call("os.getpid", ()).await?;
    let from = place.file("from", mebibytes)?;
    let (own, theirs) = (status("self", "VmRSS")?, status(&pid.to_string(), "VmRSS")?);
    context.upload(&from, place.0.join("to")).await?;
    context.download(place.0.join("to"), place.0.join("back")).await?;
    let own = status("self", "VmHWM")? - own;
    let theirs = status(&pid.to_string(), "VmHWM")? - theirs;
    eprintln!("controller {own} KiB, agent {theirs} KiB above idle");
    Ok(vec![own.max(theirs)])
}

/// Two contexts on one link: the first transfer's time with the second one's queued behind it, against alone.
async fn two(router: &Router, mebibytes: usize, python: &str) -> Samples {
    let place = Place::new()?;
    let hop = connected(router, python).await?;
    let first = hop.connect(Local::new().python(python)).await?;
    let second = hop.connect(Local::new().python(python)).await?;
    let from = place.file("from", mebibytes)?;
    let (a, b) = (place.0.join("a"), place.0.join("b"));
    let options = TransferOptions::new();
    first.upload_with(&from, &a, &options).await?;
    let start = Instant::now();
    first.upload_with(&from, &a, &options).await?;
    let alone = start.elapsed();
    let start = Instant::now();
    let timed = async {
        first.upload_with(&from, &a, &options).await?;
        Ok::<Duration, mitogen::Error>(start.elapsed())
    };
    let (both, other) = tokio::join!(timed, second.upload_with(&from, &b, &options));
    other?;
    Ok(vec![both?.as_secs_f64() / alone.as_secs_f64()])
}

/// A child sends 128 KiB messages; MB/s, or by how much its memory grew, KiB.
async fn stream(router: &Router, mebibytes: usize, python: &str, memory: bool) -> Samples {
    let context = connected(router, python).await?;
    let pid: u32 = context.call("os.getpid", ()).await?;
    let mut receiver = router.receiver()?;
    let code = r"
import mitogen
def bench(sender, count):
    data = b'x' * 131072
    for _ in range(count):
        sender.send(data)
mitogen.bench = bench
";
    let globals = std::collections::BTreeMap::from([("__name__", "bench")]);
    context.call::<Value>("builtins:exec", (code, globals)).await?;
    let count = mebibytes * 8;
    let before = status(&pid.to_string(), "VmRSS")?;
    let start = Instant::now();
    let sent = context.start::<Value>(Call::new("mitogen:bench").arg(receiver.sender()).arg(count));
    let mut bytes = 0;
    while bytes < mebibytes << 20 {
        let value: Value = receiver.recv().await?;
        bytes += value.as_bytes().map_or(0, <[u8]>::len);
    }
    let seconds = start.elapsed().as_secs_f64();
    sent.await?;
    if memory {
        return Ok(vec![status(&pid.to_string(), "VmHWM")? - before]);
    }
    Ok(vec![bytes as f64 / 1e6 / seconds])
}
