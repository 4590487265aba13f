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
/// `Secret` to send, once, or None where the attempt must end with the reason `asked`. They are
/// tried in their order; an entry with an empty `prompt` has to wait for a moment of silence, so
/// that a question still being written is not taken for another.
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
    let (source, prompt) = match ask {
        Ask::Hidden => ("hidden", ""),
        Ask::HiddenLike(pattern) => ("hidden", telling_part(pattern)),
        Ask::Like(pattern) => ("any", telling_part(pattern)),
    };
    let value = match answer {
        Answer::Secret(secret) => Value::Secret(Secret::new(secret.expose())),
        Answer::Fail(..) => Value::None,
    };
    dict([("source", text(source)), ("prompt", text(prompt)), ("value", value)])
}

/// The part of a pattern that tells most. That the others hold too is checked when a failure is judged.
fn telling_part(pattern: &Pattern) -> &str {
    let parts = [&pattern.whole, &pattern.prefix].into_iter().flatten();
    parts.chain(&pattern.contains).chain(&pattern.suffix).next().map_or("", String::as_str)
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
