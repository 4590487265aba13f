//! Contexts behind contexts of upstream's: what starts them is upstream's own code, told by the names of its options.

use crate::call::Call;
use crate::context::Context;
use crate::error::Error;
use crate::info::ContextInfo;
use crate::protocol_log;
use crate::via::child_name;
use mitogen_bootstrap::handshake::Failure;
use mitogen_bootstrap::plan::Source;
use mitogen_transport::{BootPlan, ConnectError, FailureKind, Method, Phase, SecretName, SeenLine};
use mitogen_wire::{ContextId, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How much longer than the attempt itself its answer may take.
const SLACK: Duration = Duration::from_secs(5);

/// Has `via` start a context.
pub(crate) async fn connect(via: &Context, method: Method) -> Result<Context, Error> {
    let plan = method.plan();
    let timeout = method.connect_timeout().unwrap_or(via.shared.settings.connect_timeout);
    let started = Instant::now();
    let (upstream, options) = method.for_upstream().map_err(|error| {
        let failure = failure(&plan, FailureKind::ToolUsage, error.to_string(), None);
        ConnectError::new(&plan, Some(via.name().to_owned()), failure, started.elapsed())
    })?;
    protocol_log::connecting(via.id(), &plan.hop, Some(via.name()), &[format!("({upstream} of upstream's)")]);
    let mut options: Vec<(String, Value)> =
        options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in [
        ("connect_timeout", Value::Float(timeout.as_secs_f64())),
        ("debug", Value::Bool(false)),
        ("profiling", Value::Bool(false)),
        ("unidirectional", Value::Bool(via.shared.settings.unidirectional)),
    ] {
        options.push((name.to_owned(), value));
    }
    let call = Call::new("mitogen.parent._proxy_connect")
        .kwarg("name", method.name())
        .kwarg("method_name", upstream)
        .kwarg("kwargs", Value::Kwargs(options))
        .timeout(timeout + SLACK);
    let name = child_name(&via.info, &method);
    let (answer, answered) = oneshot::channel();
    // The attempt outlives whoever waits for it, so that what comes of it is ended if nobody does.
    let (parent, hop) = (via.clone(), plan.hop.clone());
    tokio::spawn(async move {
        let outcome = match parent.start::<Value>(call).await {
            Ok(report) => born(&parent, name, hop, &report),
            Err(error) => Err(Trouble::Error(error)),
        };
        if let Err(Ok(unwanted)) = answer.send(outcome) {
            // It is gone already when this fails.
            let _ = unwanted.shutdown().await;
        }
    });
    match answered.await {
        Ok(Ok(context)) => Ok(context),
        Ok(Err(Trouble::Told(text))) => {
            let failure = failure(&plan, kind(&text), text, plan.hint.clone());
            Err(ConnectError::new(&plan, Some(via.name().to_owned()), failure, started.elapsed()).into())
        }
        Ok(Err(Trouble::Error(Error::Timeout { .. }))) => Err(silent(&plan, via, started.elapsed())),
        Ok(Err(Trouble::Error(error))) => Err(error),
        Err(_) => Err(Error::Closed),
    }
}

/// Why there is no context.
#[derive(Debug)]
enum Trouble {
    /// What the context that made the attempt says.
    Told(String),
    Error(Error),
}

/// The context that a report names. Its route came before the report, on the same way.
fn born(parent: &Context, name: Arc<str>, hop: String, report: &Value) -> Result<Context, Trouble> {
    let unreadable = || {
        let message = format!("the report of a connection is no dict, but {}", report.kind());
        Trouble::Error(Error::Decode { what: "mitogen.parent._proxy_connect".to_owned(), message })
    };
    let Value::Dict(pairs) = report else { return Err(unreadable()) };
    let field = |name: &str| pairs.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value);
    if let Some(text) = field("msg").and_then(Value::as_str) {
        return Err(Trouble::Told(text.to_owned()));
    }
    let id =
        field("id").and_then(Value::as_i64).and_then(|id| u32::try_from(id).ok()).ok_or_else(unreadable)?;
    let id = ContextId(id);
    let info = Arc::new(ContextInfo::new(id, name, hop, Some(Arc::clone(&parent.info))));
    match parent.shared.apply(|hub| hub.learn(Arc::clone(&info))) {
        true => Ok(Context { shared: Arc::clone(&parent.shared), info }),
        false => Err(Trouble::Error(info.lost_error())),
    }
}

fn failure(plan: &BootPlan, kind: FailureKind, text: String, hint: Option<String>) -> Failure {
    let lines = text.lines().map(|line| SeenLine { source: Source::Stderr, text: line.to_owned() }).collect();
    // How far it came is not told.
    let phase = if plan.logs_in { Phase::Login } else { Phase::Interpreter };
    Failure { phase, kind, exit: None, lines, hint }
}

fn silent(plan: &BootPlan, via: &Context, elapsed: Duration) -> Error {
    let hint = Some(format!("{} does not answer; is it stopped, or its link stalled?", via.name()));
    let failure = failure(plan, FailureKind::TimedOut, String::new(), hint);
    ConnectError::new(plan, Some(via.name().to_owned()), failure, elapsed).into()
}

/// What upstream's own words mean.
fn kind(text: &str) -> FailureKind {
    let password = || SecretName("password".to_owned());
    let says = |part: &str| text.contains(part);
    match () {
        () if says("Connection timed out.") => FailureKind::TimedOut,
        () if says("password is incorrect") => FailureKind::WrongSecret(password()),
        () if says("password is required") || says("none specified") => FailureKind::SecretNeeded(password()),
        () if says("authentication is incorrect") => FailureKind::AuthRefused,
        () if says("Host key checking is enabled") => FailureKind::HostKeyUnknown,
        () if says("Child start failed") => FailureKind::Io,
        () => FailureKind::Ended,
    }
}
