//! Running other programs, and the one error type of this tool: a sentence.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What went wrong, ready to be printed. A tool for developers needs a sentence, not a taxonomy.
pub struct Error(String);

/// Shorthand used all over this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Error(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Leaves the function with an [`Error`] made like `format!`.
macro_rules! fail {
    ($($t:tt)*) => { return Err($crate::sh::Error::new(format!($($t)*))) };
}
pub(crate) use fail;

/// Adds what was attempted to an IO error.
pub(crate) trait Context<T> {
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|e| Error::new(format!("{what}: {e}")))
    }
}

/// The top of the repository: where `cargo run` says this crate lies, else the nearest ancestor with a `Cargo.lock`.
pub(crate) fn root() -> Result<PathBuf> {
    let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::current_dir().context("current directory")?,
    };
    match start.ancestors().find(|dir| dir.join("Cargo.lock").is_file()) {
        Some(dir) => Ok(dir.to_path_buf()),
        None => fail!("no Cargo.lock above {}: run this inside the repository", start.display()),
    }
}

/// Where cargo puts what it builds; our own state that may be thrown away lives there too.
pub(crate) fn target_dir(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}

/// The cargo that runs us, as a command in the repository's top directory.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cmd = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cmd.current_dir(root);
    // Set by the `cargo run` that started us; it would name this crate to the cargo that we start.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME"] {
        cmd.env_remove(name);
    }
    cmd
}

/// The workspace with every feature but those of explorers and profilers, as arguments for cargo.
///
/// `--all-features` would also build libFuzzer, which takes a C++ compiler and a minute.
pub(crate) fn whole_workspace(root: &Path) -> Result<Vec<String>> {
    let json = output(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let json: serde_json::Value = serde_json::from_str(&json).context("the output of cargo metadata")?;
    let mut features = Vec::new();
    for package in json["packages"].as_array().into_iter().flatten() {
        for feature in package["features"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if feature != "default" && feature != "libfuzzer" {
                features.push(format!("{}/{feature}", package["name"].as_str().unwrap_or_default()));
            }
        }
    }
    Ok(vec!["--workspace".into(), "--features".into(), features.join(",")])
}

/// The command line as a person would type it.
pub(crate) fn shown(cmd: &Command) -> String {
    let mut text =
        Path::new(cmd.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    for arg in cmd.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

/// Whether a program of this name is on PATH (or is a path to one).
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(program).is_file().then(|| PathBuf::from(program));
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Runs with our own stdio; a status other than 0 is an error.
pub(crate) fn run(cmd: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(cmd));
    let status = cmd.stdin(Stdio::null()).status().context(shown(cmd))?;
    if !status.success() {
        fail!("{} ended with {status}", shown(cmd));
    }
    Ok(())
}

/// Runs silently and returns stdout; the error of a failed one quotes its last lines.
pub(crate) fn output(cmd: &mut Command) -> Result<String> {
    output_with_input(cmd, "")
}

/// As [`output`], with a text on stdin. The text must fit a pipe.
pub(crate) fn output_with_input(cmd: &mut Command, input: &str) -> Result<String> {
    let mut child = cmd
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(shown(cmd))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that does not care for its stdin may be gone already.
        let _ = stdin.write_all(input.as_bytes());
    }
    let out = child.wait_with_output().context(shown(cmd))?;
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        fail!("{} ended with {}\n{}", shown(cmd), out.status, tail(&format!("{stdout}{stderr}"), 15));
    }
    Ok(stdout)
}

/// How long what a program printed may still be on its way after its end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs, hands every line of stdout and stderr to `see`, and shows those for which it returns true, as they come. Returns
/// whether the program succeeded.
pub(crate) fn tee(cmd: &mut Command, mut see: impl FnMut(&str) -> bool) -> Result<bool> {
    eprintln!("$ {}", shown(cmd));
    let mut child =
        cmd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context(shown(cmd))?;
    let (sender, lines) = mpsc::channel::<(bool, String)>();
    if let Some(out) = child.stdout.take() {
        forward(out, true, sender.clone());
    }
    if let Some(err) = child.stderr.take() {
        forward(err, false, sender);
    }
    let mut ended: Option<Instant> = None;
    loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok((_, line)) if !see(&line) => {}
            Ok((true, line)) => println!("{line}"),
            Ok((false, line)) => eprintln!("{line}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                // Not every end of file comes: a process that was left behind may hold the pipe for ever.
                if ended.is_none() && child.try_wait().context(shown(cmd))?.is_some() {
                    ended = Some(Instant::now());
                }
                if ended.is_some_and(|at| at.elapsed() > LAST_WORDS) {
                    fail!("{} left a process behind that holds its output", shown(cmd));
                }
            }
        }
    }
    Ok(child.wait().context(shown(cmd))?.success())
}

fn forward(stream: impl Read + Send + 'static, is_stdout: bool, sender: mpsc::Sender<(bool, String)>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_string();
            line.clear();
            if sender.send((is_stdout, text)).is_err() {
                break;
            }
        }
    });
}

/// The last `n` lines of a text.
pub(crate) fn tail(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

/// Writes a file, making the directories above it, with the permission bits `mode`.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).context(dir.display())?;
    }
    std::fs::write(path, text).context(path.display())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).context(path.display())
}

/// Reads a text file, with its name in the error.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(path.display())
}

/// Whether an environment variable is set to something that means yes.
pub(crate) fn flag(name: impl AsRef<OsStr>) -> bool {
    std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0" && v != "false")
}

/// Runs silently and returns stdout and stderr together, and whether it succeeded.
pub(crate) fn tested(cmd: &mut Command) -> Result<(String, bool)> {
    let out = cmd.stdin(Stdio::null()).output().context(shown(cmd))?;
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    Ok((text, out.status.success()))
}
