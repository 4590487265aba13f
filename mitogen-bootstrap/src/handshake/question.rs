//! What the tool asks on its terminal, and the answer.

use super::{Handshake, Output, Phase};
use crate::plan::{Answer, Ask, FailureKind, Pattern, Prompt, Secret, SecretName, Source};

#[derive(Debug)]
pub(super) struct PromptState {
    pub(super) prompt: Prompt,
    /// Its answer was sent: once is all it gets, unless it is fetched anew for each question and no other entry
    /// has an answer to this one.
    pub(super) sent: bool,
    /// The questions that it was fetched for.
    fetched: Vec<String>,
}

impl PromptState {
    pub(super) fn new(prompt: &Prompt) -> PromptState {
        PromptState { prompt: prompt.clone(), sent: false, fetched: Vec::new() }
    }
}

/// What stands on the terminal behind its last line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Maybe a question.
    Open,
    /// A question, with this text, whose answer, for this entry, is being fetched.
    Fetching { index: usize, text: String },
    /// It was answered; the tool ends its line before it asks again.
    Answered,
}

/// What the prompts make of a text.
enum Hit {
    Entry(usize),
    /// One of them would, if the text is not about to grow.
    Maybe,
    Nothing,
}

impl Handshake {
    pub(super) fn consider_question(&mut self, echo: bool, quiet: bool) {
        // Behind the first marker nobody asks us any more.
        if self.phase() != Phase::Login && self.phase() != Phase::Interpreter
            || self.question != Question::Open
        {
            return;
        }
        let text = self.lines.partial(Source::Terminal);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match self.find_prompt(text, echo, quiet) {
            Hit::Entry(index) => self.answer(index, text),
            Hit::Maybe => {}
            // What is to be known by its text may still be on its way.
            Hit::Nothing if quiet && !echo => self.fail_asked(),
            Hit::Nothing if quiet => {
                self.fail(
                    FailureKind::UnexpectedPrompt,
                    Some("answer it once by hand, or change the option that makes the tool ask".into()),
                );
            }
            Hit::Nothing => {}
        }
    }

    /// A line feed came: what stood there asks no more.
    pub(super) fn end_question(&mut self) {
        let ended = std::mem::replace(&mut self.question, Question::Open);
        if let Question::Fetching { index, text } = ended {
            // It was not answered: should it come again, that says nothing about a secret.
            self.prompts[index].fetched.retain(|question| *question != text);
        }
    }

    fn find_prompt(&self, text: &str, echo: bool, quiet: bool) -> Hit {
        let mut undecided = false;
        for (index, state) in self.prompts.iter().enumerate() {
            let pattern = match &state.prompt.ask {
                Ask::Hidden | Ask::HiddenLike(_) if echo => continue,
                Ask::Hidden => None,
                Ask::HiddenLike(pattern) | Ask::Like(pattern) => Some(pattern),
            };
            if pattern.is_none_or(|pattern| pattern.matches(text)) {
                // A longer question may be growing here, that an earlier entry wants, or not even this one.
                // Whoever fetches a secret is to see all of it.
                let fetches = matches!(state.prompt.answer, Answer::Fetch(_));
                if !quiet && (undecided || fetches || pattern.is_some_and(Pattern::minds_end)) {
                    return Hit::Maybe;
                }
                return Hit::Entry(self.unspent(index));
            }
            undecided |= pattern.is_some_and(|pattern| pattern.may_become(text) || pattern.minds_end());
        }
        Hit::Nothing
    }

    /// This entry, or the next with the same `ask` if this one has sent what it had. The last, if all have.
    fn unspent(&self, index: usize) -> usize {
        let ask = &self.prompts[index].prompt.ask;
        let mut last = index;
        for (at, state) in self.prompts.iter().enumerate().skip(index) {
            if state.prompt.ask == *ask {
                last = at;
                if !state.sent {
                    break;
                }
            }
        }
        last
    }

    fn answer(&mut self, index: usize, text: &str) {
        let state = &mut self.prompts[index];
        match &state.prompt.answer {
            Answer::Fail(kind, advice) => {
                let (kind, advice) = (kind.clone(), advice.clone());
                self.fail(kind, Some(advice));
            }
            Answer::Secret(_) if state.sent => self.fail_wrong(index),
            Answer::Secret(secret) => {
                let secret = secret.clone();
                self.send_secret(index, secret);
            }
            Answer::Fetch(_) if state.fetched.iter().any(|before| before == text) => self.fail_wrong(index),
            Answer::Fetch(name) => {
                let (name, question) = (name.clone(), text.to_owned());
                state.fetched.push(question.clone());
                self.question = Question::Fetching { index, text: question.clone() };
                self.outputs.push_back(Output::FetchSecret { name, question });
            }
            Answer::Say(_) if state.sent => {
                let hint = "the tool asks again what was answered before";
                self.fail(FailureKind::UnexpectedPrompt, Some(hint.into()));
            }
            Answer::Say(answer) => {
                let answer = answer.clone();
                state.sent = true;
                self.question = Question::Answered;
                self.outputs.push_back(Output::SendText(answer));
            }
        }
    }

