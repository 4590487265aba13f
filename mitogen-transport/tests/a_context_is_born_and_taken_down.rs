//! Real births on this machine, and links over them.

mod support;

use bytes::Bytes;
use mitogen_bootstrap::plan::{BootPlan, Comms, Wiring};
use mitogen_transport::{Exit, LinkError, Local, Phase, Waiting, connect, connect_observed, memory};
use mitogen_wire::{
    ContextId, DEFAULT_MAX_PAYLOAD, Direction, Encoding, FrameFormat, Handle, Message, SessionKey,
};
use std::time::Duration;
use support::{alone, preamble, script, try_connect};

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_local_context_is_born_over_every_wiring() {
    let pipes = Wiring { comms: Comms::Pipes, ..Wiring::PLAIN };
    for wiring in [Wiring::PLAIN, pipes, Wiring::HYBRID, Wiring::PTY] {
        alone(|| async {
            let plan = BootPlan { wiring, ..Local::new().plan() };
            let mut phases = Vec::new();
            let connected =
                connect_observed(&plan, preamble().as_bytes(), DEADLINE, &mut |phase, _| phases.push(phase))
                    .await
                    .unwrap_or_else(|e| panic!("{wiring:?}: {e}"));
            assert_eq!(
                phases,
                [Phase::Spawn, Phase::Interpreter, Phase::FirstStage, Phase::Agent, Phase::Ready]
            );
            let (mut reader, writer) = connected.stream.frames(
                &FrameFormat::UNSIGNED,
                Direction::ParentToChild,
                DEFAULT_MAX_PAYLOAD,
            );
            let shutdown = Message::new(ContextId::CONTROLLER, ContextId(1), Handle(106));
            writer.send(&shutdown).expect("sent");
            while let Ok(Some(_)) = reader.next().await {}
            let exit = connected.process.stop(Duration::from_secs(5), Duration::from_secs(1)).await;
            assert!(exit.is_some_and(|e| e != Exit::Signal(9)), "{wiring:?}: {exit:?}");
        });
    }
}

#[test]
fn a_dropped_context_is_gone() {
    alone(|| async {
        let connected = connect(&Local::new().plan(), preamble().as_bytes(), DEADLINE).await.expect("born");
        drop(connected);
    });
}

#[test]
fn many_births_at_once_do_not_disturb_each_other() {
    alone(|| async {
        let births: Vec<_> = (0..12)
            .map(|_| {
                tokio::spawn(async { connect(&Local::new().plan(), preamble().as_bytes(), DEADLINE).await })
            })
            .collect();
        for birth in births {
            let connected = birth.await.expect("joined").expect("born");
            connected.process.kill();
            assert_eq!(connected.process.wait().await, Exit::Signal(9));
        }
    });
}

#[test]
fn a_tool_s_later_words_are_passed_on_and_its_end_is_known() {
    alone(|| async {
        let plan = script("echo EC0; echo EC1; echo EC2; sleep 0.1; echo late words >&2; exit 5");
        let mut connected = try_connect(&plan).await.expect("born");
        let line = connected.tool_lines.next().await.expect("a line");
        assert_eq!(line.text, "late words");
        assert_eq!(connected.tool_lines.next().await, None);
        assert_eq!(connected.process.wait().await, Exit::Status(5));
    });
}

#[test]
fn a_process_that_ignores_sigterm_is_killed() {
    alone(|| async {
        let plan = script("trap '' TERM; echo EC0; echo EC1; echo EC2; while :; do sleep 1; done");
        let connected = try_connect(&plan).await.expect("born");
        let exit = connected.process.stop(Duration::from_millis(50), Duration::from_millis(100)).await;
        assert_eq!(exit, Some(Exit::Signal(9)));
    });
}

#[test]
fn a_child_has_three_descriptors_and_a_session_of_its_own() {
    alone(|| async {
        let plan = script(
            "ls /proc/self/fd | tr '\\n' ' ' >&2; echo >&2; cut -d' ' -f6 /proc/$$/stat >&2; echo $$ >&2; exit 1",
        );
        let error = support::fail(&plan).await;
        let lines: Vec<_> = error.last_lines.iter().map(|l| l.text.trim()).collect();
        // One more is the directory that ls itself reads.
        let inherited = support::inherited();
        let own = |fd: &u32| *fd > 2 && !inherited.contains(fd);
        let more = lines[0].split(' ').map(|fd| fd.parse().expect("a number")).filter(own).count();
        assert!(more <= 1, "{} besides {inherited:?}", lines[0]);
        assert_eq!(lines[1], lines[2]);
    });
}

fn message(size: usize) -> Message {
    Message::new(ContextId(0), ContextId(1), Handle(101))
        .with_payload(Encoding::Raw, Bytes::from(vec![7; size]))
}

