//! `mitogen doctor`: connects phase by phase, and says how each one went.

use super::{Gave, Work};
use crate::{
    cli::Common,
    console::{Paint, harmless},
    destination::Destination,
    failure::phase_name,
    fleet::Place,
    json,
    outcome::{Answer, Failure, Kind},
    target::Hop,
};
use mitogen::{Context, Error, FailureKind, Method, Phase, Router};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// How one phase went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    phase: &'static str,
    verdict: Verdict,
    /// How long it took; absent when it was not reached, was part of another, or there was nothing to do.
    took: Option<Duration>,
    /// What was seen.
    detail: Option<String>,
    /// The last lines seen, of a phase that failed.
    seen: Vec<String>,
    /// What to try.
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Failed,
    /// There was nothing to do.
    None,
    /// An earlier phase failed.
    NotReached,
}

/// The phases, in their order.
const PHASES: [&str; 6] = ["resolve", "auth", "interpreter", "first stage", "agent", "first call"];
/// What the time of a login includes.
const LOGIN: &str = "with the login shell, which looks for an interpreter";
const RESOLVE: usize = 0;
const AUTH: usize = 1;
const INTERPRETER: usize = 2;
const AGENT: usize = 4;
const FIRST_CALL: usize = 5;

/// The examination of targets.
pub(crate) struct Doctor {
    /// What `ssh -G` is given, in front of the destination.
    ssh_args: Vec<String>,
    timeout: Option<Duration>,
}

impl Doctor {
    /// An examination under these options.
    pub(crate) fn new(common: &Common) -> Self {
        let config = common.ssh_config.iter().flat_map(|file| ["-F".to_owned(), file.display().to_string()]);
        let options = common.ssh_option.iter().flat_map(|option| ["-o".to_owned(), option.clone()]);
        Self { ssh_args: config.chain(options).collect(), timeout: common.timeout }
    }

    /// Examines one target; the context, if there is one in the end, is for the caller to shut down.
    /// `via` is the context that leads to it, if it has several hops: the last is examined.
    pub(crate) async fn examine(
        &self,
        router: &Router,
        via: Option<&Context>,
        place: &Place,
    ) -> (Option<Context>, Gave) {
        let mut sheet = Sheet::new();
        let last = place.methods.len() - 1;
        let (hop, method) = (&place.target.hops()[last], &place.methods[last]);
        match hop.method.as_str() {
            "ssh" if via.is_some() => sheet.nothing_to_do(RESOLVE, "looked up at the hop before"),
            "ssh" => self.resolve(hop, &mut sheet).await,
            _ => sheet.nothing_to_do(RESOLVE, "this machine"),
        }
        let sudoers = match method {
            Method::Sudo(sudo) => Some(format!(
                "this line of sudoers allows it and no more, put the account's name in: {}",
                sudo.sudoers_line("ACCOUNT")
            )),
            _ => None,
        };
        let start = Instant::now();
        let mut timeline = Vec::new();
        let mut observe = |phase, at| timeline.push((phase, at));
        let result = match via {
            None => router.connect_observed(method.clone(), &mut observe).await,
            Some(via) => via.connect_observed(method.clone(), &mut observe).await,
        };
        let elapsed = start.elapsed();
        let context = match result {
            Ok(context) => context,
            Err(error) => {
                let mut failure = Failure::from(&error);
                if let (Some(sudoers), Error::Connect(why)) = (sudoers, &error)
                    && why.kind == FailureKind::NotPermitted
                {
                    failure.hint = Some(sudoers);
                }
                sheet.connect_failed(&error, &failure, &timeline, elapsed, method.is_direct());
                return (None, sheet.gave(Some(failure)));
            }
        };
        timeline.push((Phase::Ready, elapsed));
        match via {
            None => sheet.phases(&timeline, method.is_direct()),
            Some(_) => sheet.attended_elsewhere(elapsed),
        }
        sheet.0[AUTH].hint = sudoers;
        let start = Instant::now();
        let gave =
            Work::FirstCall { timeout: self.timeout }.run(router, std::slice::from_ref(&context), "").await;
        let took = start.elapsed();
        match gave {
            (Some(Answer::Value(value)), None) => {
                sheet.ok(FIRST_CALL, took, Some(format!("pid {}", json::to_text(&value))));
                if let Ok(version) = context.call::<String>("platform.python_version", ()).await {
                    sheet.0[INTERPRETER].detail = Some(format!("Python {}", harmless(&version)));
                }
                (Some(context), sheet.gave(None))
            }
            (_, failure) => {
                let failure =
                    failure.unwrap_or_else(|| Failure::new(Kind::Internal, "the first call gave nothing"));
                let failure = Failure { phase: Some("first call".to_owned()), ..failure };
                sheet.failed(FIRST_CALL, took, &failure);
                (Some(context), sheet.gave(Some(failure)))
            }
        }
    }

