//! Plays the scenarios against one peer.

use crate::notation::{self, Names, hex};
use crate::records;
use mitogen::{
    Address, Agent, Call, CallChain, Context, ContextId, Error, Local, LogLevel, Policy, RemoteError, Router,
    Service, Value,
};
use serde_json::{Value as Json, json};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that any step may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What was not as expected, a line each.
pub(crate) type Complaints = Vec<String>;

/// One tree of contexts, and the files that they may ask for.
struct Stage {
    router: Router,
    python: PathBuf,
    contexts: BTreeMap<String, Context>,
    /// By name: where it is, and its digest.
    files: BTreeMap<String, (PathBuf, String)>,
    sender: Option<Address>,
    kept: BTreeMap<String, Value>,
    /// What contexts ask.
    _greeter: Service,
}

/// Where the modules of the contexts are.
pub(crate) fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/modules")
}

/// Plays all scenarios: `peer` as the file calls it.
pub(crate) async fn play(peer: &str, agent: Agent, python: &Path, folder: &Path) -> Complaints {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let text = std::fs::read_to_string(here.join("scenarios.json")).expect("the scenarios");
    let file: Json = serde_json::from_str(&text).expect("the scenarios are JSON");
    records::start();
    let router = Router::builder()
        .agent(agent)
        .log_level(LogLevel::Info)
        .module_path(modules())
        .build()
        .expect("a router");
    let mut stage = Stage {
        python: python.to_owned(),
        contexts: BTreeMap::new(),
        files: BTreeMap::new(),
        sender: None,
        kept: BTreeMap::new(),
        _greeter: greeter(&router),
        router,
    };
    stage.make_files(file["files"].as_array().expect("files"), folder);
    stage.make_programs(file["programs"].as_array().expect("programs"), folder);
    let mut complaints = Complaints::new();
    for name in ["child", "sibling", "grandchild"] {
        stage.start(name).await;
    }
    for scenario in file["scenarios"].as_array().expect("scenarios") {
        let fresh: Vec<&str> =
            scenario["fresh"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        for name in &fresh {
            stage.start(name).await;
        }
        for (at, step) in scenario["steps"].as_array().expect("steps").iter().enumerate() {
            if step["skip"].get(peer).is_some() {
                continue;
            }
            let seen = match tokio::time::timeout(DEADLINE, stage.step(step)).await {
                Ok(seen) => seen,
                Err(_) => json!({"timeout": true}),
            };
            let expected = step["differs"].get(peer).map_or(&step["expect"], |differs| &differs["expect"]);
            println!("detail: {peer}: {}, step {at}: {seen}", scenario["name"]);
            if !expected.is_null() && !notation::agrees(expected, &seen, &stage) {
                let name = &scenario["name"];
                complaints
                    .push(format!("{name}, step {at}: {step}\n  expected {expected}\n  seen     {seen}"));
            }
        }
        // Whoever was ended, or had a past, is as new for the next one.
        if fresh.contains(&"child") {
            stage.start("child").await;
            stage.start("grandchild").await;
        }
    }
    if let Err(error) = stage.router.shutdown().await {
        complaints.push(format!("the end of the router: {error}"));
    }
    complaints
}

/// The service that contexts ask: whom it greets, it greets by their name.
fn greeter(router: &Router) -> Service {
    let service = router.serve("interop.greeter", Policy::anyone(), |request| async move {
        match request.method() {
            "greet" => Ok(format!("hello, {}", request.arg::<String>("name")?)),
            "fail" => Err(RemoteError::new("builtins.ValueError", "no greeting")),
            other => Err(request.unknown_method(other)),
        }
    });
    service.expect("a name that is free")
}

impl Stage {
    fn make_programs(&mut self, programs: &[Json], folder: &Path) {
        for program in programs {
            let name = program["name"].as_str().expect("a name");
            let path = folder.join(name);
            std::fs::write(&path, program["text"].as_str().expect("a text")).expect("a file");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
            self.files.insert(name.to_owned(), (path, String::new()));
        }
    }

    fn make_files(&mut self, files: &[Json], folder: &Path) {
        for file in files {
            let name = file["name"].as_str().expect("a name");
            let size = file["size"].as_u64().expect("a size");
            let content: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
            let path = folder.join(name);
            std::fs::write(&path, &content).expect("a file");
            if file["registered"] == json!(true) {
                self.router.files().register(&path).expect("a path that can be registered");
            }
            self.files.insert(name.to_owned(), (path, hex(&Sha1::digest(&content))));
        }
    }

    /// Starts a context anew.
    async fn start(&mut self, name: &str) {
        if let Some(old) = self.contexts.remove(name) {
            // Gone already, perhaps.
            let _ = old.shutdown().await;
        }
        let method = Local::new().python(self.python.to_string_lossy());
        let started = match name {
            "grandchild" => self.contexts["child"].connect(method).await,
            _ => self.router.connect(method).await,
        };
        let context =
            started.unwrap_or_else(|error| panic!("{name} under {}: {error}", self.python.display()));
        self.contexts.insert(name.to_owned(), context);
    }

    fn context(&self, step: &Json) -> Context {
        self.contexts[step["in"].as_str().expect("a context")].clone()
    }

    fn call(&self, step: &Json) -> Call {
        let mut call = Call::new(step["function"].as_str().expect("a function"));
        for arg in step["args"].as_array().expect("arguments") {
            call = call.arg(notation::read(arg, self));
        }
        for (name, value) in step["kwargs"].as_object().into_iter().flatten() {
            call = call.kwarg(name, notation::read(value, self));
        }
        call
    }

    fn result(&self, result: Result<Value, Error>) -> Json {
        match result {
            Ok(value) => json!({ "returned": notation::show(&value, self) }),
            Err(Error::Call(error)) => {
                println!("detail: {:?}", error.traceback);
                let type_name = error.type_name.replacen("exceptions.", "builtins.", 1);
                json!({ "raised": format!("{type_name}: {}", error.message) })
            }
            Err(Error::Lost { .. }) => json!({"lost": true}),
            Err(Error::Connect(_)) => json!({"unborn": true}),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    async fn step(&mut self, step: &Json) -> Json {
        match step["do"].as_str().expect("something to do") {
            "call" => {
                let result = self.context(step).start(self.call(step)).await;
                if let (Some(name), Ok(value)) = (step["keep"].as_str(), &result) {
                    self.kept.insert(name.to_owned(), Value::clone(value));
                }
                self.result(result)
            }
            "cast" => match self.context(step).send(self.call(step)) {
                Ok(()) => Json::Null,
                Err(error) => json!({ "error": error.to_string() }),
            },
            "chain" => {
                let chain: CallChain = self.context(step).chain();
                let calls = step["calls"].as_array().expect("calls");
                let pending: Vec<_> =
                    calls.iter().map(|call| chain.start::<Value>(self.call(call))).collect();
                let mut results = Vec::new();
                for pending in pending {
                    results.push(self.result(pending.await));
                }
                json!({ "results": results })
            }
            "bereave" => {
                let pending = self.context(step).start::<Value>(self.call(step));
                let killed = &self.contexts[step["kill"].as_str().expect("a context")];
                let killed = killed.start::<Value>(Call::new("interop_peer.kill")).await;
                assert!(matches!(killed, Err(Error::Lost { .. })), "{killed:?}");
                self.result(pending.await)
            }
            "birth" => {
                let method = Local::new()
                    .python(self.files[step["python"].as_str().expect("a program")].0.to_string_lossy());
                let born = match step["behind"].as_str() {
                    Some(name) => self.contexts[name].connect(method).await,
                    None => self.router.connect(method).await,
                };
                self.result(born.map(|_| Value::None))
            }
            "imports" => {
                let context = self.context(step);
                drop(records::take_requests());
                let result = self.result(context.start(self.call(step)).await);
                json!({ "result": result, "asked": records::take_requests() })
            }
            "receive" => self.receive(step).await,
            "records" => self.records(step).await,
            "fetch" => self.fetch(step).await.unwrap_or_else(|error| json!({ "error": error.to_string() })),
            "shutdown" => match self.context(step).shutdown().await {
                Ok(()) => Json::Null,
                Err(error) => json!({ "error": error.to_string() }),
            },
            other => panic!("nobody knows how to {other}"),
        }
    }

    async fn receive(&mut self, step: &Json) -> Json {
        let mut receiver = self.router.receiver().expect("a receiver");
        self.sender = Some(receiver.sender().address());
        let pending = self.context(step).start::<Value>(self.call(step));
        let mut received = Vec::new();
        let closed = loop {
            match receiver.recv::<Value>().await {
                Ok(value) => received.push(notation::show(&value, self)),
                Err(Error::ChannelClosed { reason, .. }) => break reason.to_string(),
                Err(error) => break format!("not closed, but: {error}"),
            }
        };
        match pending.await {
            Ok(_) => json!({"received": received, "closed": closed}),
            failed => self.result(failed),
        }
    }

    async fn records(&mut self, step: &Json) -> Json {
        let context = self.context(step);
        let loggers: Vec<&str> =
            step["loggers"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        let id = u64::from(context.id().0);
        drop(records::take(id, &loggers));
        if let Err(error) = context.start::<Value>(self.call(step)).await {
            return self.result(Err(error));
        }
        let records: Vec<Json> = records::take(id, &loggers)
            .into_iter()
            .map(|record| json!([record.logger, record.level, record.text]))
            .collect();
        json!({ "records": records })
    }

    /// A file of the context's, by upstream's protocol, with us as its client.
    async fn fetch(&mut self, step: &Json) -> Result<Json, Error> {
        const SERVICE: &str = "mitogen.service.FileService";
        #[derive(serde::Serialize)]
        struct Fetch {
            path: String,
            sender: Address,
        }
        let context = self.context(step);
        let (path, _) = &self.files[step["path"].as_str().expect("a file")];
        let path = path.to_string_lossy().into_owned();
        let mut receiver = self.router.receiver()?;
        let fetch = Fetch { path, sender: receiver.sender().address() };
        let _metadata: Value = context.call_service(SERVICE, "fetch", &fetch).await?;
        let (mut size, mut digest) = (0, Sha1::new());
        loop {
            let data = match receiver.recv::<Value>().await {
                Ok(Value::Blob(data) | Value::Bytes(data) | Value::Str(data)) => data,
                Err(Error::ChannelClosed { .. }) => break,
                Ok(other) => return Ok(json!({ "chunk": other.kind() })),
                Err(error) => return Err(error),
            };
            size += data.len();
            digest.update(&data);
            let done = BTreeMap::from([("size", data.len())]);
            drop(context.call_service::<Value>(SERVICE, "acknowledge", &done));
        }
        Ok(json!({ "fetched": size, "sha1": hex(&digest.finalize()) }))
    }
}

impl Names for Stage {
    fn value(&self, tag: &str, argument: &Json) -> Option<Value> {
        let name = argument.as_str();
        Some(match tag {
            "context" if matches!(name, Some("master" | "player")) => {
                Value::Context { id: ContextId(0), name: Some("master".to_owned()) }
            }
            "context" => mitogen::to_value(&self.contexts[name?]).expect("a context is a value"),
            "path" => Value::Text(self.files[name?].0.to_string_lossy().into_owned()),
            "sender" => mitogen::to_value(&self.sender?).expect("an address is a value"),
            "kept" => self.kept.get(name?)?.clone(),
            _ => return None,
        })
    }

    fn context(&self, id: ContextId) -> String {
        let found = self.contexts.iter().find(|(_, context)| context.id() == id);
        found.map_or_else(|| format!("unknown {id}"), |(name, _)| name.clone())
    }

    fn digest(&self, file: &str) -> String {
        self.files[file].1.clone()
    }
}
