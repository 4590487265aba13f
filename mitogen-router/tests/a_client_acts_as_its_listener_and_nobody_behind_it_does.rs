//! Clients of a listener: what they say themselves has the listener's authority; what comes from behind
//! them has not.

use bytes::Bytes;
use mitogen_router::{Access, Config, LinkOptions, Mailbox, Output, Rejection, Router};
use mitogen_wire::body::{AddRoute, AllocateId, IdBlock};
use mitogen_wire::{ContextId, Encoding, Handle, Message};

const US: ContextId = ContextId::CONTROLLER;

struct World {
    router: Router,
    child: ContextId,
    client: ContextId,
    /// Behind the client.
    grandchild: ContextId,
}

fn world(unidirectional: bool) -> World {
    let mut config = Config::controller();
    config.unidirectional = unidirectional;
    let mut router = Router::new(config);
    let child = router.allocate_id().expect("a fresh router");
    let client = router.allocate_id().expect("a fresh router");
    router.handle_link_up(child, LinkOptions::default()).expect("a fresh id");
    let mut options = LinkOptions::default();
    options.stamp = Some(US);
    router.handle_link_up(client, options).expect("a fresh id");
    outputs(&mut router);
    router.handle_message(client, Message::new(client, US, AllocateId::HANDLE).with_reply_to(Handle(1000)));
    let grandchild = match &outputs(&mut router)[..] {
        [Output::Transmit { message, .. }] => IdBlock::decode(message).expect("a block").first,
        other => panic!("{other:?}"),
    };
    let route = AddRoute { id: grandchild, name: None };
    router.handle_message(client, Message::new(client, US, AddRoute::HANDLE).with_body(route.encode()));
    assert!(matches!(outputs(&mut router)[..], [Output::RouteAdded { .. }]));
    World { router, child, client, grandchild }
}

fn outputs(router: &mut Router) -> Vec<Output> {
    std::iter::from_fn(|| router.poll_output()).collect()
}

/// The authority with which a message of this source arrives at the child; `None` when it does not.
fn authority(world: &mut World, src: ContextId) -> Option<ContextId> {
    let message = Message::new(src, world.child, Handle::CALL_FUNCTION)
        .with_payload(Encoding::Pickle, Bytes::from_static(b"x"));
    world.router.handle_message(world.client, message);
    match &outputs(&mut world.router)[..] {
        [Output::Transmit { link, message }] if *link == world.child => Some(message.auth),
        [] => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_client_says_has_our_authority_and_what_is_behind_it_has_its_own() {
    let mut world = world(false);
    let (client, grandchild) = (world.client, world.grandchild);
    assert_eq!(authority(&mut world, client), Some(US));
    assert_eq!(authority(&mut world, grandchild), Some(grandchild));
    let own = Handle(5000);
    world.router.open_at(own, Mailbox::open_to(Access::FromParentsOrSelf)).expect("it is free");
    for (src, welcome) in [(client, true), (grandchild, false)] {
        world.router.handle_message(client, Message::new(src, US, own));
        let delivered = matches!(outputs(&mut world.router)[..], [Output::Deliver { .. }]);
        assert_eq!(delivered, welcome, "{src}");
    }
}

#[test]
fn a_client_cannot_claim_to_be_somebody_else() {
    let mut world = world(false);
    let (client, child) = (world.client, world.child);
    for (src, auth) in [(US, US), (child, child), (client, US), (client, child), (child, client)] {
        let mut message = Message::new(src, child, Handle::CALL_FUNCTION);
        message.auth = auth;
        world.router.handle_message(client, message);
        let found = outputs(&mut world.router);
        let why = match &found[..] {
            [Output::Rejected { why, .. }] => why,
            other => panic!("{src} by {auth}: {other:?}"),
        };
        assert!(matches!(why, Rejection::BadAuth { .. } | Rejection::BadSource), "{why:?}");
    }
}

#[test]
fn in_a_one_way_tree_a_client_is_above_and_what_is_behind_it_is_not() {
    let mut world = world(true);
    let (child, client, grandchild) = (world.child, world.client, world.grandchild);
    assert_eq!(authority(&mut world, client), Some(US));
    assert_eq!(authority(&mut world, grandchild), None);
    for (dst, passes) in [(client, true), (grandchild, false)] {
        world.router.handle_message(child, Message::new(child, dst, Handle(1000)));
        let sent = matches!(outputs(&mut world.router)[..], [Output::Transmit { .. }]);
        assert_eq!(sent, passes, "{dst}");
    }
}
