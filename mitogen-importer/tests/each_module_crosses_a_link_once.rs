//! What the responder sends for requests, as stories.

#[path = "support/world.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod world;

use mitogen_importer::{Absence, Dialect, ModuleName, Policy, Responder};
use mitogen_wire::ContextId;
use world::{World, absent, modules};

const SHOP: &[(&str, &str)] = &[
    ("shop", "import os, json\nfrom . import base\nimport stock\n"),
    ("shop.base", "try:\n    import simplejson\nexcept ImportError:\n    import json\n"),
    ("shop.db", "from shop import base\n"),
    ("shop.db.models", "from ..base import x\nfrom .fields import Field\nimport stock.unit\n"),
    ("shop.db.fields", "from . import models\n"),
    ("shop.db.unused", ""),
    ("stock", ""),
    ("stock.unit", "def f():\n    import shop.db.unused\n"),
];

fn name(text: &str) -> ModuleName {
    ModuleName::parse(text).expect("a name")
}

#[test]
fn a_module_comes_with_what_it_imports_packages_first() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(SHOP);
    let answer = world.ask(&mut responder, 1, "shop");
    assert_eq!(modules(&answer), ["shop", "shop.base", "stock"]);
    // What the target may have itself, and what nobody has, is not asked for either.
    assert_eq!(absent(&answer), ["json", "os", "simplejson"]);

    // One round trip per level of nesting, and nothing twice.
    assert_eq!(modules(&world.ask(&mut responder, 1, "shop.db")), ["shop.db"]);
    let answer = world.ask(&mut responder, 1, "shop.db.models");
    assert_eq!(modules(&answer), ["shop.db.models", "shop.db.fields", "stock.unit"]);
    assert_eq!(absent(&answer), [""; 0]);
}

#[test]
fn a_member_can_be_asked_for_before_its_package() {
    let mut responder = Responder::new(Policy::default());
    let answer = World::new(SHOP).ask(&mut responder, 1, "shop.db.models");
    let expected =
        ["shop", "shop.base", "stock", "shop.db", "shop.db.models", "shop.db.fields", "stock.unit"];
    assert_eq!(modules(&answer), expected);
}

#[test]
fn links_are_served_apart_and_a_new_link_with_an_old_number_afresh() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(SHOP);
    assert_eq!(modules(&world.ask(&mut responder, 1, "stock")), ["stock"]);
    assert_eq!(modules(&world.ask(&mut responder, 2, "stock")), ["stock"]);
    assert_eq!(modules(&world.ask(&mut responder, 1, "stock")), [""; 0]);
    responder.handle_link_down(ContextId(1));
    assert_eq!(modules(&world.ask(&mut responder, 1, "stock")), ["stock"]);
}

#[test]
fn equal_requests_under_way_are_joined_and_the_world_is_asked_once() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(SHOP);
    for link in [1, 1, 2] {
        responder.handle_request(ContextId(link), name("shop"));
    }
    let sent = world.run(&mut responder);
    let links: Vec<u32> = sent.iter().map(|(link, _)| link.0).collect();
    assert_eq!(links, [1, 2]);
    world.looked.sort();
    let mut once = world.looked.clone();
    once.dedup();
    assert_eq!(world.looked, once);
}

#[test]
fn what_cannot_be_sent_is_said_with_its_reason() {
    let mut policy = Policy::default();
    policy.block(name("app.secret"));
    let mut responder = Responder::new(policy);
    let mut world = World::new(&[
        ("app", "from . import fast, secret\n"),
        ("app.fast", "EXTENSION /lib/fast.so"),
        ("app.secret", "KEY = 1\n"),
    ]);
    let answer = world.ask(&mut responder, 1, "app");
    assert_eq!((modules(&answer), absent(&answer)), (vec!["app"], vec!["app.fast", "app.secret"]));
    assert!(answer.absent[0].1.to_string().contains("/lib/fast.so is an extension module"));
    assert!(matches!(answer.absent[1].1, Absence::Denied(_)));
    // It is not even looked at.
    assert!(!world.looked.iter().any(|looked| looked == "app.secret"));
    let answer = world.ask(&mut responder, 1, "app.secret.inner");
    assert!(matches!(answer.absent[0].1, Absence::Denied(_)), "{answer:?}");
}

