//! A whole tree in one struct, with seeded faults: every request ends exactly once, every table
//! agrees with the tree when all is quiet, and nothing is delivered on a forged source.

mod world;

use mitogen_wire::body::DelRoute;
use mitogen_wire::{ContextId, Handle, Message};
use world::World;

/// Knobs of one run.
struct Story {
    seed: u64,
    steps: usize,
    /// Of a hundred steps, how many disconnect somebody.
    disconnects: u64,
    /// Of a hundred steps, how many send a forged message.
    forgeries: u64,
}

impl Story {
    fn play(&self) {
        let mut world = World::new(self.seed);
        for _ in 0..4 {
            world.connect_somewhere();
        }
        for _ in 0..self.steps {
            let dice = world.random(100);
            if dice < self.disconnects {
                world.disconnect_somebody();
            } else if dice < self.disconnects + self.forgeries {
                world.forge();
            } else {
                match world.random(10) {
                    0 => world.connect_somewhere(),
                    1..=3 => world.request_somewhere(),
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
    for seed in 0..100 {
        Story { seed, steps: 300, disconnects: 0, forgeries: 0 }.play();
    }
}

#[test]
fn every_request_ends_exactly_once_while_contexts_come_and_go() {
    for seed in 0..400 {
        Story { seed, steps: 500, disconnects: 4, forgeries: 0 }.play();
    }
}

#[test]
fn nothing_is_delivered_on_a_forged_source() {
    for seed in 0..300 {
        Story { seed, steps: 500, disconnects: 2, forgeries: 20 }.play();
    }
}

#[test]
fn a_lost_context_is_forgotten_everywhere() {
    let mut world = World::new(1);
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
    let mut world = World::new(2);
    let top = world.connect(ContextId::CONTROLLER);
    let middle = world.connect(top);
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
