//! Why a birth failed: the tool's exit and its last words, read by the plan's rules.

use super::{Exit, Failure, Handshake, Output, Phase, State};
use crate::command::NO_INPUT;
use crate::handshake_lines::SeenLine;
use crate::plan::{FailureKind, FailureRule};

impl Handshake {
    pub(super) fn conclude_if_over(&mut self) {
        if self.exit.is_some() && !self.open.stdout && !self.open.stderr && !self.open.terminal {
            self.conclude();
        }
    }

    /// The tool is gone: find out why.
    pub(super) fn conclude(&mut self) {
        let exit = self.exit;
        let status = match exit {
            Some(Exit::Status(status)) => Some(status),
            _ => None,
        };
        if self.found_nothing {
            return self.fail_no_interpreter();
        }
        let phase = self.phase();
        if phase <= Phase::Interpreter
            && let Some((kind, advice)) = self.judge(|rule| rule.status.is_none() || rule.status == status)
        {
            return match (kind, self.all_sent()) {
                (FailureKind::AuthRefused | FailureKind::SecretNeeded(_), Some(name)) => {
                    let advice = format!("check the {name}, and what else is demanded there");
                    self.fail(FailureKind::WrongSecret(name), Some(advice));
                }
                (kind, _) => self.fail(kind, Some(advice)),
            };
        }
        let said = |start: &str| self.lines.any(|line| line.starts_with(start));
        // Python's last words when it does not find its own library: of 3 and of 2.
        let homeless = said("Fatal Python error: ") || said("ImportError: No module named site");
        let crashed = phase >= Phase::FirstStage && (homeless || said("Traceback ("));
        let starved = phase == Phase::FirstStage && status == Some(NO_INPUT);
        match status {
            Some(0) if self.open.stdout => self.fail_background(),
            Some(126 | 127) if phase <= Phase::FirstStage => {
                let hint = "check the interpreter's path on the target".to_owned();
                let phase =
                    if self.is_passed_on(127) { Phase::Interpreter } else { phase.min(Phase::Interpreter) };
                self.fail_in(phase, FailureKind::Exec, Some(hint));
            }
            _ if starved => {
                let hint = "the tool must pass its standard input on (with ssh: the option StdinNull=no), \
                            and login scripts must leave it open";
                self.fail(FailureKind::NoInput, Some(hint.into()));
            }
            _ if crashed => {
                let hint = match homeless {
                    // The same one has run the first stage, which imports no site module.
                    true if phase >= Phase::Agent => {
                        "the interpreter ends while it starts: look at sitecustomize, .pth files and PYTHONPATH"
                    }
                    true => "the interpreter does not find its library: are PYTHONHOME and PYTHONPATH right?",
                    false => "the words above are the interpreter's; is its standard library whole?",
                };
                self.fail(FailureKind::AgentCrashed, Some(hint.into()));
            }
            Some(status) if phase == Phase::Login && self.is_passed_on(status) => {
                // Whoever was about to leave to the background may have been ended with the tool.
                let hint = match status {
                    0 => {
                        "the account may have a shell that does nothing; \
                         with ssh: the option ForkAfterAuthentication=no"
                    }
                    _ => {
                        "the account may have no shell (nologin), be limited to one command (sftp), \
                         or have a login script that fails"
                    }
                };
                self.fail_in(Phase::Interpreter, FailureKind::NotRun, Some(hint.into()));
            }
            _ => {
                let hint = self.hint.clone();
                self.fail(FailureKind::Ended, hint);
            }
        }
    }

    /// Whether the status is that of what the tool ran, and none of the tool's own.
    fn is_passed_on(&self, status: i32) -> bool {
        let mut own = self.rules.iter().filter_map(|rule| rule.status).peekable();
        own.peek().is_some() && own.all(|own| own != status)
    }

    pub(super) fn fail_no_interpreter(&mut self) {
        let hint = "install python3 on the target, or name its interpreter".to_owned();
        self.fail_in(Phase::Interpreter, FailureKind::NoInterpreter, Some(hint));
    }

    /// The tool has ended, and somebody goes on in its place who is not our child.
    pub(super) fn fail_background(&mut self) {
        let hint = "the tool must stay in the foreground; with ssh: the option ForkAfterAuthentication=no";
        self.fail(FailureKind::Background, Some(hint.into()));
    }

    /// The verdict of the last line that one of the admitted rules matches.
    pub(super) fn judge(&self, admit: impl Fn(&FailureRule) -> bool) -> Option<(FailureKind, String)> {
        let lines = self.lines.merged();
        let place =
            |rule: &FailureRule, line: &SeenLine| rule.source.is_none_or(|source| source == line.source);
        let at = |rule: &FailureRule, line: &SeenLine| place(rule, line) && rule.line.matches(&line.text);
        let verdict = |last_resort: bool| {
            lines.iter().enumerate().rev().find_map(|(index, line)| {
                let also = |rule: &FailureRule| {
                    rule.also.as_ref().is_none_or(|also| {
                        lines[..=index].iter().any(|l| place(rule, l) && also.matches(&l.text))
                    })
                };
                let mut rules = self.rules.iter().filter(|rule| rule.line.is_empty() == last_resort);
                let rule = rules.find(|rule| admit(rule) && at(rule, line) && also(rule))?;
                Some((rule.kind.clone(), rule.advice.clone()))
            })
        };
        verdict(false).or_else(|| verdict(true))
    }

    pub(super) fn fail(&mut self, kind: FailureKind, hint: Option<String>) {
        self.fail_in(self.phase(), kind, hint);
    }

    pub(super) fn fail_in(&mut self, phase: Phase, kind: FailureKind, hint: Option<String>) {
        if !self.is_waiting() {
            return;
        }
        self.note_noise();
        if let State::Waiting { scanner, .. } = &self.state {
            let held = scanner.held().to_vec();
            self.lines.feed(self.comms, &held);
        }
        self.state = State::Over;
        let hint = hint.filter(|h| !h.is_empty()).or_else(|| self.hint.clone());
        let lines = self.lines.merged();
        self.outputs.push_back(Output::Failed(Box::new(Failure {
            phase,
            kind,
            exit: self.exit,
            lines,
            hint,
        })));
    }

    pub(super) fn fail_noise(&mut self) {
        let hint = "something prints a lot before the interpreter starts: look at the login scripts";
        self.fail(FailureKind::Noise, Some(hint.into()));
    }
}
