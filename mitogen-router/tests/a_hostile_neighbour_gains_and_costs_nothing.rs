//! A neighbour that says whatever it likes, as often as it likes: what it may not say is refused, and
//! what it can make us remember is bounded.

use bytes::Bytes;
use mitogen_router::{BLOCK_LEN, Closed, Config, LinkOptions, Output, Rejection, Router, RouterError};
use mitogen_wire::body::{AddRoute, AllocateId, Dead, DelRoute, Grant, IdBlock};
use mitogen_wire::{ContextId, Encoding, Handle, Message};

const US: ContextId = ContextId::CONTROLLER;

/// A controller with two children: a hostile one, and one that is not.
fn tree() -> (Router, ContextId, ContextId) {
    let mut router = Router::new(Config::controller());
    let hostile = router.allocate_id().expect("a fresh router");
    let good = router.allocate_id().expect("a fresh router");
    for child in [hostile, good] {
        router.handle_link_up(child, LinkOptions::default()).expect("a fresh id");
    }
    outputs(&mut router);
    (router, hostile, good)
}

fn outputs(router: &mut Router) -> Vec<Output> {
    std::iter::from_fn(|| router.poll_output()).collect()
}

fn add_route(src: ContextId, id: ContextId) -> Message {
    Message::new(src, US, AddRoute::HANDLE).with_body(AddRoute { id, name: None }.encode())
}

fn rejection(outputs: &[Output]) -> Option<&Rejection> {
    match outputs {
        [Output::Rejected { why, .. }] => Some(why),
        _ => None,
    }
}

#[test]
fn an_id_is_announced_only_from_where_it_was_given() {
    let (mut router, hostile, good) = tree();
    let coming = router.allocate_id_for(good).expect("it is connected");
    let ours = router.allocate_id().expect("ids are left");
    router.handle_message(good, Message::new(good, US, AllocateId::HANDLE).with_reply_to(Handle(1000)));
    let block = match &outputs(&mut router)[..] {
        [Output::Transmit { message, .. }] => IdBlock::decode(message).expect("a block"),
        other => panic!("{other:?}"),
    };
    for id in [coming, ours, block.first, ContextId(block.end.0 - 1), block.end, ContextId(u32::MAX)] {
        router.handle_message(hostile, add_route(hostile, id));
        let found = outputs(&mut router);
        assert_eq!(rejection(&found), Some(&Rejection::ForeignRoute { context: id }), "{found:?}");
    }
    for id in [coming, block.first, ContextId(block.end.0 - 1)] {
        router.handle_message(good, add_route(good, id));
        assert!(matches!(outputs(&mut router)[..], [Output::RouteAdded { via, .. }] if via == good));
    }
    // Once; and what is lost does not come back as another's.
    router.handle_message(good, add_route(good, coming));
    assert!(rejection(&outputs(&mut router)).is_some());
    let gone = Message::new(good, US, DelRoute::HANDLE).with_body(DelRoute { id: coming }.encode());
    router.handle_message(good, gone);
    outputs(&mut router);
    for link in [hostile, good] {
        router.handle_message(link, add_route(link, coming));
        assert!(rejection(&outputs(&mut router)).is_some());
    }
}

/// A context between its parent (1) and two children (3, hostile, and 4), the latter with one of its own (40).
fn middle() -> (Router, ContextId, ContextId) {
    let (us, parent, hostile, good) = (ContextId(2), ContextId(1), ContextId(3), ContextId(4));
    let mut router = Router::new(Config::child(us, vec![parent, ContextId::CONTROLLER]));
    for link in [parent, hostile, good] {
        router.handle_link_up(link, LinkOptions::default()).expect("a fresh id");
    }
    grant(&mut router, 40..41, good);
    announce(&mut router, good, ContextId(40));
    outputs(&mut router);
    (router, hostile, good)
}

fn grant(router: &mut Router, ids: std::ops::Range<u32>, owner: ContextId) {
    let grant = Grant { first: ContextId(ids.start), end: ContextId(ids.end), owner };
    let message = Message::new(ContextId(1), router.id(), Grant::HANDLE).with_body(grant.encode());
    router.handle_message(ContextId(1), message);
}

fn announce(router: &mut Router, link: ContextId, id: ContextId) {
    let message = add_route(link, id);
    router.handle_message(link, Message { dst: router.id(), ..message });
}

#[test]
fn between_too_an_id_is_announced_only_from_where_it_was_given() {
    let (mut router, hostile, good) = middle();
    grant(&mut router, 50..60, good);
    assert_eq!(outputs(&mut router), [], "the owner is the next one: it knows");
    grant(&mut router, 70..71, ContextId(40));
    let told = outputs(&mut router);
    assert!(
        matches!(&told[..], [Output::Transmit { link, message }] if *link == good && message.handle == Grant::HANDLE),
        "{told:?}"
    );
    // What was given to others, to us, to nobody.
    for id in [50, 59, 70, 60, 99] {
        announce(&mut router, hostile, ContextId(id));
        let found = outputs(&mut router);
        assert_eq!(rejection(&found), Some(&Rejection::ForeignRoute { context: ContextId(id) }));
    }
    // Nor does it grant itself anything.
    let forged = Grant { first: ContextId(99), end: ContextId(100), owner: hostile };
    let forged = Message::new(hostile, router.id(), Grant::HANDLE).with_body(forged.encode());
    router.handle_message(hostile, forged);
    assert_eq!(rejection(&outputs(&mut router)), Some(&Rejection::Forbidden));
    for id in [50, 59, 70] {
        announce(&mut router, good, ContextId(id));
        assert_eq!(outputs(&mut router).len(), 2, "it is passed on, and told");
    }
}