    /// Asks ssh what it makes of the destination, and looks the name up as it would.
    async fn resolve(&self, hop: &Hop, sheet: &mut Sheet) {
        let Some(to) = hop.argument.as_deref().and_then(|text| text.parse::<Destination>().ok()) else {
            return;
        };
        let start = Instant::now();
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.arg("-G").args(&self.ssh_args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        if let Some(user) = hop.option("username").or(to.user.as_deref()) {
            ssh.args(["-l", user]);
        }
        let port = to.port.map(|port| port.to_string());
        if let Some(port) = hop.option("port").or(port.as_deref()) {
            ssh.args(["-p", port]);
        }
        // Without ssh, or with an ssh that cannot do this, the connection itself will tell.
        let output = match ssh.arg("--").arg(&to.host).output().await {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            _ => String::new(),
        };
        let get = |key: &str| {
            let mut pairs = output.lines().filter_map(|line| line.split_once(' '));
            pairs.find(|(name, value)| *name == key && *value != "none").map(|(_, value)| value.to_owned())
        };
        if let Some((name, value, remedy)) = obstacle(&output) {
            let mut failure =
                Failure::new(Kind::Connect, format!("ssh_config sets {name} {value} for this host"));
            failure.hint = Some(format!("-o {name}={remedy}: nothing can be run there otherwise"));
            return sheet.failed(RESOLVE, start.elapsed(), &failure);
        }
        let host = get("hostname").unwrap_or_else(|| to.host.clone());
        let port = get("port").and_then(|port| port.parse().ok()).or(to.port).unwrap_or(22);
        let user = get("user").map(|user| format!(", user {user}")).unwrap_or_default();
        let end = format!("port {port}{user}");
        if let Some(proxy) = get("proxyjump").or_else(|| get("proxycommand")) {
            let text = format!("{host} {end}, through {proxy}; the name is looked up there");
            return sheet.ok(RESOLVE, start.elapsed(), Some(harmless(&text)));
        }
        match tokio::net::lookup_host((host.as_str(), port)).await {
            Ok(mut addresses) => {
                let address = addresses.next().map(|address| address.ip().to_string()).unwrap_or_default();
                sheet.ok(RESOLVE, start.elapsed(), Some(harmless(&format!("{address} {end}"))));
            }
            Err(error) => {
                let mut failure = Failure::new(Kind::Connect, format!("{host}: {error}"));
                failure.hint = Some(format!("check the name {host:?}, and HostName for it in ssh_config"));
                sheet.failed(RESOLVE, start.elapsed(), &failure);
            }
        }
    }
}

/// What ssh is told to do that leaves no room for us, by `ssh -G`: the option, its value, and a better one.
fn obstacle(settings: &str) -> Option<(&'static str, &str, &'static str)> {
    const GOOD: [(&str, &str); 4] = [
        ("SessionType", "default"),
        ("StdinNull", "no"),
        ("ForkAfterAuthentication", "no"),
        ("RemoteCommand", "none"),
    ];
    settings.lines().filter_map(|line| line.split_once(' ')).find_map(|(name, value)| {
        let &(option, good) = GOOD.iter().find(|(option, _)| option.eq_ignore_ascii_case(name))?;
        // Older releases print yes and no as true and false.
        let fine = value == good || good == "no" && value == "false";
        (!fine).then_some((option, value, good))
    })
}

/// The first call: a function that every Python has.
pub(super) async fn first_call(context: &Context, timeout: Option<Duration>) -> Result<Gave, Error> {
    let mut call = mitogen::Call::new("os.getpid");
    if let Some(timeout) = timeout {
        call = call.timeout(timeout);
    }
    Ok((Some(Answer::Value(context.start(call).await?)), None))
}

/// The findings, one for each phase.
struct Sheet([Finding; PHASES.len()]);

impl Sheet {
    fn new() -> Self {
        Self(PHASES.map(|phase| Finding {
            phase,
            verdict: Verdict::NotReached,
            took: None,
            detail: None,
            seen: Vec::new(),
            hint: None,
        }))
    }

    fn ok(&mut self, at: usize, took: Duration, detail: Option<String>) {
        let finding = &mut self.0[at];
        *finding = Finding { verdict: Verdict::Ok, took: Some(took), detail, ..finding.clone() };
    }

    fn nothing_to_do(&mut self, at: usize, why: &str) {
        let finding = &mut self.0[at];
        *finding = Finding { verdict: Verdict::None, detail: Some(why.to_owned()), ..finding.clone() };
    }

    fn failed(&mut self, at: usize, took: Duration, failure: &Failure) {
        let finding = &mut self.0[at];
        *finding = Finding {
            verdict: Verdict::Failed,
            took: Some(took),
            detail: Some(failure.message.clone()),
            seen: failure.seen.clone(),
            hint: failure.hint.clone(),
            ..finding.clone()
        };
    }

