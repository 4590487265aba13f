//! Whole trees in one struct, with seeded faults: every request ends exactly once, every table
//! agrees with the tree when all is quiet, and nothing is delivered on a forged source.

mod world;

use mitogen_wire::body::DelRoute;
use mitogen_wire::{ContextId, Handle, Message};
use world::World;

/// Knobs of one run.
#[derive(Clone, Copy, Default)]
struct Story {
    steps: usize,
    /// Of a hundred steps, how many disconnect somebody.
    disconnects: u64,
    /// Of a hundred steps, how many have somebody detach.
    detachments: u64,
    /// Of a hundred steps, how many send a forged message or claim what is not the claimer's.
    forgeries: u64,
    unidirectional: bool,
}

/// How many seeds of each story are played: few by default, 10,000 worlds in all on a CI server (half a
/// minute of one core), and any number by `MITOGEN_SIM_SEEDS`.
fn seeds() -> u64 {
    match std::env::var("MITOGEN_SIM_SEEDS") {
        Ok(count) => count.parse().expect("MITOGEN_SIM_SEEDS is a number"),
        Err(_) if std::env::var_os("CI").is_some() => 2000,
        Err(_) => 400,
    }
}

impl Story {
    fn play_all(self) {
        for seed in 0..seeds() {
            // A failure names its seed.
            let story = std::panic::AssertUnwindSafe(|| self.play(seed));
            if let Err(panic) = std::panic::catch_unwind(story) {
                eprintln!("that was seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn play(&self, seed: u64) {
        let mut world = World::new(seed, self.unidirectional);
        for _ in 0..4 {
            world.connect_somewhere();
        }
        for _ in 0..self.steps {
            let dice = world.random(100);
            if dice < self.disconnects {
                world.disconnect_somebody();
            } else if dice < self.disconnects + self.detachments {
                world.detach_somebody();
            } else if dice < self.disconnects + self.detachments + self.forgeries {
                match world.random(2) {
                    0 => world.forge(),
                    _ => world.claim(),
                }
            } else {
                match world.random(20) {
                    0 | 1 => world.connect_somewhere(),
                    2 => world.ask_for_ids(),
                    3..=7 => world.request_somewhere(),
                    _ => world.carry_one(),
                }
            }
        }
        world.settle();
        world.check_every_request_ended_once();
        world.check_tables();
    }
}

#[test]
fn every_request_ends_exactly_once_in_a_quiet_tree() {
    Story { steps: 200, ..Story::default() }.play_all();
}

#[test]
fn every_request_ends_exactly_once_while_contexts_come_and_go() {
    Story { steps: 400, disconnects: 4, ..Story::default() }.play_all();
}

#[test]
fn every_request_ends_exactly_once_while_subtrees_detach() {
    Story { steps: 400, disconnects: 2, detachments: 2, ..Story::default() }.play_all();
}

#[test]
fn nothing_is_delivered_on_a_forged_source_and_nobody_gets_what_is_anothers() {
    Story { steps: 400, disconnects: 2, forgeries: 20, ..Story::default() }.play_all();
}

#[test]
fn in_a_one_way_tree_only_relatives_in_line_talk() {
    Story { steps: 300, disconnects: 3, forgeries: 5, unidirectional: true, ..Story::default() }.play_all();
}

#[test]
fn a_lost_context_is_forgotten_everywhere() {
    let mut world = World::new(1, false);
    let near = world.connect(ContextId::CONTROLLER);
    let far = world.connect(near);
    let sibling = world.connect(ContextId::CONTROLLER);
    world.settle();
    // The sibling has written to the far one, so it hears of its end without asking.
    world.request(sibling, far);
    world.settle();
    world.watch_messages_to(sibling);
    world.disconnect(far);
    world.settle();
    let heard: Vec<Message> = world.watched();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].handle, Handle::DEL_ROUTE);
    assert_eq!(DelRoute::decode(&heard[0]).expect("a DEL_ROUTE"), DelRoute { id: far });
    world.check_tables();
}

#[test]
fn a_vanished_intermediate_ends_the_calls_of_its_whole_subtree() {
    let mut world = World::new(2, false);
    let top = world.connect(ContextId::CONTROLLER);
    let middle = world.connect(top);
    world.settle();
    let leaf = world.connect(middle);
    let sibling = world.connect(ContextId::CONTROLLER);
    world.settle();
    for from in [ContextId::CONTROLLER, top, sibling] {
        world.request(from, leaf);
        world.request(from, middle);
    }
    // Their requests are under way, and never arrive.
    world.disconnect(middle);
    world.settle();
    world.check_every_request_ended_once();
    world.check_tables();
}