#[test]
fn frames_arrive_in_order_whatever_must_be_queued() {
    alone(|| async {
        let format = FrameFormat::signed(SessionKey::from_random([3; 16]));
        let (a, b) = memory::pair().expect("a pair");
        let (_ra, writer) = a.frames(&format, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
        let (mut reader, _wb) = b.frames(&format, Direction::ChildToParent, DEFAULT_MAX_PAYLOAD);
        let sizes: Vec<usize> = (0..400).map(|i| (i * 7919) % 50_000).chain([3 << 20, 0, 1]).collect();
        for &size in &sizes {
            writer.send(&message(size)).expect("sent");
        }
        assert!(writer.queued() > 1 << 20);
        for &size in &sizes {
            let got = reader.next().await.expect("a frame").expect("no end");
            assert_eq!(got.payload.len(), size);
        }
        writer.flushed().await.expect("flushed");
        assert_eq!(writer.queued(), 0);
        drop(writer);
        assert!(reader.next().await.expect("an end").is_none());
    });
}

/// Small messages first.
#[derive(Debug, Default)]
struct SmallFirst(Vec<Message>);

impl Waiting for SmallFirst {
    fn push(&mut self, message: Message) {
        self.0.push(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let at = self.0.iter().position(|message| message.payload.len() < 100).unwrap_or(0);
        (!self.0.is_empty()).then(|| self.0.remove(at))
    }

    fn queued(&self) -> usize {
        self.0.iter().map(|message| message.payload.len() + 46).sum()
    }
}

#[test]
fn what_waits_leaves_in_the_order_that_it_is_given() {
    alone(|| async {
        let format = FrameFormat::signed(SessionKey::from_random([3; 16]));
        let (a, b) = memory::pair().expect("a pair");
        let (_ra, writer) = a.frames(&format, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
        let writer = writer.with_waiting(Box::new(SmallFirst::default()));
        let (mut reader, _wb) = b.frames(&format, Direction::ChildToParent, DEFAULT_MAX_PAYLOAD);
        for size in [100_000; 40].into_iter().chain([5]) {
            writer.send(&message(size)).expect("sent");
        }
        assert!(matches!(writer.send(&message(DEFAULT_MAX_PAYLOAD + 1)), Err(LinkError::Frame(_))));
        let mut sizes = Vec::new();
        for _ in 0..41 {
            sizes.push(reader.next().await.expect("a frame").expect("no end").payload.len());
        }
        let place = sizes.iter().position(|&size| size == 5).expect("it came");
        // Behind what the descriptor had, and what was made ready for it.
        assert!((1..20).contains(&place), "{place}");
        writer.flushed().await.expect("flushed");
        drop(writer);
        assert!(reader.next().await.expect("an end").is_none());
    });
}

#[test]
fn a_peer_that_does_not_read_costs_bounded_memory_and_the_link() {
    alone(|| async {
        let (a, b) = memory::pair().expect("a pair");
        let (_r, writer) = a.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
        let writer = writer.with_queue_limit(1 << 20).with_waiting(Box::new(SmallFirst::default()));
        let mut sent = 0;
        let error = loop {
            match writer.send(&message(100_000)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 100);
        };
        assert!(matches!(error, LinkError::QueueFull { limit: 1_048_576, .. }), "{error}");
        assert!(matches!(writer.send(&message(1)), Err(LinkError::QueueFull { .. })));
        assert!(writer.flushed().await.is_err());
        drop(b);
    });
}

#[test]
fn a_frame_cut_by_the_end_is_an_error_and_an_end_between_frames_is_none() {
    alone(|| async {
        let (a, b) = memory::pair().expect("a pair");
        let (mut reader, _w) =
            a.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, DEFAULT_MAX_PAYLOAD);
        let (_r, writer) = b.frames(&FrameFormat::UNSIGNED, Direction::ChildToParent, DEFAULT_MAX_PAYLOAD);
        writer.send(&message(10)).expect("sent");
        writer.close();
        assert!(matches!(writer.send(&message(1)), Err(LinkError::Closed)));
        assert!(reader.next().await.expect("a frame").is_some());
        assert!(reader.next().await.expect("an end").is_none());
    });
}

#[test]
fn a_message_over_the_limit_is_refused_alone() {
    alone(|| async {
        let (a, b) = memory::pair().expect("a pair");
        let (_r, writer) = a.frames(&FrameFormat::UNSIGNED, Direction::ParentToChild, 1000);
        let (mut reader, _w) = b.frames(&FrameFormat::UNSIGNED, Direction::ChildToParent, 1000);
        assert!(matches!(writer.send(&message(1001)), Err(LinkError::Frame(_))));
        writer.send(&message(1000)).expect("sent");
        assert_eq!(reader.next().await.expect("a frame").map(|m| m.payload.len()), Some(1000));
    });
}
