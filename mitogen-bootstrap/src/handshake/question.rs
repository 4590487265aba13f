//! What the tool asks on its terminal, and the answer.

use super::{Handshake, Output, Phase};
use crate::plan::{Answer, Ask, FailureKind, Prompt, SecretName, Source};

#[derive(Debug)]
pub(super) struct PromptState {
    pub(super) prompt: Prompt,
    /// Its secret was sent: once is all it gets.
    pub(super) sent: bool,
}

/// What stands on the terminal behind its last line feed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Maybe a question.
    Open,
    /// It was answered; the tool ends its line before it asks again.
    Answered,
}

impl Handshake {
    pub(super) fn consider_question(&mut self, echo: bool, quiet: bool) {
        // Behind the first marker nobody asks us any more.
        if self.phase() != Phase::Login && self.phase() != Phase::Interpreter
            || self.question == Question::Answered
        {
            return;
        }
        let text = self.lines.partial(Source::Terminal);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let mut undecided = false;
        let mut hit = None;
        for (index, state) in self.prompts.iter().enumerate() {
            let matches = match &state.prompt.ask {
                Ask::Hidden => !echo,
                Ask::HiddenLike(pattern) => !echo && pattern.matches(text),
                Ask::Like(pattern) => pattern.matches(text),
            };
            if matches {
                hit = Some(index);
                break;
            }
            undecided |= match &state.prompt.ask {
                Ask::Hidden => false,
                Ask::HiddenLike(p) | Ask::Like(p) => p.may_become(text),
            };
        }
        match hit {
            // A longer question may be growing here that an earlier entry wants.
            Some(_) if undecided && !quiet => {}
            Some(index) => self.answer(index),
            None if !echo => self.fail_asked(),
            None if quiet => {
                self.fail(
                    FailureKind::UnexpectedPrompt,
                    Some("answer it once by hand, or change the option that makes the tool ask".into()),
                );
            }
            None => {}
        }
    }

    fn answer(&mut self, index: usize) {
        let state = &mut self.prompts[index];
        match &state.prompt.answer {
            Answer::Fail(kind, advice) => {
                let (kind, advice) = (kind.clone(), advice.clone());
                self.fail(kind, Some(advice));
            }
            Answer::Secret(secret) if state.sent => {
                let name = secret.name().clone();
                // An expired password is asked for again, too; the text tells.
                match self.judge(|rule| rule.kind == FailureKind::PasswordExpired) {
                    Some((kind, advice)) => self.fail(kind, Some(advice)),
                    None => {
                        let hint = format!("check the {name}: it was asked for again after it had been sent");
                        self.fail(FailureKind::WrongSecret(name), Some(hint));
                    }
                }
            }
            Answer::Secret(secret) => {
                state.sent = true;
                let secret = secret.clone();
                self.last_sent = Some(secret.name().clone());
                self.question = Question::Answered;
                self.lines.blot(secret.expose());
                self.outputs.push_back(Output::SendSecret(secret));
            }
        }
    }

    /// The tool waits for a secret that no prompt of the plan knows.
    pub(super) fn fail_asked(&mut self) {
        let name = SecretName("password".into());
        self.fail(FailureKind::SecretNeeded(name), Some("give the secret that the tool asks for".into()));
    }
}