#[test]
fn the_standard_library_is_the_targets_own_unless_it_asks() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(&[("app", "import queue\nimport os.path\n"), ("queue", "import socket\n")]);
    let answer = world.ask(&mut responder, 1, "app");
    assert_eq!((modules(&answer), absent(&answer)), (vec!["app"], vec!["os"]));
    // An old Python that has none is given the backport that was installed for it.
    assert_eq!(modules(&world.ask(&mut responder, 1, "queue")), ["queue"]);
}

#[test]
fn a_cycle_ends() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(&[("a", "import b\n"), ("b", "import c\n"), ("c", "import a, b\n")]);
    assert_eq!(modules(&world.ask(&mut responder, 1, "b")), ["b", "c", "a"]);
}

#[test]
fn a_million_names_leave_nothing_behind() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(&[]);
    for number in 0..20_000 {
        let answer = world.ask(&mut responder, 1, &format!("no.such{number}"));
        assert_eq!(answer.absent.len(), 2 - usize::from(number > 0), "{answer:?}");
        world.looked.clear();
    }
    assert!(responder.sent(ContextId(1)) <= 1);
}

#[test]
fn a_peer_of_the_standard_protocol_gets_one_module_a_message_the_one_it_asked_for_last() {
    let mut responder = Responder::new(Policy::default());
    let mut world = World::new(SHOP);
    responder.handle_link_up(ContextId(1), Dialect::Standard);
    let mut ask = |name: &str| -> Vec<(String, bool, Vec<String>)> {
        let deliveries = world.ask(&mut responder, 1, name).deliveries();
        let show = |names: &[ModuleName]| names.iter().map(ModuleName::to_string).collect();
        let delivery =
            |d: &mitogen_importer::Delivery| (d.name.to_string(), d.module.is_some(), show(&d.related));
        deliveries.iter().map(delivery).collect()
    };
    let sent = |name: &str, related: &[&str]| {
        (name.to_owned(), true, related.iter().map(|&name| name.to_owned()).collect::<Vec<String>>())
    };
    let expected = [sent("shop.base", &["shop"]), sent("stock", &[]), sent("shop", &["shop.base", "stock"])];
    assert_eq!(ask("shop"), expected);
    let expected = [sent("shop.db", &["shop", "shop.base"])];
    assert_eq!(ask("shop.db"), expected);
    // What it has is not sent again, and is passed on to others all the same.
    let expected = [
        sent("shop.db.fields", &["shop", "shop.db", "shop.db.models"]),
        sent("stock.unit", &[]),
        sent("shop.db.models", &["shop", "shop.base", "shop.db", "shop.db.fields", "stock", "stock.unit"]),
    ];
    assert_eq!(ask("shop.db.models"), expected);
    assert_eq!(ask("shop.db.models"), []);
    assert_eq!(ask("nosuch"), [("nosuch".to_owned(), false, Vec::new())]);
}

#[test]
fn our_namesake_is_a_library_like_others_to_its_own_peers_alone() {
    const THEIRS: &[(&str, &str)] = &[
        ("mitogen", ""),
        ("mitogen.core", ""),
        ("mitogen.parent", "import mitogen.core\n"),
        ("user", "import mitogen.parent\n"),
    ];
    for (dialect, expected) in
        [(Dialect::Bundles, &["user"][..]), (Dialect::Standard, &["mitogen.parent", "user"])]
    {
        let mut responder = Responder::new(Policy::default());
        responder.handle_link_up(ContextId(1), dialect);
        assert_eq!(modules(&World::new(THEIRS).ask(&mut responder, 1, "user")), expected);
    }
}