    /// What each phase took, up to and without the last that was entered. The timeline tells when each was.
    fn phases(&mut self, timeline: &[(Phase, Duration)], is_local: bool) {
        let mut took = [Duration::ZERO; PHASES.len()];
        for pair in timeline.windows(2) {
            took[row(pair[0].0)] += pair[1].1.saturating_sub(pair[0].1);
        }
        let reached = timeline.last().map_or(AUTH, |&(phase, _)| row(phase));
        for (at, &took) in took.iter().enumerate().take(reached).skip(AUTH) {
            match at {
                AUTH if is_local => self.nothing_to_do(AUTH, "this machine"),
                AUTH => self.ok(at, took, Some(LOGIN.to_owned())),
                INTERPRETER if !is_local => self.found_at_login(),
                _ => self.ok(at, took, None),
            }
        }
    }

    /// The login shell looks for the interpreter: when it says that it has begun, it has ended.
    fn found_at_login(&mut self) {
        let finding = &mut self.0[INTERPRETER];
        *finding = Finding { verdict: Verdict::Ok, ..finding.clone() };
    }

    /// The hop before told only that all went well.
    fn attended_elsewhere(&mut self, elapsed: Duration) {
        for at in AUTH..AGENT {
            self.nothing_to_do(at, "attended by the hop before");
        }
        self.ok(AGENT, elapsed, Some("all phases up to here".to_owned()));
    }

    fn connect_failed(
        &mut self,
        error: &Error,
        failure: &Failure,
        timeline: &[(Phase, Duration)],
        elapsed: Duration,
        is_local: bool,
    ) {
        self.phases(timeline, is_local);
        let before = timeline.last().map_or(Duration::ZERO, |&(_, at)| at);
        let at = match error {
            Error::Connect(error) => {
                let name = phase_name(error);
                PHASES.iter().position(|phase| *phase == name).unwrap_or(AUTH)
            }
            _ => AUTH,
        };
        let took = elapsed.saturating_sub(before);
        if at > AUTH && self.0[AUTH].verdict == Verdict::NotReached {
            // What came behind it has shown that the login went well.
            self.ok(AUTH, took, Some(LOGIN.to_owned()));
            self.failed(at, Duration::ZERO, failure);
            self.0[at].took = None;
            return;
        }
        self.failed(at, took, failure);
    }

    /// The rows as an answer. What comes behind a failure was not reached.
    fn gave(self, failure: Option<Failure>) -> Gave {
        (Some(Answer::Findings(self.0.into())), failure)
    }
}

/// The row that a phase of the connection belongs to.
fn row(phase: Phase) -> usize {
    match phase {
        Phase::Spawn | Phase::Login => AUTH,
        Phase::Interpreter => INTERPRETER,
        Phase::FirstStage => 3,
        Phase::Agent => 4,
        Phase::Ready => FIRST_CALL,
    }
}

impl Finding {
    pub(crate) fn write_json(&self, out: &mut String) {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "failed",
            Verdict::None => "none",
            Verdict::NotReached => "not-reached",
        };
        let ms = self.took.map_or("null".to_owned(), |took| format!("{:.3}", took.as_secs_f64() * 1000.0));
        out.push_str(&format!("{{\"phase\": \"{}\", \"verdict\": \"{verdict}\", \"ms\": {ms}", self.phase));
        for (name, text) in [("detail", &self.detail), ("hint", &self.hint)] {
            out.push_str(&format!(", \"{name}\": "));
            match text {
                Some(text) => json::write_string(text, out),
                None => out.push_str("null"),
            }
        }
        out.push('}');
    }
}

/// The findings as a table.
pub(crate) fn table(findings: &[Finding], paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings {
        let took =
            finding.took.map_or(String::new(), |took| format!("{:.1} ms", took.as_secs_f64() * 1000.0));
        let verdict = match finding.verdict {
            Verdict::Ok => paint.good("ok    "),
            Verdict::Failed => paint.bad("FAILED"),
            Verdict::None => paint.faint("-     "),
            Verdict::NotReached => paint.faint("not reached"),
        };
        let detail = finding.detail.as_deref().map(harmless).unwrap_or_default();
        let line = format!("{:<12} {took:>10}  {verdict}  {detail}", finding.phase);
        text.push_str(line.trim_end());
        text.push('\n');
        for line in &finding.seen {
            text.push_str(&format!("{:24} {}\n", "", paint.faint(&format!("| {}", harmless(line)))));
        }
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("{:24} try: {hint}\n", ""));
        }
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_ssh_that_leave_no_room_are_found() {
        let fine = "host web1\nsessiontype default\nstdinnull no\nforkafterauthentication no\n";
        assert_eq!(obstacle(fine), None);
        assert_eq!(obstacle("stdinnull false\nremotecommand none\n"), None);
        assert_eq!(obstacle("user a\nsessiontype none\n"), Some(("SessionType", "none", "default")));
        assert_eq!(obstacle("remotecommand tmux new -A\n"), Some(("RemoteCommand", "tmux new -A", "none")));
    }
}
