//! The texts in `scenarios` (its README tells their language), replayed: what the agent's router does,
//! ours does, and the reverse.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use bytes::Bytes;
use mitogen_router::{Access, Closed, Config, Lifetime, LinkOptions, Mailbox, Output, Router};
use mitogen_wire::body::Dead;
use mitogen_wire::{ContextId, Encoding, Handle, Message, ReplyTo};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The context of a scenario, and what it is to be when it begins.
struct Stage {
    config: Config,
    router: Option<Router>,
}

impl Stage {
    fn router(&mut self) -> &mut Router {
        let config = &self.config;
        self.router.get_or_insert_with(|| {
            let mut router = Router::new(config.clone());
            if let Some(&parent) = config.parents.first() {
                router.handle_link_up(parent, LinkOptions::default()).expect("the first link");
            }
            while router.poll_output().is_some() {}
            router
        })
    }

    /// Carries one statement out.
    fn play(&mut self, statement: &str) {
        let (verb, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        let words: Vec<&str> = rest.split(' ').collect();
        match verb {
            "us" => {
                assert_eq!(words[1], "below");
                let parents = words[2..].iter().map(|word| id(word)).collect();
                self.config = Config::child(id(words[0]), parents);
            }
            "limit" => self.config.max_payload = number(rest) as usize,
            "one-way" => self.config.unidirectional = true,
            "child" => {
                let options = LinkOptions::named(format!("c{rest}"));
                self.router().handle_link_up(id(rest), options).expect("a new child");
            }
            "listen" => {
                let has = |word: &str| words.contains(&word);
                let only = words.iter().position(|&word| word == "only").map(|at| id(words[at + 1]));
                let mailbox = Mailbox {
                    lifetime: if has("once") { Lifetime::Once } else { Lifetime::Persistent },
                    access: if has("trusted") { Access::FromParentsOrSelf } else { Access::Anyone },
                    respondent: only,
                };
                self.router().open_at(Handle(number(words[0])), mailbox).expect("a free handle");
            }
            "ask" | "send" => {
                let body = (Encoding::Implied, text(rest));
                let (dst, handle) = (id(words[0]), Handle(number(words[1])));
                if verb == "ask" {
                    self.router().request(dst, handle, body);
                } else {
                    self.router().send(dst, handle, body);
                }
            }
            "from" => {
                let (link, message) = rest.split_once(": ").expect("a link and a message");
                self.router().handle_message(id(link), parse(message));
            }
            "lost" => self.router().handle_link_down(id(rest)),
            _ => panic!("no such statement"),
        }
    }

    /// All that came of it, as the lines that a scenario has for it.
    fn outcome(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(router) = &mut self.router else { return lines };
        while let Some(output) = router.poll_output() {
            lines.push(match output {
                Output::Transmit { link, message } => format!("to {link}: {}", show(&message)),
                Output::Deliver { handle, message } if message.is_dead() => {
                    format!("got {}: dead {}", handle.0, quote(&message.payload))
                }
                Output::Deliver { handle, message } => {
                    format!("got {}: {} {}", handle.0, message.src, quote(&message.payload))
                }
                Output::Closed { handle, reason } => {
                    let reason = match reason {
                        Closed::Dead { reason, .. } => reason,
                        _ => Dead::RespondentGone,
                    };
                    format!("got {}: dead {}", handle.0, quote(reason.to_string().as_bytes()))
                }
                _ => continue,
            });
        }
        lines.sort();
        lines
    }
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}

fn id(word: &str) -> ContextId {
    ContextId(number(word))
}

/// What stands in quotes.
fn text(line: &str) -> Bytes {
    let Some((_, quoted)) = line.split_once('"') else { return Bytes::new() };
    let mut bytes = quoted.strip_suffix('"').expect("the other quote").bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match (byte, byte == b'\\') {
            (_, false) => out.push(byte),
            (_, true) => match bytes.next().expect("an escape") {
                b'x' => {
                    let digits = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    out.push(u8::from_str_radix(digits, 16).expect("digits"));
                }
                other => out.push(other),
            },
        }
    }
    out.into()
}

fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").expect("strings can be written to"),
        }
    }
    out + "\""
}

fn parse(line: &str) -> Message {
    let (head, _) = line.split_once('"').unwrap_or((line, ""));
    let words: Vec<&str> = head.split_whitespace().collect();
    let (src, auth) = words[0].split_once('/').unwrap_or((words[0], words[0]));
    assert_eq!(words[1], "->");
    let mut message = Message::new(id(src), id(words[2]), Handle(number(words[3])));
    message.auth = id(auth);
    message.payload = text(line);
    if let Some(at) = words.iter().position(|&word| word == "reply") {
        message.reply_to = ReplyTo::Handle(Handle(number(words[at + 1])));
    }
    if words.contains(&"dead") {
        message.reply_to = ReplyTo::Dead;
    }
    if words.contains(&"pickled") {
        message.encoding = Encoding::Pickle;
    }
    message
}

fn show(message: &Message) -> String {
    let mut out = message.src.to_string();
    if message.auth != message.src {
        write!(out, "/{}", message.auth).expect("strings can be written to");
    }
    write!(out, " -> {} {} ", message.dst, message.handle.0).expect("strings can be written to");
    match message.reply_to {
        ReplyTo::Handle(handle) => write!(out, "reply {} ", handle.0).expect("strings can be written to"),
        ReplyTo::Dead => out.push_str("dead "),
        ReplyTo::Nobody => {}
    }
    if message.encoding == Encoding::Pickle {
        out.push_str("pickled ");
    }
    out + &quote(&message.payload)
}

fn replay(path: &Path) {
    let story = std::fs::read_to_string(path).expect("a scenario");
    let lines: Vec<(usize, &str)> = story
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut stage = Stage { config: Config::controller(), router: None };
    let mut at = 0;
    while at < lines.len() {
        let (number, statement) = lines[at];
        at += 1;
        let mut expected = Vec::new();
        while at < lines.len() && (lines[at].1.starts_with("to ") || lines[at].1.starts_with("got ")) {
            expected.push(lines[at].1.to_owned());
            at += 1;
        }
        expected.sort();
        stage.play(statement);
        assert_eq!(stage.outcome(), expected, "{}, line {number}: {statement}", path.display());
    }
}

#[test]
fn every_scenario_ends_as_it_says() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = 0;
    for entry in std::fs::read_dir(directory).expect("the scenarios") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            replay(&path);
            played += 1;
        }
    }
    assert!(played >= 8, "{played} scenarios found");
}