    /// Brings what [`Output::FetchSecret`] asked for; `None` when there is none.
    pub fn handle_secret(&mut self, secret: Option<Secret>) {
        if !self.is_waiting() {
            return;
        }
        let Question::Fetching { index, text } = std::mem::replace(&mut self.question, Question::Open) else {
            return;
        };
        if self.lines.partial(Source::Terminal).trim() != text {
            // The tool has stopped waiting for it: whoever reads there now must not have it.
            return;
        }
        match (secret, &self.prompts[index].prompt.answer) {
            (Some(secret), _) => self.send_secret(index, secret),
            (None, Answer::Fetch(name)) => {
                let name = name.clone();
                self.fail_refused(name);
            }
            (None, _) => {}
        }
    }

    fn send_secret(&mut self, index: usize, secret: Secret) {
        self.prompts[index].sent = true;
        self.note_sent(secret.name().clone());
        self.question = Question::Answered;
        self.lines.blot(secret.expose());
        self.outputs.push_back(Output::SendSecret(secret));
    }

    pub(super) fn note_sent(&mut self, name: SecretName) {
        self.sent.retain(|before| *before != name);
        self.sent.push(name);
    }

    /// All that was sent: a tool that refuses two answers does not say which of them was wrong.
    pub(super) fn all_sent(&self) -> Option<SecretName> {
        let names: Vec<&str> = self.sent.iter().map(|name| name.0.as_str()).collect();
        (!names.is_empty()).then(|| SecretName(names.join(" or ")))
    }

    /// The question of this entry came again.
    pub(super) fn fail_wrong(&mut self, index: usize) {
        let prompt = &self.prompts[index].prompt;
        let own = match &prompt.answer {
            Answer::Secret(secret) => Some(secret.name().clone()),
            Answer::Fetch(name) => Some(name.clone()),
            _ => None,
        };
        // Nothing was sent in between, and nothing else to the same question: then it was this one.
        let alone = self.prompts.iter().filter(|other| other.prompt.ask == prompt.ask).count() == 1;
        let name = own.clone().filter(|_| alone && self.sent.last() == own.as_ref());
        let Some(name) = name.or_else(|| self.all_sent()).or(own) else { return };
        if !self.fail_expired() {
            let mut hint = format!("check the {name}: it was asked for again after it had been sent");
            if name.0 == "password" {
                // To a tool that asks all its questions in the same words a code is nothing else.
                hint.push_str("; for an account that wants a code too, give a second factor");
            }
            self.fail(FailureKind::WrongSecret(name), Some(hint));
        }
    }

    /// An expired password is asked for again, too; the text tells.
    fn fail_expired(&mut self) -> bool {
        let expired = self.judge(|rule| rule.kind == FailureKind::PasswordExpired);
        expired.map(|(kind, advice)| self.fail(kind, Some(advice))).is_some()
    }

    /// It was to be fetched, and was not to be had.
    pub(super) fn fail_refused(&mut self, name: SecretName) {
        let hint = format!("the {name} was asked for, and not given");
        self.fail(FailureKind::SecretNeeded(name), Some(hint));
    }

    /// The tool waits for a secret that no prompt of the plan knows.
    pub(super) fn fail_asked(&mut self) {
        if !self.fail_expired() {
            let name = SecretName("password".into());
            self.fail(FailureKind::SecretNeeded(name), Some("give the secret that the tool asks for".into()));
        }
    }

    /// The question that ended an attempt elsewhere would have had its secret fetched: that was `refused`, or
    /// was done before for the same question.
    pub(super) fn recall_question(&mut self, echo: bool, refused: bool) {
        let text = self.lines.partial(Source::Terminal);
        let Hit::Entry(index) = self.find_prompt(text.trim(), echo, true) else { return };
        let state = &self.prompts[index];
        match &state.prompt.answer {
            Answer::Fetch(name) if refused => self.fail_refused(name.clone()),
            Answer::Fetch(_) if state.sent => self.fail_wrong(index),
            _ => {}
        }
    }
}