#[test]
fn between_too_what_will_not_come_and_what_its_owner_leaves_is_nobodys() {
    let (mut router, _, good) = middle();
    grant(&mut router, 70..71, ContextId(40));
    grant(&mut router, 70..71, ContextId::CONTROLLER);
    assert_eq!(outputs(&mut router).len(), 2, "both travel on");
    announce(&mut router, good, ContextId(70));
    assert!(rejection(&outputs(&mut router)).is_some());
    grant(&mut router, 80..90, ContextId(40));
    let gone =
        Message::new(good, router.id(), DelRoute::HANDLE).with_body(DelRoute { id: ContextId(40) }.encode());
    router.handle_message(good, gone);
    outputs(&mut router);
    announce(&mut router, good, ContextId(80));
    assert!(rejection(&outputs(&mut router)).is_some());
    // Too late.
    grant(&mut router, 91..92, ContextId(40));
    assert_eq!(outputs(&mut router), []);
    announce(&mut router, good, ContextId(91));
    assert!(rejection(&outputs(&mut router)).is_some());
}

#[test]
fn a_released_or_orphaned_id_is_nobodys() {
    let (mut router, _, good) = tree();
    let released = router.allocate_id_for(good).expect("it is connected");
    router.release_id(released);
    router.handle_message(good, add_route(good, released));
    assert!(rejection(&outputs(&mut router)).is_some());
    router.handle_link_down(good);
    assert!(matches!(router.allocate_id_for(good), Err(RouterError::TooManyBirths { .. })));
}

#[test]
fn ids_asked_for_in_a_loop_run_out_for_the_asker_alone() {
    let (mut router, hostile, good) = tree();
    let ask = |src| Message::new(src, US, AllocateId::HANDLE).with_reply_to(Handle(1000));
    let mut given = 0_u64;
    for _ in 0..70_000 {
        router.handle_message(hostile, ask(hostile));
        for output in outputs(&mut router) {
            match output {
                Output::Transmit { message, .. } if !message.is_dead() => given += u64::from(BLOCK_LEN),
                Output::Transmit { .. } => {}
                Output::Rejected { why, .. } => assert_eq!(why, Rejection::TooManyIds),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(given < u64::from(u32::MAX) / 50, "{given} ids were given");
    router.handle_message(good, ask(good));
    assert!(matches!(&outputs(&mut router)[..], [Output::Transmit { message, .. }] if !message.is_dead()));
    assert!(router.allocate_id().is_ok());
}

#[test]
fn births_that_never_come_are_counted() {
    let (mut router, hostile, good) = tree();
    let asked = (0..100_000).take_while(|_| router.allocate_id_for(hostile).is_ok()).count();
    assert_eq!(asked, 1 << 16);
    assert!(router.allocate_id_for(good).is_ok());
}

#[test]
fn a_million_handles_leave_nothing_behind() {
    let (mut router, hostile, good) = tree();
    let awaited = router.request(good, Handle::CALL_FUNCTION, (Encoding::Pickle, Bytes::new()));
    outputs(&mut router);
    for number in 0..1_000_000_u32 {
        let message = Message::new(hostile, US, Handle(number)).with_payload(Encoding::Raw, &b"x"[..]);
        router.handle_message(hostile, message);
        for output in outputs(&mut router) {
            // That it will leave it may say.
            assert!(matches!(output, Output::Rejected { .. } | Output::Detaching { .. }), "{output:?}");
        }
    }
    assert_eq!(router.open_mailboxes(), 1);
    // The other's answer still counts.
    let answer = Message::new(good, US, awaited);
    router.handle_message(good, answer.clone());
    assert_eq!(outputs(&mut router), [Output::Deliver { handle: awaited, message: answer }]);
}

#[test]
fn what_another_was_asked_is_not_answered_nor_declared_dead() {
    let (mut router, hostile, good) = tree();
    let awaited = router.request(good, Handle::CALL_FUNCTION, (Encoding::Pickle, Bytes::new()));
    outputs(&mut router);
    router.handle_message(hostile, Message::new(hostile, US, awaited));
    assert_eq!(rejection(&outputs(&mut router)), Some(&Rejection::NotAwaited));
    router.handle_message(hostile, Message::dead(hostile, US, awaited, "no"));
    assert_eq!(rejection(&outputs(&mut router)), Some(&Rejection::ForeignDead));
    router.handle_message(good, Message::dead(good, US, awaited, "no"));
    let reason = Closed::Dead { from: good, reason: Dead::Other("no".to_owned()) };
    assert_eq!(outputs(&mut router), [Output::Closed { handle: awaited, reason }]);
}

#[test]
fn who_has_written_to_more_than_can_be_told_apart_hears_of_every_loss() {
    // Only below the controller can one write to contexts that nobody here knows.
    let mut router = Router::new(Config::child(ContextId(5), vec![ContextId(2), US]));
    for (link, name) in [(2, ""), (9, "hostile"), (8, "good")] {
        router.handle_link_up(ContextId(link), LinkOptions::named(name)).expect("a fresh id");
    }
    outputs(&mut router);
    for dst in 100..200_000 {
        router.handle_message(ContextId(9), Message::new(ContextId(9), ContextId(dst), Handle(1)));
        assert_eq!(outputs(&mut router).len(), 1);
    }
    router.handle_link_down(ContextId(8));
    let told = outputs(&mut router);
    let tells = |output: &Output| matches!(output, Output::Transmit { link, message } if *link == ContextId(9) && message.handle == DelRoute::HANDLE);
    assert_eq!(told.iter().filter(|output| tells(output)).count(), 1, "{told:?}");
}
