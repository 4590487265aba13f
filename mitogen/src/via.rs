//! Contexts behind contexts: plans that another context carries out.

use crate::attempt::Attempt;
use crate::context::Context;
use crate::error::Error;
use crate::hub::Reply;
use crate::info::ContextInfo;
use crate::link::{Birth, draw_birth};
use crate::protocol_log;
use crate::receiver::Receiver;
use mitogen_bootstrap::handshake::{Failure, Phase, RunReport};
use mitogen_bootstrap::plan::Answer;
use mitogen_bootstrap::plan_message::RunPlan;
use mitogen_router::Access;
use mitogen_transport::{BootPlan, ConnectError, Credentials, FailureKind, Method};
use mitogen_wire::body::CallResult;
use mitogen_wire::{ContextId, Message, Secret, Value};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How much longer than the attempt itself its answer may take: the way there and back, the loading of
/// the agent's parent half, and the killing of what was started.
const SLACK: Duration = Duration::from_secs(5);

/// What a child of `via` is called: as its parents know it, behind its parent's name.
pub(crate) fn child_name(via: &ContextInfo, method: &Method) -> Arc<str> {
    let own = method.name().map_or_else(|| method.hop(), str::to_owned);
    Arc::from(format!("{}.{own}", via.name))
}

/// Has `via` start a context.
pub(crate) async fn connect(via: &Context, method: Method) -> Result<Context, Error> {
    let shared = &via.shared;
    if shared.upstream.is_some() {
        return crate::upstream::chain::connect(via, method).await;
    }
    let plan = method.plan();
    let timeout = method.connect_timeout().unwrap_or(shared.settings.connect_timeout);
    let name = child_name(&via.info, &method);
    let id = shared.allocate_id(Some(via.id()))?;
    let info = Arc::new(ContextInfo::new(id, name, plan.hop.clone(), Some(Arc::clone(&via.info))));
    let Birth { key, preamble } = draw_birth(shared, &info, via.info.lineage())?;
    // Who asks for secrets that are fetched; closed when the attempt is over.
    let mut questions = match method.credentials().fetches() {
        true => Some(Receiver::open(shared, None, Access::Anyone)?),
        false => None,
    };
    let fetch = questions.as_ref().map(Receiver::handle);
    let run =
        RunPlan { id, name: &info.name, plan: &plan, preamble: &preamble, key: key.as_ref(), timeout, fetch };
    let body = run.encode().map_err(|error| Error::Encode {
        what: format!("the plan of {}", plan.hop),
        message: error.to_string(),
    })?;
    protocol_log::connecting(id, &plan.hop, Some(via.name()), &plan.argv);
    let started = Instant::now();
    crate::equip::equip(shared, &via.info)?;
    let mut attempt = Attempt::start(shared, Arc::clone(&info), via.id(), RunPlan::HANDLE, body)?;
    let answered = async {
        tokio::select! {
            biased;
            reply = attempt.answered() => reply,
            never = fetch_secrets(via.id(), &plan, method.credentials(), &mut questions) => match never {},
        }
    };
    let Ok(reply) = tokio::time::timeout(timeout + SLACK, answered).await else {
        // Dropped, it ends the context should it be born yet.
        return Err(no_answer(&plan, via, started.elapsed()));
    };
    attempt.finish();
    match reply {
        Some(Reply::Message(message)) => judge(&plan, via, &message)?,
        Some(Reply::Closed(closed)) => return Err(crate::call::closed_error(&via.info, closed)),
        None => return Err(Error::Closed),
    }
    // Its route was announced on the same way, before the answer.
    shared.context(id).ok_or_else(|| info.lost_error())
}

/// Answers the questions that the context which makes the attempt cannot.
async fn fetch_secrets(
    via: ContextId,
    plan: &BootPlan,
    credentials: &Credentials,
    questions: &mut Option<Receiver>,
) -> Infallible {
    let Some(questions) = questions else { return std::future::pending().await };
    // It closes with the router; whoever waits for the attempt sees that too.
    while let Ok(incoming) = questions.next().await {
        if incoming.from() != via {
            continue;
        }
        let Ok((index, question)) = incoming.decode::<(usize, String)>() else { continue };
        let secret = match plan.prompts.get(index).map(|prompt| &prompt.answer) {
            Some(Answer::Fetch(name)) => credentials.get(&plan.hop, name, &question).await,
            _ => None,
        };
        let value = secret.map_or(Value::None, |secret| Value::Secret(Secret::new(secret.expose())));
        // Fails when the context is gone, and the attempt with it.
        let _ = incoming.reply(value);
    }
    std::future::pending().await
}

fn judge(plan: &BootPlan, via: &Context, answer: &Message) -> Result<(), Error> {
    let unreadable = |error: mitogen_wire::body::BodyError| Error::Decode {
        what: format!("connection of {}", plan.hop),
        message: error.to_string(),
    };
    let value = match CallResult::decode(answer).map_err(unreadable)? {
        CallResult::Returned(value) => value,
        CallResult::Raised(error) => return Err(Error::Call(error.into())),
    };
    let RunReport { elapsed, failure } = RunReport::read(plan, &value).map_err(unreadable)?;
    match failure {
        None => Ok(()),
        Some(failure) => Err(ConnectError::new(plan, Some(via.name().to_owned()), *failure, elapsed).into()),
    }
}

fn no_answer(plan: &BootPlan, via: &Context, elapsed: Duration) -> Error {
    let failure = Failure {
        phase: Phase::Spawn,
        kind: FailureKind::TimedOut,
        exit: None,
        lines: Vec::new(),
        hint: Some(format!("{} does not answer; is it stopped, or its link stalled?", via.name())),
    };
    ConnectError::new(plan, Some(via.name().to_owned()), failure, elapsed).into()
}
