//! A plan as a message: asks a context to carry it out, and to be the parent of what is born.
//!
//! The receiver has the agent's constant part already (its own preserved copy), so what travels is
//! the plan, the first stage in front of that part and the configuration behind it. Python then
//! only does and reports; what a failure means is found out here (see
//! [`RunReport`](crate::handshake::RunReport)).

use crate::Preamble;
use crate::handshake::NOISE_LIMIT;
use crate::plan::{Answer, Ask, BootPlan, Comms, EnvChange, Pattern, Stderr};
use bytes::Bytes;
use mitogen_wire::pickle::{self, PickleError};
use mitogen_wire::{ContextId, Encoding, Handle, Secret, SessionKey, Value};
use std::time::Duration;

/// Asks a context to start another one.
///
/// On the wire: a pickled dict with the text keys `id`, `name`, `argv`, `env` (pairs of a name and
/// a value or None), `wiring` (`pipes`, `merged`, `prompt` or `pty`), `logs_in`, `head`, `tail`,
/// `key` (empty for unsigned frames), `secrets`, `timeout` (seconds) and `noise_cap` (bytes).
///
/// Each of `secrets` is a dict with `source` (`hidden`: only while the terminal does not echo;
/// `any`), `prompt` (text that the question contains, empty for any question) and `value`: a
/// `Secret` or a text to send, once; True where the secret is to be fetched, once for each question; or
/// None where the attempt must end with the reason `asked`. `more` lists further texts that the question
/// must contain. They are tried in their order; an entry with an empty `prompt`, one whose secret is to be
/// fetched, and one with `wait` True have to wait for a moment of silence, so that a question still being
/// written is not taken for another.
///
/// A secret is fetched with a message to handle `vault` of context 0 (0 where none is to be fetched): a
/// pickled pair of the entry's index and the question. The answer is a `Secret`, or None.
#[derive(Clone, Copy, Debug)]
pub struct RunPlan<'a> {
    /// The new context.
    pub id: ContextId,
    /// Its name.
    pub name: &'a str,
    /// How it is started.
    pub plan: &'a BootPlan,
    /// What it is fed.
    pub preamble: &'a Preamble,
    /// The key of its link to its parent, if frames are signed there.
    pub key: Option<&'a SessionKey>,
    /// How long the attempt may take.
    pub timeout: Duration,
    /// Where secrets are fetched that the plan does not hold, if there are any.
    pub fetch: Option<Handle>,
}

impl RunPlan<'_> {
    /// Where it goes. A private handle: only our own agent listens there.
    pub const HANDLE: Handle = Handle(200);

    /// The dict.
    pub fn to_value(&self) -> Value {
        let Self { plan, preamble, .. } = self;
        let env = plan.env.iter().map(|change| match change {
            EnvChange::Set(name, value) => Value::Tuple(vec![bytes(name), bytes(value)]),
            EnvChange::Unset(name) => Value::Tuple(vec![bytes(name), Value::None]),
        });
        dict([
            ("id", self.id.0.into()),
            ("name", text(self.name)),
            ("argv", Value::List(plan.argv.iter().map(|word| bytes(word)).collect())),
            ("env", Value::List(env.collect())),
            ("wiring", text(wiring(plan))),
            ("logs_in", Value::Bool(plan.logs_in)),
            ("head", Value::Str(Bytes::copy_from_slice(preamble.head()))),
            ("tail", Value::Str(Bytes::copy_from_slice(preamble.tail()))),
            ("key", text(self.key.map_or("", SessionKey::expose))),
            ("secrets", Value::List(plan.prompts.iter().map(|p| secret(&p.ask, &p.answer)).collect())),
            ("timeout", Value::Float(self.timeout.as_secs_f64())),
            ("vault", self.fetch.map_or(0, |handle| handle.0).into()),
            ("noise_cap", (NOISE_LIMIT as u64).into()),
        ])
    }

    /// Pickles the dict.
    ///
    /// # Errors
    /// As [`pickle::write`].
    pub fn encode(&self) -> Result<(Encoding, Bytes), PickleError> {
        Ok((Encoding::Pickle, pickle::write(&self.to_value())?))
    }
}

fn wiring(plan: &BootPlan) -> &'static str {
    match (plan.wiring.comms, plan.wiring.terminal, plan.wiring.stderr) {
        (Comms::Pty, ..) => "pty",
        (_, true, _) => "prompt",
        (_, false, Stderr::Merged) => "merged",
        _ => "pipes",
    }
}

fn secret(ask: &Ask, answer: &Answer) -> Value {
    let (source, pattern) = match ask {
        Ask::Hidden => ("hidden", None),
        Ask::HiddenLike(pattern) => ("hidden", Some(pattern)),
        Ask::Like(pattern) => ("any", Some(pattern)),
    };
    let mut parts = pattern.map(parts).unwrap_or_default().into_iter();
    let value = match answer {
        Answer::Secret(secret) => Value::Secret(Secret::new(secret.expose())),
        Answer::Say(answer) => text(answer),
        Answer::Fetch(_) => Value::Bool(true),
        Answer::Fail(..) => Value::None,
    };
    dict([
        ("source", text(source)),
        ("prompt", text(parts.next().unwrap_or_default())),
        ("more", Value::List(parts.map(text).collect())),
        ("wait", Value::Bool(pattern.is_some_and(Pattern::minds_end))),
        ("value", value),
    ])
}

/// All texts that a pattern wants. Where in the line is checked when a failure is judged.
fn parts(pattern: &Pattern) -> Vec<&str> {
    let parts = [&pattern.whole, &pattern.prefix].into_iter().flatten();
    parts.chain(&pattern.contains).chain(&pattern.suffix).map(String::as_str).collect()
}

fn dict<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Dict(pairs.into_iter().map(|(key, value)| (text(key), value)).collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn bytes(text: &str) -> Value {
    Value::Str(Bytes::copy_from_slice(text.as_bytes()))
}
